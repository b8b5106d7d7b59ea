"""``omni dedup --method census``: videos that share footage with the target leave; idle options are refused."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.stages.dedup import census_stage
from omnicli.stages.dedup.census import take_census


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_stolen_video_leaves_and_images_pass(world, tmp_path):
    target = sorted((world / "target" / "val").rglob("*.mp4"))
    image = sorted((world / "web" / "image").rglob("*.png"))[0]
    web = tmp_path / "web"
    web.mkdir()
    shutil.copy(target[1], web / "stolen.mp4")
    shutil.copy(image, web / "image.png")
    (tmp_path / "hole.mp4").write_bytes(b"no video")
    result = omni(
        "dedup", "--method", "census", "--target", world / "target" / "val", "--target", tmp_path / "hole.mp4", web,
        "--rejects", tmp_path / "left.jsonl", "--summary", tmp_path / "summary.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == [str(web / "image.png")]
    [left] = [json.loads(line) for line in (tmp_path / "left.jsonl").read_text().splitlines()]
    assert left["reason"] == "duplicate" and left["match"]["id"] == str(target[1])
    assert left["match"]["overlap"] > 0.9
    assert "1 target records cannot be read, and copies of them are not found; the first: " in result.stderr
    assert "1 images" in result.stderr
    assert json.loads((tmp_path / "summary.json").read_text())["census"]["census: images"] == 1


def test_a_resumed_run_counts_the_frames_of_all_its_parts(world, tmp_path, monkeypatch):
    videos = sorted((world / "target" / "train").rglob("*.mp4"))[:4]
    command = ["dedup", "--method", "census", "--target", world / "target" / "val", "--workers", 1, *videos]
    assert omni(*command, "-o", tmp_path / "a", "--summary", tmp_path / "whole.json").exit_code == 0
    taken = []

    def stop_at_the_last(source):
        taken.append(source)
        if len(taken) == len(videos):
            raise KeyboardInterrupt
        return take_census(source)

    with monkeypatch.context() as patch:
        patch.setattr("omnicli.streams.stage_run.SAVE_SEC", 0.0)
        patch.setattr(census_stage, "census_targets", lambda *args, **kwargs: census_stage.CensusTargets())
        patch.setattr(census_stage, "take_census", stop_at_the_last)
        assert omni(*command, "-o", tmp_path / "b").exit_code == 130
    assert omni(*command, "-o", tmp_path / "b", "--summary", tmp_path / "resumed.json").exit_code == 0
    whole, resumed = (json.loads((tmp_path / name).read_text()) for name in ("whole.json", "resumed.json"))
    assert resumed["resumed"] > 0
    assert resumed["census"] == whole["census"] and whole["census"]["census: frames"] > 0


def test_within_needs_no_target(world, tmp_path):
    video = sorted((world / "target" / "val").rglob("*.mp4"))[0]
    for name in ("first.mp4", "second.mp4"):
        shutil.copy(video, tmp_path / name)
    result = omni("dedup", "--method", "census", "--within", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == [str(tmp_path / "first.mp4")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --target, or --within"),
        (
            ["--target", "t", "--threshold", "0.5", "--fps", "2"],
            "--threshold, --fps needs --method features, not census",
        ),
        (["--target", "t", "--precision", "float32"], "--precision needs --method features"),
        (["--target", "t", "--within", "--part", "0/2"], "decides over the whole stream"),
    ],
)
def test_options_that_do_nothing_are_refused(options, message):
    result = omni("dedup", "--method", "census", *options, "web.jsonl")
    assert result.exit_code == 2
    assert message in result.stderr
