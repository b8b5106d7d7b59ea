"""Bytes of media, and honest reasons where there are none."""

import io
import os
import tarfile

import pytest

from omnicli.errors import InputError, MediaError
from omnicli.streams.files.media_files import media_path, open_binary, read_bytes
from omnicli.streams.record import Record


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"image")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, content in {"a.jpg": b"member", "empty.jpg": b""}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return tmp_path


REASONS = [
    ("none.jpg", "no such file"),
    ("a.jpg/b.jpg", "no such file"),
    ("empty.jpg", "empty file"),
    ("folder", "is a directory"),
    ("broken", "no such file"),
    ("loop", "too many links"),
    ("fifo", "not a regular file"),
    ("n" * 300, "name is too long"),
    ("a\0b", "name holds a NUL"),
    ("\ud800", "name cannot be encoded"),
    ("x.tar#none.jpg", "no such member in the tar: none.jpg"),
    ("x.tar#empty.jpg", "empty file"),
    ("none.tar#a.jpg", "no such file"),
]


@pytest.mark.parametrize(("path", "reason"), REASONS)
@pytest.mark.parametrize("read", [read_bytes, open_binary])
def test_the_reason_is_honest_and_without_the_path(folder, read, path, reason):
    with pytest.raises(MediaError) as caught:
        read(path)
    assert str(caught.value) == reason


def test_permission_denied_says_so(folder, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied", "a.jpg")

    monkeypatch.setattr(os, "open", refuse)  # tests may run as root, whom no mode stops
    with pytest.raises(MediaError, match=r"^permission denied$"):
        read_bytes("a.jpg")


def test_files_and_members_give_their_bytes(folder):
    assert (read_bytes("a.jpg"), read_bytes("x.tar#a.jpg")) == (b"image", b"member")
    with open_binary("a.jpg") as file, open_binary("x.tar#a.jpg") as member:
        assert (file.read(), member.read()) == (b"image", b"member")


def test_a_file_that_is_really_called_so_wins_over_the_tar(folder):
    (folder / "x.tar#a.jpg").write_bytes(b"literal")
    assert read_bytes("x.tar#a.jpg") == b"literal"


def test_the_root_goes_before_relative_paths_only():
    assert media_path({"path": "a.jpg"}, "/data") == "/data/a.jpg"
    assert media_path({"path": "/b.jpg"}, "/data") == "/b.jpg"
    assert media_path({"path": "a.jpg"}) == "a.jpg"
    with pytest.raises(InputError, match=r"^web\.jsonl:2: no field 'path'; has id$"):
        media_path(Record({"id": "x"}, origin="web.jsonl", line=2))
