"""``omni dedup``: copies of target frames leave with their match; stored features and stored scores decide alike."""

import json
import re
import shutil

import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.streams.shards.reader import ShardReader


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Options of a small backbone whose weights nobody has to download."""
    import timm
    import torch

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet10t.pth"
    torch.save(timm.create_model("resnet10t").state_dict(), path)
    return ["--backbone", "resnet10t", "--weights", path, "--precision", "float32", "--fps", 1]


@pytest.fixture(scope="module")
def target(world, tmp_path_factory):
    """Five videos."""
    folder = tmp_path_factory.mktemp("val")
    for path in sorted((world / "target" / "val").rglob("*.mp4"))[::3][:5]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def web(world, target, tmp_path_factory):
    """Images and a video of the crawl, and a target video under another name."""
    folder = tmp_path_factory.mktemp("crawl") / "web" / "q"
    folder.mkdir(parents=True)
    for number, path in enumerate(sorted((world / "web" / "image").rglob("*.jpg"))[:6]):
        shutil.copy(path, folder / f"{number}.jpg")
    shutil.copy(next((world / "web" / "video").rglob("*.mp4")), folder / "other.mp4")
    shutil.copy(sorted(target.iterdir())[1], folder / "stolen.mp4")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    return folder


@pytest.fixture(scope="module")
def run(model, web, target, tmp_path_factory):
    """One run with everything on."""
    folder = tmp_path_factory.mktemp("dedup")
    result = omni(
        "dedup", *model, "--target", target, web, "-o", folder / "kept.jsonl",
        "--rejects", folder / "left.jsonl", "--summary", folder / "summary.json", "--shards", folder / "shards",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return folder, result


def verdicts(folder):
    return [(line["id"], line["match"]["id"]) for line in lines(folder / "left.jsonl") if "match" in line]


def test_a_stolen_video_leaves_with_its_match(run, target):
    folder, _ = run
    [stolen] = [line for line in lines(folder / "left.jsonl") if line["id"].endswith("stolen.mp4")]
    assert stolen["reason"] == "duplicate"
    assert stolen["match"]["id"] == str(sorted(target.iterdir())[1])
    assert stolen["match"]["cosine"] == 1.0
    assert stolen["match"]["time_sec"] == stolen["match"]["target_time_sec"] == 0.0
    assert stolen["match"]["correlation"] == 1.0  # the frames were decoded again


def test_the_closing_lines_add_up_and_tell_the_threshold(run, target):
    folder, result = run
    summary = json.loads((folder / "summary.json").read_text())
    broken = [line for line in lines(folder / "left.jsonl") if line["reason"].startswith("unreadable: ")]
    assert summary["in"] == 9 and summary["unreadable"] == len(broken) >= 1
    assert summary["kept"] + summary["rejected"]["duplicate"] + len(broken) == 9
    assert 0 < summary["threshold"] < 1
    assert f"threshold {summary['threshold']:g}: mean similarity of five crops of the same frame" in result.stderr
    assert f"target: {len(list(target.iterdir()))} records, {summary['target_frames']} frames" in result.stderr


def test_a_small_target_is_read_at_more_frames_a_second_unless_fps_is_given(run, web, target, model, tmp_path):
    folder, _ = run
    arguments = ["--target", target, web / "other.mp4", "-o", tmp_path / "kept.jsonl", "--summary", tmp_path / "s.json"]
    result = omni("dedup", *model[:-2], *arguments)
    assert result.exit_code == 0, result.stderr
    sparse, dense = (json.loads(path.read_text()) for path in (folder / "summary.json", tmp_path / "s.json"))
    assert (sparse["target_fps"], dense["target_fps"]) == (1.0, 8.0)
    assert dense["target_frames"] > 4 * sparse["target_frames"]
    assert f"{dense['target_frames']} frames (8 per second)" in result.stderr


def test_a_target_whose_media_are_gone_is_compared_by_its_features_and_said(stored, web, target, model, tmp_path):
    moved = target.rename(tmp_path / "elsewhere")
    try:
        result = omni(
            "dedup", *model, "--target", stored / "target", "--threshold", 0.99, web / "stolen.mp4",
            "--rejects", tmp_path / "left.jsonl",
        )  # fmt: skip
    finally:
        moved.rename(target)
    assert result.exit_code == 0, result.stderr
    [line] = lines(tmp_path / "left.jsonl")
    assert line["match"]["not_compared"].startswith("target: ") and "verified" not in line["match"]
    assert "1 cannot be read again" in result.stderr


def test_in_bfloat16_verdicts_and_matches_are_those_of_float32(run, web, target, model, tmp_path):
    folder, _ = run
    coarse = ["bfloat16" if option == "float32" else option for option in model]
    files = ["-o", tmp_path / "kept.jsonl", "--rejects", tmp_path / "left.jsonl", "--summary", tmp_path / "s.json"]
    result = omni("dedup", *coarse, "--target", target, web, *files)
    assert result.exit_code == 0, result.stderr
    assert lines(tmp_path / "left.jsonl") == lines(folder / "left.jsonl")
    ids = [[line["id"] for line in lines(path / "kept.jsonl")] for path in (tmp_path, folder)]
    assert ids[0] == ids[1]
    said = r"dedup: \d+ of \d+ records \(\d+ %\) were too close to the decision for bfloat16 and were scored again "
    assert re.search(said, result.stderr)


def test_shards_keep_the_features_and_lines_go_on_naming_their_media(run, target, model, tmp_path):
    folder, _ = run
    kept = lines(folder / "kept.jsonl")
    assert kept and all(line["media"] in ("image", "video") for line in kept)
    with ShardReader(str(folder / "shards" / "00000.h5")) as shard:
        assert shard.stored_records(0, 100) == kept
    again = omni(
        "dedup", *model, "--target", target, "--as-media", folder / "shards",
        "-o", tmp_path / "again.jsonl",
    )  # fmt: skip
    assert again.exit_code == 0, again.stderr
    assert lines(tmp_path / "again.jsonl") == kept


@pytest.fixture(scope="module")
def stored(model, web, target, tmp_path_factory):
    """Features of target and crawl, made beforehand."""
    folder = tmp_path_factory.mktemp("stored")
    for name, media in (("target", target), ("web", web)):
        result = omni("features", *model, "--shards", folder / name, media, "-o", folder / f"{name}.jsonl")
        assert result.exit_code == 0, result.stderr
    return folder


def test_stored_features_of_both_sides_give_the_same_verdicts(run, stored, model, tmp_path):
    folder, _ = run
    result = omni(
        "dedup", *model, "--target", stored / "target", stored / "web.jsonl", "--rejects", tmp_path / "left.jsonl",
        "-o", tmp_path / "kept.jsonl",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert verdicts(tmp_path) == verdicts(folder)
    assert all(line["media"] == "features" for line in lines(tmp_path / "kept.jsonl"))


def test_scores_are_written_once_and_decide_as_often_as_one_likes(run, stored, model, tmp_path):
    folder, _ = run
    threshold = json.loads((folder / "summary.json").read_text())["threshold"]
    scored = omni(
        "dedup", *model, "--target", stored / "target", "--score-only", stored / "web", "-o", tmp_path / "scored.jsonl"
    )
    assert scored.exit_code == 0, scored.stderr
    assert all({"similarity", "nearest"} <= set(line) for line in lines(tmp_path / "scored.jsonl"))
    decided = omni("dedup", "--threshold", threshold, tmp_path / "scored.jsonl", "--rejects", tmp_path / "left.jsonl")
    assert decided.exit_code == 0, decided.stderr
    assert verdicts(tmp_path) == verdicts(folder)


def test_stored_features_with_a_threshold_load_no_model(stored, model, monkeypatch):
    monkeypatch.setattr("omnicli.models.loading.load_extractor", None)
    result = omni("dedup", *model, "--target", stored / "target", "--threshold", 0.9, stored / "web")
    assert result.exit_code == 0, result.stderr
    assert "threshold 0.9: --threshold" in result.stderr


def test_another_model_than_that_of_the_target_is_refused(stored):
    result = omni("dedup", "--target", stored / "target", "--threshold", 0.9, "--backbone", "resnet18", stored / "web")
    assert result.exit_code == 0  # no model at work: the shards agree with each other
    result = omni("dedup", "--target", stored / "target", "--backbone", "resnet18", stored / "web")
    assert result.exit_code == 65
    assert "but images and videos would get those of backbone resnet18.tv_in1k; features of two models" in result.stderr


def test_weights_that_cannot_be_downloaded_say_how_to_give_a_file(world):
    result = omni("dedup", "--target", world / "target" / "val", "--backbone", "resnet10t", world / "web" / "video")
    assert result.exit_code == 66
    assert "cannot be downloaded" in result.stderr and "--weights" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --target, or --threshold to decide by"),
        (["--score-only"], "--score-only needs --target"),
        (["--threshold", "0.5", "--within"], "--within needs --target"),
        (["--threshold", "0.5", "--weights", "x", "--fps", "2"], "--weights, --fps needs --target"),
        (["--threshold", "0.5", "--workers", "2"], "--workers needs --target"),
        (
            ["--target", "t", "--score-only", "--threshold", "0.5"],
            "--score-only keeps every record and --threshold rejects some",
        ),
        (["--target", "t", "--score-only", "--within"], "--score-only keeps every record and --within rejects some"),
        (["--target", "-"], "the target is read before the stream; give a file"),
        (["--target", "f/0.h5", "f/1.h5"], "f/1.h5 is beside the shard given to --target"),
        (["--target", "t", "--within", "--part", "0/2"], "cannot be combined with --part"),
        (["--target", "t", "--within", "-o", "out/"], "cannot be combined with -o DIR/"),
    ],
)
def test_options_that_contradict_each_other(options, message):
    result = omni("dedup", *options, "web.jsonl")
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_backbone_of_a_checkpoint_compares_media_and_its_own_stored_features(teacher, web, target, tmp_path):
    """No weights need to be downloaded where a TSN of ours is at hand; features of others are refused."""
    model = ["--checkpoint", teacher, "--precision", "float32"]
    stolen = web / "stolen.mp4"
    result = omni("dedup", *model, "--target", target, stolen, "--rejects", tmp_path / "left.jsonl")
    assert result.exit_code == 0, result.stderr
    assert [line["reason"] for line in lines(tmp_path / "left.jsonl")] == ["duplicate"]
    omni("features", *model, "--shards", tmp_path / "f", target)
    again = omni("dedup", *model, "--target", tmp_path / "f", stolen, "--rejects", tmp_path / "again.jsonl")
    assert again.exit_code == 0, again.stderr
    assert lines(tmp_path / "again.jsonl") == lines(tmp_path / "left.jsonl")
    alone = omni("dedup", "--checkpoint", teacher, "--backbone", "resnet50", "--target", target, stolen)
    assert (alone.exit_code, "remove --backbone and --weights" in alone.stderr) == (2, True)
