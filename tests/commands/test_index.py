"""``omni index``: options reach the stage, and its messages reach the user."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from omnicli.app import app

JPEG = b"\xff\xd8\xff\xe0 image"


@pytest.fixture(autouse=True)
def _crawl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("web/Archery/1.jpg", "web/surf_ing/2.jpg", "web/surf_ing/3 é.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(JPEG)
    Path("web/surf_ing/page.jpg").write_text("<html>")
    Path("classes.txt").write_text("surf ing\narchery\n")


def omni(*options: str):
    return CliRunner().invoke(app, ["index", *options])


def records(*options: str) -> list[dict]:
    result = omni(*options)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_crawl_becomes_records_and_the_books_balance():
    result = omni("web", "--source", "gg")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"id": path, "path": path, "media": "image", "query": query, "source": "gg"}
        for path, query in [
            ("web/Archery/1.jpg", "Archery"), ("web/surf_ing/2.jpg", "surf_ing"), ("web/surf_ing/3 é.jpg", "surf_ing")
        ]
    ]  # fmt: skip
    assert "index: 4 in = 3 kept + 0 rejected + 1 unreadable" in result.stderr


def test_labels_and_root():
    assert records("web", "--labels", "--classes", "classes.txt", "--root", "web")[:2] == [
        {"id": "Archery/1.jpg", "path": "Archery/1.jpg", "media": "image", "class_name": "archery", "label": 1},
        {"id": "surf_ing/2.jpg", "path": "surf_ing/2.jpg", "media": "image", "class_name": "surf ing", "label": 0},
    ]
    assert [record["class_name"] for record in records("web", "--labels")] == ["Archery", "surf_ing", "surf_ing"]


def test_an_unknown_class_stops_with_the_nearest_names():
    Path("classes.txt").write_text("surfing\nacheri\n")
    result = omni("web", "--labels", "--classes", "classes.txt")
    assert result.exit_code == 65
    assert "web/Archery/1.jpg: class 'Archery' is not in the classes file; nearest: acheri" in result.stderr


def test_an_indexed_folder_indexed_again_is_the_same():
    assert omni("web", "-q", "-o", "web.jsonl").exit_code == 0
    assert records("web.jsonl") == records("web")


def test_rejects_are_written_with_their_reason_and_can_be_read_again():
    assert len(records("web", "--rejects", "bad.jsonl")) == 3
    (bad,) = Path("bad.jsonl").read_text().splitlines()
    assert json.loads(bad) == {
        "id": "web/surf_ing/page.jpg", "path": "web/surf_ing/page.jpg", "query": "surf_ing",
        "reason": "unreadable: not media (HTML page)",
    }  # fmt: skip
    assert records("bad.jsonl") == [
        {"id": "web/surf_ing/page.jpg", "path": "web/surf_ing/page.jpg", "query": "surf_ing"}
    ]


def test_frames_and_list_formats_reach_the_reader():
    for i in range(3):
        Path(f"rgb/v1/{i}.jpg").parent.mkdir(parents=True, exist_ok=True)
        Path(f"rgb/v1/{i}.jpg").write_bytes(JPEG)
    assert records("rgb", "--frames") == [{"id": "rgb/v1", "path": "rgb/v1", "media": "frames", "num_frames": 3}]
    Path("l.txt").write_text("x 120 3\n")
    assert omni("l.txt").exit_code == 65
    assert records("l.txt", "--list-format", "mmaction") == [{"id": "x", "path": "x", "label": [120, 3]}]


def test_released_lists_with_their_class_map():
    Path("raw.json").write_text(json.dumps([
        {"video_dir": f"v{label}", "label": label, "num_clips": 3, "positive_clip_inds": [0, 2]} for label in (5, 6, 7)
    ]))  # fmt: skip
    Path("map.json").write_text('{"5": 1, "7": 0}')
    given = ("raw.json", "--class-map", "map.json", "--classes", "classes.txt")
    result = omni(*given)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(record["id"], record["label"], record["class_name"]) for record in found] == [
        ("v5", 1, "archery"), ("v7", 0, "surf ing")
    ]  # fmt: skip
    assert "3 in = 2 kept + 1 rejected (no class 1)" in result.stderr
    assert [record["path"] for record in records(*given, "--each-clip")] == [
        f"v{label}/part_{i}.mp4" for label in (5, 7) for i in (0, 2)
    ]
    assert omni("raw.json", "--probe").exit_code == 65


def test_a_part_of_hmdb51():
    Path("surf_ing_test_split2.txt").write_text("a.avi 1\nb.avi 2\nc.avi 0\n")
    assert omni("surf_ing_test_split2.txt").exit_code == 65
    assert records("surf_ing_test_split2.txt", "--split", "test", "--classes", "classes.txt") == [
        {"id": "surf_ing/b.avi", "path": "surf_ing/b.avi", "class_name": "surf ing", "label": 0}
    ]


def test_probe_writes_facts_and_drops_what_does_not_open(world):
    probed = records(str(world), "--probe", "--workers", "2")
    plain = records(str(world))
    assert 0 < len(probed) <= len(plain)
    for record in probed:
        assert record["width"] > 0
        assert record["height"] > 0
        if record["media"] == "video":
            assert record["duration_sec"] == pytest.approx(record["num_frames"] / record["fps"], rel=0.1)


def test_workers_without_probe_is_a_usage_error_but_the_environment_is_no_conflict():
    result = omni("web", "--workers", "2")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "--workers needs --probe" in result.stderr
    assert CliRunner(env={"OMNI_WORKERS": "2"}).invoke(app, ["index", "web", "-q"]).exit_code == 0


def test_a_missing_input_is_named_and_stdout_stays_empty():
    result = omni("none")
    assert (result.exit_code, result.stdout) == (65, "")
    assert "none: no such file or directory" in result.stderr


def test_media_without_a_query_are_named_with_the_folder_to_give():
    """Silent before: rules by query rejected every record of such an index later."""
    for inputs in (["web/Archery"], ["web/Archery/1.jpg"]):
        result = omni(*inputs)
        assert "query" not in json.loads(result.stdout)
        assert result.stderr.splitlines()[1:] == [
            "index: 1 of 1 records have no query, because no folder below INPUT names one; if each query has a folder, "
            "give the folder above these: omni index web/"
        ]
    assert "no class, because" in omni("web/Archery", "--labels").stderr
    assert "omni index --labels web/" in omni("web/Archery", "--labels").stderr
    assert omni("web/Archery", "-q").stderr == ""
    for inputs in (["web"], ["web/Archery", "web/surf_ing"], ["web", "--labels"]):
        assert "folder above" not in omni(*inputs).stderr


def test_a_few_media_without_a_query_are_no_reason_to_give_another_folder():
    """Before, one file beside the query folders gave the advice to index the folder above them."""
    Path("web", "1.jpg").write_bytes(JPEG)
    assert omni("web").stderr.splitlines()[2:] == [
        "index: 1 of 5 records have no query: files beside the query folders, or samples of tars; rules by query "
        "reject them"
    ]
    assert "1 of 5 records have no class: files beside the class folders" in omni("web", "--labels").stderr


def test_hidden_files_are_no_records_and_are_counted():
    """Before, .ipynb_checkpoints became a query."""
    for name in (".ipynb_checkpoints/1-checkpoint.jpg", "Archery/.thumbs/1.jpg", "Archery/._1.jpg", "@eaDir/1.jpg"):
        Path("web", name).parent.mkdir(parents=True, exist_ok=True)
        Path("web", name).write_bytes(JPEG)
    result = omni("web")
    assert [json.loads(line)["query"] for line in result.stdout.splitlines()] == ["Archery", "surf_ing", "surf_ing"]
    assert result.stderr.splitlines()[0].endswith("/s; 4 hidden files or folders skipped")


def test_a_share_of_the_labels_is_nested_and_needs_the_whole_stream(tmp_path):
    Path("list.txt").write_text("".join(f"v{i}.mp4 {i % 2}\n" for i in range(40)))
    small, large = (records("list.txt", "--label-share", share) for share in ("0.1", "0.5"))
    assert [sum(record["label"] == label for record in small) for label in (0, 1)] == [2, 2]
    assert len(large) == 20
    assert {record["id"] for record in small} < {record["id"] for record in large}
    assert records("list.txt", "--label-share", "0.1", "--seed", "1") != small
    for options in (("--label-share", "0.1", "--part", "0/2"), ("--seed", "1"), ("--min-sec", "3", "--max-sec", "1")):
        assert omni("list.txt", *options).exit_code == 2
    assert omni("list.txt", "--max-sec", "5").exit_code == 65, "their length is not known"


def test_videos_of_a_length_and_a_budget(world):
    videos = str(world / "web" / "untrimmed")
    lengths = {record["id"]: record["duration_sec"] for record in records(videos, "--probe")}
    longest = max(lengths.values())
    kept = records(videos, "--probe", "--max-sec", str(longest - 0.01))
    assert {record["id"] for record in kept} == {name for name, length in lengths.items() if length < longest - 0.01}
    assert records(videos, "--probe", "--max-minutes", "0") == []
    assert len(records(videos, "--probe", "--max-minutes", "999")) == len(lengths)
