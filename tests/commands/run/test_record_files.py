"""``index --records-per-file``: a crawl becomes numbered files, all of one run."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.commands.run.record_files import RecordFiles
from omnicli.errors import UsageError
from omnicli.jobs import plan
from omnicli.streams.files import remote
from omnicli.streams.files.stored import read_file
from omnicli.streams.files.urls import allow_typed

JPEG = b"\xff\xd8\xff\xe0 image"


def omni(*arguments):
    return CliRunner().invoke(app, ["index", *[str(argument) for argument in arguments]])


@pytest.fixture(autouse=True)
def _crawl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "web" / "q").mkdir(parents=True)
    for number in range(25):
        (tmp_path / "web" / "q" / f"{number:02}.jpg").write_bytes(JPEG)
    (tmp_path / "web" / "q" / "page.jpg").write_bytes(b"<html>")
    yield
    allow_typed([])


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_files_hold_n_records_each_and_together_all(tmp_path):
    assert omni("web", "-o", "whole.jsonl").exit_code == 0
    result = omni("web", "--records-per-file", 10, "-o", "records/", "--rejects", "bad.jsonl", "--summary", "s.json")
    assert result.exit_code == 0, result.stderr
    assert names("records") == ["00000.jsonl", "00001.jsonl", "00002.jsonl", "records.done.json"]
    parts = [Path(f"records/0000{index}.jsonl").read_bytes() for index in range(3)]
    assert [part.count(b"\n") for part in parts] == [10, 10, 5]
    assert b"".join(parts) == Path("whole.jsonl").read_bytes()
    assert json.loads(Path("records/records.done.json").read_text()) == {
        "files": 3, "records": 25, "records_per_file": 10
    }  # fmt: skip
    assert "page.jpg" in Path("bad.jsonl").read_text()
    assert json.loads(Path("s.json").read_text())["kept"] == 25
    assert omni("records/", "-o", "again/").exit_code == 0  # each is a job
    assert [name for name in names("again") if name.endswith("l")] == ["00000.jsonl", "00001.jsonl", "00002.jsonl"]


def test_a_shorter_run_removes_what_the_longer_one_left_and_files_of_others_stay():
    assert omni("web", "--records-per-file", 5, "-o", "records/").exit_code == 0
    assert len(names("records")) == 6
    Path("records/notes.jsonl").write_text("mine")
    assert omni("web", "--records-per-file", 20, "-o", "records/").exit_code == 0
    assert names("records") == ["00000.jsonl", "00001.jsonl", "notes.jsonl", "records.done.json"]
    Path("other").mkdir()
    Path("other/00000.jsonl").write_text("mine")
    result = omni("web", "--records-per-file", 20, "-o", "other/")
    assert result.exit_code == 73
    assert "other/00000.jsonl exists, and no index --records-per-file wrote it" in result.stderr
    assert omni("web", "--records-per-file", 20, "-o", "other/", "--no-resume").exit_code == 0


def test_a_kill_between_the_files_is_mended_by_the_next_run(monkeypatch):
    class KilledError(BaseException):
        pass

    copy = RecordFiles._copy
    left = [2]

    def dying(self, *arguments):
        left[0] -= 1
        if left[0] < 0:
            raise KilledError
        return copy(self, *arguments)

    monkeypatch.setattr(RecordFiles, "_copy", dying)
    with pytest.raises(KilledError):
        omni("web", "--records-per-file", 10, "-o", "records/")
    assert "records.done.json" not in names("records")
    left[0] = 99
    assert omni("web", "--records-per-file", 10, "-o", "records/").exit_code == 0
    assert names("records") == ["00000.jsonl", "00001.jsonl", "00002.jsonl", "records.done.json"]
    left[0] = 1
    with pytest.raises(KilledError):
        omni("web", "--records-per-file", 20, "-o", "records/")
    left[0] = 99
    assert omni("web", "--records-per-file", 30, "-o", "records/").exit_code == 0
    assert names("records") == ["00000.jsonl", "records.done.json"], "none of the longer runs is left"


def test_parts_write_side_by_side_and_together_are_the_whole():
    for index in range(2):
        assert omni("web", "--records-per-file", 5, "--part", f"{index}/2", "-o", "records/").exit_code == 0
    lines = [line for path in Path("records").glob("*of2-0*.jsonl") for line in path.read_text().splitlines()]
    assert len(lines) == len(set(lines)) == 25


def test_too_many_bad_records_are_said_after_the_files_are_written():
    assert omni("web", "--records-per-file", 10, "-o", "records/", "--max-bad", 0).exit_code == 3
    assert "records.done.json" in names("records")


def test_a_remote_folder_gets_the_same_files():
    assert omni("web", "--records-per-file", 10, "-o", "records/").exit_code == 0
    assert omni("web", "--records-per-file", 10, "-o", "memory://records-per-file/").exit_code == 0
    assert remote.list_files("memory://records-per-file") == names("records")
    for name in names("records"):
        assert read_file(f"memory://records-per-file/{name}") == Path(f"records/{name}").read_bytes()


def test_options_that_do_not_fit_are_refused_and_a_dry_run_writes_nothing():
    assert "needs -o DIR/" in omni("web", "--records-per-file", 10, "-o", "a.jsonl").stderr
    assert omni("web", "--records-per-file", 10, "-o", "records/", "--rejects", "bad/").exit_code == 2
    for clash in (("--engine", "local"), ("--part", "next"), ("--missing", "--parts", 2)):
        refused = omni("web", "--records-per-file", 10, "-o", "records/", *clash)
        assert (refused.exit_code, "cannot be used with --" in refused.stderr) == (2, True), refused.stderr
    with pytest.raises(UsageError, match="--records-per-file makes one result and cannot be divided into jobs"):
        plan(["index", "web", "--records-per-file", "10", "-o", "records/"])
    assert omni("web", "--records-per-file", 10, "-o", "records/", "-n").exit_code == 0
    assert not Path("records").exists()
