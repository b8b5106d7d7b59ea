"""``omni filter`` with a real teacher on real files."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from typer.testing import CliRunner

from omnicli.app import app


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def web(tmp_path):
    """A crawl whose files are all gone; good enough where no file should be opened."""
    path = tmp_path / "web.jsonl"
    path.write_text("".join(json.dumps({"id": str(i), "path": "gone.jpg", "query": "chess"}) + "\n" for i in range(4)))
    return path


def parsed(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def scored(teacher, world, tmp_path_factory):
    """Every web image and video with its scores, and what could not be read."""
    folder = tmp_path_factory.mktemp("scored")
    result = omni(
        "filter", "--teacher", teacher, world / "web" / "image", world / "web" / "video", "--score-only",
        "-o", folder / "scored.jsonl", "--rejects", folder / "rejects.jsonl", "--precision", "float32",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return folder


def test_every_file_is_scored_or_rejected_with_an_honest_reason(scored, world):
    kept, rejected = (parsed((scored / name).read_text()) for name in ("scored.jsonl", "rejects.jsonl"))
    files = [path for kind in ("image", "video") for path in (world / "web" / kind).rglob("*") if path.is_file()]
    assert sorted(record["path"] for record in kept + rejected) == sorted(str(path) for path in files)
    assert all(record["reason"].startswith("unreadable: ") for record in rejected)
    assert {record["media"] for record in kept} == {"image", "video"}
    for record in kept:
        label, confidence = record["top_scores"][0]
        assert (record["pseudo_label"], record["confidence"]) == (label, confidence)
        assert 0 < sum(score for _, score in record["top_scores"]) <= 1.00001


def test_deciding_again_equals_deciding_at_once(scored, teacher, world):
    again = omni("filter", "--threshold", 0.6, scored / "scored.jsonl")
    direct = omni(
        "filter", "--teacher", teacher, "--threshold", 0.6, "--precision", "float32",
        world / "web" / "image", world / "web" / "video",
    )  # fmt: skip
    assert again.stdout == direct.stdout
    assert len(again.stdout.splitlines()) > 0


def test_deciding_again_takes_the_rejects_whatever_was_unreadable(scored, teacher, world, tmp_path):
    web = tmp_path / "web"
    shutil.copytree(world / "web" / "image", web)
    (web / "broken.jpg").write_bytes(b"")
    assert omni("index", web, "--rejects", tmp_path / "bad.jsonl", "-o", tmp_path / "web.jsonl").exit_code == 0
    parts = [tmp_path / name for name in ("kept.jsonl", "left.jsonl", "again.jsonl")]
    first = omni("filter", "--teacher", teacher, "--threshold", 0.6, tmp_path / "web.jsonl", tmp_path / "bad.jsonl",
                 "-o", parts[0], "--rejects", parts[1])  # fmt: skip
    assert first.exit_code == 0, first.stderr
    num_bad = sum(record["reason"].startswith("unreadable: ") for record in parsed(parts[1].read_text()))
    assert num_bad
    for rule in (["--threshold", 0.4, "--agree", "--classes", world / "classes.txt"], ["--top", 3], ["--threshold", 0]):
        again = omni("filter", *rule, parts[0], parts[1], "--rejects", parts[2])
        assert again.exit_code == 0, again.stderr
        assert f"{num_bad} unreadable" in again.stderr
    assert parsed(parts[2].read_text()) == [
        record for record in parsed(parts[1].read_text()) if record["reason"].startswith("unreadable: ")
    ]


def test_deciding_again_by_query_needs_only_the_class_names(scored, world):
    result = omni(
        "filter", "--label-by", "query", "--keep-fraction", 0.5, "--per", "query", "--classes", world / "classes.txt",
        scored / "scored.jsonl",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    kept = parsed(result.stdout)
    normal = [name.casefold().replace("_", " ") for name in (record["query"] for record in kept)]
    assert [record["pseudo_class"].casefold().replace("_", " ") for record in kept] == normal
    assert all(record["confidence"] == record["query_score"] for record in kept)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_confidences_do_not_depend_on_the_batch_size_nor_on_neighbours(scored, teacher, world, batch_size):
    result = omni(
        "filter", "--teacher", teacher, "--score-only", "--precision", "float32", "--batch-size", batch_size,
        "--part", "1/3", "--workers", 3, world / "web" / "image", world / "web" / "video",
    )  # fmt: skip
    whole = {record["id"]: record["confidence"] for record in parsed((scored / "scored.jsonl").read_text())}
    part = parsed(result.stdout)
    assert 0 < len(part) < len(whole)
    for record in part:
        assert record["confidence"] == pytest.approx(whole[record["id"]], abs=1e-4)


def test_the_same_batch_size_gives_the_same_bytes_in_any_shards(scored, teacher, world):
    lines = []
    for index in range(3):
        result = omni(
            "filter", "--teacher", teacher, "--score-only", "--precision", "float32", "--part", f"{index}/3",
            world / "web" / "image", world / "web" / "video",
        )  # fmt: skip
        lines += result.stdout.splitlines()
    assert sorted(lines) == sorted((scored / "scored.jsonl").read_text().splitlines())


def test_two_teachers_vote_by_their_mean(scored, teacher, world):
    result = omni(
        "filter", "--teacher", teacher, "--teacher", teacher, "--score-only", "--precision", "float32",
        world / "web" / "image", world / "web" / "video",
    )  # fmt: skip
    assert result.stdout == (scored / "scored.jsonl").read_text()


def test_teachers_of_different_classes_are_refused(teacher, web, tmp_path):
    from omnicli.models.checkpoint import load_any, save_checkpoint

    other = load_any(teacher)
    meta = json.loads(json.dumps(other.meta))
    meta["model"]["classes"][1] = "chess"
    save_checkpoint(tmp_path / "other.pth", meta=meta, state_dict=other.state_dict)
    result = omni("filter", "--teacher", teacher, "--teacher", tmp_path / "other.pth", web)
    assert result.exit_code == 66
    assert "other.pth: class 1 is 'chess', but " in result.stderr
    assert result.stdout == ""


def stored(path, queries):
    """Records with the scores of an earlier run, by query and confidence."""
    rows = [
        {"id": f"{query}{i}", "top_scores": [[0, score]], "query_score": score, **({"query": query} if query else {})}
        for query, score, count in queries for i in range(count)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path.parent / "classes.txt").write_text("archery\nsurfing\n")
    return ["--classes", path.parent / "classes.txt", "--label-by", "query", path]


def test_queries_of_which_hardly_anything_fits_and_empty_classes_are_named(tmp_path):
    """Silent before: a query that brought only noise, and its class without a record."""
    arguments = stored(tmp_path / "s.jsonl", [("archery", 0.9, 20), ("surfing", 0.1, 30), ("", 0.9, 2)])
    said = omni("filter", *arguments, "--threshold", 0.5).stderr.splitlines()
    assert "filter: 1 of 2 classes have fewer than 5 kept records, 1 none: surfing 0; lower the " in "\n".join(said)
    assert any(line.startswith("filter: hardly anything was kept of 1 of 2 queries: surfing 0/30; ") for line in said)
    assert any(line.startswith("filter: 2 of 52 records have no query, which the rule needs: ") for line in said)
    assert omni("filter", *arguments, "--threshold", 0.5, "-q").stderr == ""


def test_records_without_any_query_stop_a_rule_by_query_with_the_remedy(tmp_path):
    result = omni("filter", *stored(tmp_path / "s.jsonl", [("", 0.9, 3)]), "--threshold", 0.5)
    assert (result.exit_code, result.stdout) == (65, "")
    assert "; no record has a query: omni index writes it from the names of folders; " in result.stderr


def test_queries_that_name_no_class_stop_with_65_before_anything_is_written(teacher, web, tmp_path):
    result = omni("filter", "--teacher", teacher, "--label-by", "query", "-o", tmp_path / "kept.jsonl", web)
    assert result.exit_code == 65
    assert "none of 4 records has a query that names a class" in result.stderr
    assert not (tmp_path / "kept.jsonl").exists()


def test_a_query_map_that_helps_no_query_is_not_recommended_again(teacher, web, tmp_path):
    map_file = tmp_path / "map.tsv"
    map_file.write_text("chess\tother\n")
    result = omni("filter", "--teacher", teacher, "--label-by", "query", "--query-map", map_file, web)
    assert result.exit_code == 65
    assert "the queries are chess (mapped to other); the classes are " in result.stderr
    assert result.stderr.rstrip().endswith("correct the file of --query-map")


@pytest.mark.parametrize("missing", ["gone.pth", "text.pth"])
def test_a_bad_teacher_is_66_and_named(web, tmp_path, missing):
    (tmp_path / "text.pth").write_text("not a checkpoint")
    result = omni("filter", "--teacher", tmp_path / missing, web)
    assert result.exit_code == 66
    assert missing in result.stderr
    assert result.stdout == ""


def test_a_record_without_a_path_stops_with_file_and_line(teacher, web):
    web.write_text('{"id":"a","path":"gone.jpg"}\n{"id":"b"}\n')
    result = omni("filter", "--teacher", teacher, web)
    assert result.exit_code == 65
    assert "web.jsonl:2: no field 'path'; has id" in result.stderr


def test_an_image_streamed_in_is_answered_before_stdin_closes(shell_environment, teacher, scored):
    image = parsed((scored / "scored.jsonl").read_text())[0]["path"]
    process = subprocess.Popen(
        ["omni", "filter", "-q", "--teacher", teacher, "--score-only"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=shell_environment,
    )  # fmt: skip
    try:
        for _ in range(2):
            process.stdin.write(json.dumps({"path": image}).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["path"] == image
        process.stdin.close()
        assert process.wait(timeout=300) == 0
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.mark.slow
def test_a_scoring_run_killed_and_resumed_gives_the_same_bytes(shell_environment, scored, teacher, world, tmp_path):
    command = [
        "omni", "filter", "-q", "--teacher", str(teacher), str(world / "web" / "image"), str(world / "web" / "video"),
        "--score-only", "-o", "scored.jsonl", "--rejects", "rejects.jsonl", "--precision", "float32",
    ]  # fmt: skip
    environment = shell_environment | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment)
    state = tmp_path / ".scored.jsonl.state"
    while process.poll() is None and not state.exists():
        time.sleep(0.002)
    was_running = process.poll() is None
    if was_running:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "scored.jsonl").read_bytes() == (scored / "scored.jsonl").read_bytes()
    assert (tmp_path / "rejects.jsonl").read_bytes() == (scored / "rejects.jsonl").read_bytes()


@pytest.fixture(scope="module")
def released(world, tmp_path_factory):
    """A SlowOnly in the layout of mmaction2, as it is downloaded: no class names, no architecture."""
    import torch

    from omnicli.models.factory import create_model
    from omnicli.models.weight_names import from_omni

    folder = tmp_path_factory.mktemp("released")
    weights = create_model("slowonly-r50", num_classes=4).state_dict()
    layout = from_omni(weights, "mmaction2", is_shifted=False)
    torch.save({"meta": {}, "state_dict": layout}, folder / "slowonly.pth")
    return folder / "slowonly.pth"


@pytest.mark.slow
def test_a_released_3d_checkpoint_filters_videos_and_explains_why_not_images(released, world, tmp_path):
    classes = ["--classes", world / "classes.txt"]
    look = ["--num-clips", 1, "--num-frames", 4, "--frame-interval", 2, "--precision", "float32", "--batch-size", 1]
    videos = omni(
        "filter", "--teacher", released, *classes, *look, "--score-only", "--limit", 2, world / "web" / "video"
    )
    assert videos.exit_code == 0, videos.stderr
    assert all(len(record["top_scores"]) == 4 for record in parsed(videos.stdout))
    image = sorted((world / "web" / "image").rglob("*.png"))[0]
    result = omni("filter", "--teacher", released, *classes, *look, image)
    assert result.exit_code == 66
    assert "2D" in result.stderr
    assert result.stdout == ""


def test_a_released_checkpoint_needs_the_names_of_its_classes(released, web):
    result = omni("filter", "--teacher", released, web)
    assert result.exit_code == 66
    assert "names no classes; --classes FILE" in result.stderr


def test_our_checkpoint_is_not_told_what_it_knows(teacher, web, tmp_path):
    result = omni("filter", "--teacher", teacher, "--num-frames", 8, web)
    assert result.exit_code == 2
    assert "stores its architecture" in result.stderr
    (tmp_path / "other.txt").write_text("a\nb\n")
    assert omni("filter", "--teacher", teacher, "--classes", tmp_path / "other.txt", web).exit_code == 66


@pytest.fixture(scope="module")
def rows(teacher, world, tmp_path_factory):
    """The same media as rows of features."""
    folder = tmp_path_factory.mktemp("rows")
    result = omni(
        "features", "--checkpoint", teacher, "--shards", folder, world / "web" / "image", world / "web" / "video",
        "--precision", "float32", "-o", folder / "rows.jsonl",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return folder / "rows.jsonl"


def test_rows_leave_as_the_media_they_are_of(rows, scored, teacher, tmp_path):
    """With --as-media what a filter of rows keeps is what one of their media keeps, path for path."""
    result = omni("filter", "--teacher", teacher, "--score-only", "--as-media", "--precision", "float32", rows)
    assert result.exit_code == 0, result.stderr
    of_media = {record["id"]: record for record in parsed((scored / "scored.jsonl").read_text())}
    of_rows = parsed(result.stdout)
    assert len(of_rows) == len(of_media)
    for record in of_rows:
        expected = of_media[record["id"]]
        assert "row" not in record
        assert (record["path"], record["media"]) == (expected["path"], expected["media"])
        if record["media"] == "image":  # of a video it looks at other frames
            assert dict(record["top_scores"]) == pytest.approx(dict(expected["top_scores"]), abs=5e-3)
    again = omni("filter", "--teacher", teacher, "--score-only", "--precision", "float32", rows)
    assert {record["media"] for record in parsed(again.stdout)} == {"features"}
    (tmp_path / "stored.jsonl").write_text(again.stdout)
    stored = omni("filter", "--threshold", 0, "--as-media", tmp_path / "stored.jsonl")
    assert parsed(stored.stdout) == of_rows


@pytest.mark.parametrize(
    "option",
    ["--num-segments=3", "--num-frames=8", "--frame-interval=2", "--num-clips=3", "--batch-size=8", "--workers=1",
     "--device=cpu", "--precision=float32", "--model=tsn-resnet18"],
)  # fmt: skip
def test_options_of_a_teacher_go_with_one(scored, option):
    result = omni("filter", "--threshold", 0.6, option, scored / "scored.jsonl")
    assert result.exit_code == 2
    assert f"{option.partition('=')[0]} needs --teacher" in result.stderr


def test_clips_of_a_2d_teacher_are_refused(teacher, world):
    result = omni("filter", "--teacher", teacher, "--num-clips", 10, world / "target" / "val")
    assert result.exit_code == 2
    assert f"--num-clips is for 3D models, and {teacher} is 2D" in result.stderr


def test_defaults_from_the_environment_are_no_options(scored, monkeypatch):
    monkeypatch.setenv("OMNI_DEVICE", "cpu")
    monkeypatch.setenv("OMNI_BATCH_SIZE", "8")
    assert omni("filter", "--threshold", 0.6, scored / "scored.jsonl").exit_code == 0


def test_stored_scores_within_lengths_and_a_budget(tmp_path):
    path = tmp_path / "scored.jsonl"
    rows = [{"id": str(i), "confidence": 0.9, "pseudo_label": 0, "duration_sec": 10.0 * i + 1} for i in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept = parsed(omni("filter", path, "--min-sec", 5, "--max-sec", 35).stdout)
    assert [record["id"] for record in kept] == ["1", "2", "3"]
    kept = parsed(omni("filter", path, "--max-minutes", 1).stdout)
    assert 0 < sum(record["duration_sec"] for record in kept) <= 60
    assert omni("filter", path, "--max-minutes", 1, "--part", "0/2").exit_code == 2
