"""A video of which a few frames do not decode is readable by every command, and one of many by none; both counted."""

import json
import shutil

import pytest
from made_damage import write_damaged_video
from typer.testing import CliRunner

from omnicli.app import app

NUM_FRAMES, NUM_MISSING = 250, 20
CLASSES = ("falling_rain", "rolling_wheel", "spinning_fan", "swinging_pendulum")
COMMANDS = {
    "index": ["index", "--probe"],
    "filter": ["filter", "--teacher", "TEACHER", "--threshold", "0"],
    "ranked filter": ["filter", "--teacher", "TEACHER", "--keep-fraction", "1"],
    "segment": ["segment", "--teacher", "TEACHER", "--threshold", "0"],
    "features": ["features", "--checkpoint", "TEACHER", "--shards", "out"],
    "pack": ["pack", "--shards", "out"],
    "flow": ["flow", "--shards", "out", "--short-side", "32"],
    "census": ["dedup", "--method", "census", "--within"],
    "dedup": ["dedup", "--checkpoint", "TEACHER", "--target", "TARGET"],
    "fit": ["inflate", "--fit"],
    "eval": ["eval", "--checkpoint", "TEACHER"],
    "teacher-train": ["teacher-train", "--model", "tsn-resnet10t", "--recipe", "few-clips-scratch", "--epochs", "1",
                      "--num-segments", "16", "--device", "cpu"],
}  # fmt: skip
NOT_DECODING = {"index"}  # it reads the packets of a video, and at most its first frame


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Videos of 250 frames whose middle does not decode: 20 frames of "few", 50 of "many"."""
    folder = tmp_path_factory.mktemp("made")
    few = write_damaged_video(folder / "few.mp4", num_frames=NUM_FRAMES, damaged=range(120, 131, 10))
    many = write_damaged_video(folder / "many.mp4", num_frames=NUM_FRAMES, damaged=range(100, 150, 10))
    return {"few": few, "many": many}


@pytest.fixture
def videos(made, world, tmp_path, monkeypatch):
    """A folder of one video per class, and two more that are damaged; the work goes on in its parent."""
    for name in CLASSES:
        (tmp_path / "videos" / name).mkdir(parents=True)
        shutil.copy(next((world / "target" / "val" / name).glob("*.mp4")), tmp_path / "videos" / name / "whole.mp4")
    monkeypatch.chdir(tmp_path)
    for name, path in made.items():
        shutil.copy(path, tmp_path / "videos" / CLASSES[0] / f"{name}.mp4")
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_few_missing_frames_are_left_out_and_counted_and_many_a_reject(videos, teacher, world, name):
    named = {"TEACHER": teacher, "TARGET": world / "target" / "train"}
    output = "out.h5" if name == "teacher-train" else "out.jsonl"
    command = [str(named.get(word, word)) for word in COMMANDS[name]]
    written = [] if name == "eval" else ["-o", output]
    result = CliRunner().invoke(
        app, [*command, "videos", *written, "--rejects", "gone.jsonl", "--summary", "sum.json", "--workers", "1"]
    )
    assert result.exit_code == 0, result.stderr
    gone = [json.loads(line) for line in (videos / "gone.jsonl").read_text().splitlines()]
    summary = json.loads((videos / "sum.json").read_text())
    line = f"1 videos read without {NUM_MISSING} frames that do not decode, such as videos/falling_rain/few.mp4"
    if name in NOT_DECODING:
        assert (gone, summary["incomplete"], summary["missing_frames"]) == ([], 0, 0)
        return
    assert [record["path"] for record in gone] == ["videos/falling_rain/many.mp4"]
    assert "over 10% of the frames do not decode" in gone[0]["reason"]
    assert line in result.stderr
    assert (summary["in"], summary["unreadable"]) == (len(CLASSES) + 2, 1)
    assert (summary["incomplete"], summary["missing_frames"]) == (1, NUM_MISSING)


def test_packed_frames_lack_those_that_do_not_decode(videos):
    result = CliRunner().invoke(app, ["pack", "--shards", "out", "videos/falling_rain/few.mp4"])
    record = json.loads(result.stdout)
    assert record["num_frames"] == NUM_FRAMES - NUM_MISSING
    assert record["duration_sec"] == NUM_FRAMES / 25


def test_the_report_shows_few_and_says_why_it_does_not_show_many(videos):
    result = CliRunner().invoke(app, ["report", "videos", "-o", "page.html"])
    assert result.exit_code == 0, result.stderr
    assert "1 videos read without 20 frames that do not decode" in result.stderr
    page = (videos / "page.html").read_text()
    assert page.count("data:image/jpeg") == len(CLASSES) + 1
    assert page.count("frames do not decode") == 1
