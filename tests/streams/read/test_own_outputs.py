"""What a command writes is not among what it reads."""

import os

import pytest

from omnicli.errors import UsageError
from omnicli.streams.read import own_outputs
from omnicli.streams.read.own_outputs import is_among, own_files, refuse_stdout


def test_outputs_are_known_by_every_link_and_only_if_they_are_files(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "a.jsonl")
    files = own_files([str(tmp_path / "link"), None, str(tmp_path), str(tmp_path / "later"), "s3://b/c", "nul\0"])
    assert is_among(os.fsencode(tmp_path / "a.jsonl"), files) and is_among(str(tmp_path / "link"), files)
    assert not is_among(str(tmp_path), files) and not is_among(str(tmp_path / "later"), files)


def test_the_file_that_stdout_is_written_to_is_one_of_them_and_no_input(tmp_path, monkeypatch):
    with (tmp_path / "a.jsonl").open("ab") as file:
        monkeypatch.setattr(own_outputs, "STDOUT", file.fileno())
        assert is_among(str(tmp_path / "a.jsonl"), own_files([]))
        with pytest.raises(UsageError, match=r"^a: is read and, as stdout, written at once; write to another file$"):
            refuse_stdout("a", str(tmp_path / "a.jsonl"))
        (tmp_path / "b.jsonl").write_bytes(b"")
        refuse_stdout("b", str(tmp_path / "b.jsonl"))
    monkeypatch.setattr(own_outputs, "STDOUT", os.open(os.devnull, os.O_WRONLY))
    refuse_stdout("nothing", os.devnull)
    os.close(own_outputs.STDOUT)
