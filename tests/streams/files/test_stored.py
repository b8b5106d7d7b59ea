"""One set of functions for local and remote files."""

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from omnicli.streams.files import remote, stored
from omnicli.streams.files.urls import RemoteError, allow_typed


@pytest.fixture(params=["local", "remote"])
def place(tmp_path, request):
    """A folder with the file ``a``."""
    allow_typed(["memory://"])
    (tmp_path / "a").write_bytes(b"content")
    if request.param == "local":
        yield tmp_path
    else:
        remote.upload(str(tmp_path / "a"), f"memory://{tmp_path.name}/a")
        yield Path(f"memory://{tmp_path.name}")
    allow_typed([])


def test_files_are_read_asked_for_and_removed(place):
    path = place / "a"
    assert stored.read_file(path) == b"content"
    assert stored.sha256_of(path) == hashlib.sha256(b"content").hexdigest()
    assert stored.size_and_time(path)[0] == 7
    assert stored.folder_names(str(place)) == ["a"]
    stored.make_folder(place / "b" / "c")
    file = stored.open_to_read(str(path))
    assert stored.pread(file, 3, 2) == b"nte"
    stored.close_file(file)
    assert stored.file_exists(path)
    stored.remove_file(path)
    stored.remove_file(path)
    assert not stored.file_exists(path)
    with pytest.raises(OSError, match="o such file") as stopped:
        stored.read_file(path)
    assert stopped.value.errno == errno.ENOENT


def test_what_is_not_allowed_is_neither_read_nor_said_to_be_missing(tmp_path):
    allow_typed([])
    for function in (stored.read_file, stored.file_exists, stored.remove_file, stored.size_and_time):
        with pytest.raises(RemoteError, match="is not opened"):
            function(Path("memory://x/a"))


def test_a_pipe_is_read_once_and_gives_the_same_again(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[b"content"])
    writer.start()
    assert stored.sha256_of(tmp_path / "pipe") == hashlib.sha256(b"content").hexdigest()
    writer.join()
    assert stored.read_file(tmp_path / "pipe") == b"content"
    (tmp_path / "pipe").unlink()
    os.mkfifo(tmp_path / "pipe")
    assert stored.content_of_pipe(str(tmp_path / "pipe")) is None  # another one of that name


def test_a_pipe_is_told_from_what_is_none(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    names = [tmp_path / "pipe", tmp_path / "file", tmp_path, tmp_path / "gone", "a\0b"]
    assert [stored.is_fifo(str(name)) for name in names] == [True, False, False, False, False]
    assert stored.content_of_pipe(str(tmp_path / "pipe")) is None  # nobody has read it
