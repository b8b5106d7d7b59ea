"""Lines on stdout and on special files."""

import sys
from pathlib import Path

import pytest

from omnicli.errors import OutputError
from omnicli.streams.write.stdout import StreamWriter, open_stdout


def test_a_full_device_is_an_output_error():
    with Path("/dev/full").open("wb", buffering=0) as full:
        writer = StreamWriter(full, name="stdout", live=True)
        with pytest.raises(OutputError, match="stdout: cannot write: No space left"):
            writer.write(b"line\n")


def test_a_live_stream_is_flushed_line_by_line(tmp_path):
    with (tmp_path / "out").open("wb") as file:
        StreamWriter(file, name="out", live=True).write(b"line\n")
        assert (tmp_path / "out").read_bytes() == b"line\n"


def test_lines_of_a_file_are_flushed_when_the_last_flush_is_too_long_ago(tmp_path, monkeypatch):
    monkeypatch.setattr("omnicli.streams.write.stdout.FLUSH_SEC", 3600.0)
    with (tmp_path / "out").open("wb") as file:
        writer = StreamWriter(file, name="out", live=False)
        writer.write(b"one\n")
        assert (tmp_path / "out").read_bytes() == b""
        monkeypatch.setattr("omnicli.streams.write.stdout.FLUSH_SEC", -1.0)
        writer.write(b"two\n")
        assert (tmp_path / "out").read_bytes() == b"one\ntwo\n"
        assert writer.length == 8


def test_a_closed_pipe_is_left_to_the_caller(tmp_path):
    class Closed:
        def write(self, line):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        StreamWriter(Closed(), name="stdout", live=True).write(b"line\n")


def test_a_closed_stdout_is_an_output_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputError, match="stdout: cannot write: it is closed; name a file with -o"):
        open_stdout(live=False)
