"""``omni dedup --method census``: videos that share footage with the target leave; idle options are refused."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.commands.run.dedup_census import describe_target


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
    assert "1 target records cannot be read and are not guarded; the first: " in result.stderr
    assert "1 images" in result.stderr
    assert json.loads((tmp_path / "summary.json").read_text())["census"]["census: images"] == 1


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
        (["--target", "t", "--threshold", "0.5", "--fps", "2"], "--threshold, --fps: of --method features"),
        (["--target", "t", "--precision", "float32"], "--precision is of --method features"),
        (["--target", "t", "--within", "--shard", "0/2"], "decides over the whole stream"),
    ],
)
def test_options_that_do_nothing_are_refused(options, message):
    result = omni("dedup", "--method", "census", *options, "web.jsonl")
    assert result.exit_code == 2
    assert message in result.stderr


def test_another_file_in_a_target_folder_is_another_target(tmp_path):
    """A run never goes on with a target that has gained, lost, renamed or replaced a file since it was killed."""
    target = tmp_path / "val"
    (target / "deep").mkdir(parents=True)
    (target / "deep" / "a.mp4").write_bytes(b"four")
    seen = [describe_target([str(target)])]
    for change in (
        lambda: (target / "b.mp4").write_bytes(b""),
        lambda: (target / "deep" / "a.mp4").write_bytes(b"fives"),
        lambda: (target / "b.mp4").rename(target / "c.mp4"),
    ):
        change()
        assert describe_target([str(target)]) not in seen
        assert describe_target([str(target)]) == describe_target([str(target)])
        seen.append(describe_target([str(target)]))
    (target / "c.mp4").rename(target / "b.mp4")
    assert describe_target([str(target)]) == seen[2]
