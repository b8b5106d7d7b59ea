"""One file on which omni itself fails never stops a run: every command rejects it and goes on."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.media import source

VIDEOS_IN, IMAGES_IN = "videos/falling_rain", "images/falling_rain"


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def web(world, tmp_path, monkeypatch):
    """A folder with videos and images of one class; those called poison raise when they are opened."""
    for folder, kind, pattern in ((VIDEOS_IN, "target/train", "*.mp4"), (IMAGES_IN, "web/image", "*.png")):
        (tmp_path / folder).mkdir(parents=True)
        files = sorted((world / kind).rglob(pattern))[:3]
        for name, file in zip(("a", "poison", "b"), files, strict=True):
            shutil.copy(file, tmp_path / folder / f"{name}{file.suffix}")

    def open_or_fail(record, path):
        if "poison" in path:
            raise IndexError("list index out of range")
        return opened(record, path)

    opened = source._open_whole
    monkeypatch.setattr(source, "_open_whole", open_or_fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # of the log
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMANDS = {
    "index": ["index", "--probe"],
    "filter": ["filter", "--teacher", "TEACHER", "--threshold", "0"],
    "segment": ["segment", "--teacher", "TEACHER", "--threshold", "0"],
    "features": ["features", "--checkpoint", "TEACHER", "--shards", "out"],
    "pack": ["pack", "--shards", "out"],
    "census": ["dedup", "--method", "census", "--within"],
    "dedup": ["dedup", "--checkpoint", "TEACHER", "--target", "TARGET", "--threshold", "1"],
    "inflate": ["inflate", "--shards", "out", "--mode", "still"],
    "report": ["report", "-o", "page.html"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("strict", [False, True])
def test_a_record_that_raises_is_a_counted_reject_of_every_command(web, teacher, world, name, strict):
    """Any exception while one record is read is a counted reject; --strict stops at the first."""
    folder = "images" if name == "inflate" else "videos"
    named = {"TEACHER": teacher, "TARGET": world / "target" / "val"}
    command = [named.get(word, word) for word in COMMANDS[name]]
    if name == "report":
        assert omni(*command, folder).exit_code == 0
        assert "list index out of range" in (web / "page.html").read_text()
        return
    result = omni(*command, folder, "--rejects", "gone.jsonl", *(["--strict"] if strict else []))
    if strict:
        assert result.exit_code == 70, result.stderr
        assert "poison" in result.stderr and "IndexError: list index out of range" in result.stderr
        return
    assert result.exit_code == 0, result.stderr
    (gone,) = (web / "gone.jsonl").read_text().splitlines()
    assert json.loads(gone)["reason"] == "internal error: IndexError: list index out of range"
    assert "poison" in json.loads(gone)["path"]
    assert "3 in" in result.stderr and "internal errors: 1" in result.stderr


@pytest.mark.parametrize("name", ["teacher-train", "eval"])
def test_a_record_that_raises_leaves_training_and_testing(web, teacher, name):
    classes = ["--model", "tsn-resnet10t", "--recipe", "few-clips-scratch", "--epochs", "1", "-o", "t.pth"]
    options = classes if name == "teacher-train" else ["--checkpoint", teacher, "--allow-overlap"]
    result = omni(name, *options, "videos", "--rejects", "gone.jsonl", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    (gone,) = (web / "gone.jsonl").read_text().splitlines()
    assert json.loads(gone)["reason"] == "internal error: IndexError: list index out of range"


@pytest.mark.parametrize(
    ("name", "matcher"),
    [
        ("dedup", "omnicli.stages.dedup.stage._best_match"),
        ("census", "omnicli.stages.dedup.census_stage.CensusTargets.find"),
    ],
)
def test_a_record_whose_matching_raises_is_a_counted_reject(web, teacher, world, monkeypatch, name, matcher):
    calls = []

    def raise_once(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise IndexError("list index out of range")

    monkeypatch.setattr(matcher, raise_once)
    named = {"TEACHER": teacher, "TARGET": world / "target" / "val"}
    command = [named.get(word, word) for word in COMMANDS[name]]
    result = omni(*command, VIDEOS_IN + "/a.mp4", VIDEOS_IN + "/b.mp4", "--rejects", "gone.jsonl")
    assert result.exit_code == 0, result.stderr
    assert "2 in = 1 kept + 1 rejected (internal error 1) + 0 unreadable" in result.stderr
