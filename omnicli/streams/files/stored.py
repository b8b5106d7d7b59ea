"""Files that a user names, local or remote, by one set of small functions."""

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from omnicli.streams.files.urls import url_of

if TYPE_CHECKING:
    from omnicli.streams.files.remote_file import RemoteFile


STDIN = 0
_pipes: dict[tuple[int, int], bytes] = {}  # contents by device and inode: a pipe can be read only once


def read_file(path: str | Path) -> bytes:
    """The content of a file that an option names; of a pipe, such as ``<(command)``, the same again. Raises OSError."""
    if url := url_of(path):
        from omnicli.streams.files.remote_file import read_remote  # noqa: PLC0415 (most files are local)

        return read_remote(url)
    key = _pipe(str(path))
    if key is None:
        return Path(path).read_bytes()
    if key not in _pipes:
        descriptor = os.open(path, os.O_RDONLY)  # stays open, so that no later pipe has this inode
        with open(descriptor, "rb", closefd=False) as file:
            _pipes[key] = file.read()
    return _pipes[key]


def read_stdin() -> bytes:
    """All of stdin, a pipe or a file; the same again. Raises OSError."""
    found = os.fstat(STDIN)
    key = found.st_dev, found.st_ino
    if key not in _pipes:
        with open(STDIN, "rb", closefd=False) as file:
            _pipes[key] = file.read()
    return _pipes[key]


def is_fifo(name: str) -> bool:
    """Whether the name is a pipe, such as ``<(command)``."""
    return _pipe(name) is not None


def content_of_pipe(name: str) -> bytes | None:
    """What ``read_file`` has read from this pipe, which is empty now; None for what it has not read."""
    return _pipes.get(key) if _pipes and (key := _pipe(name)) else None


def _pipe(name: str) -> tuple[int, int] | None:
    """Device and inode of a pipe; None for what is none."""
    try:
        found = os.stat(name)  # noqa: PTH116 (Path refuses some names)
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISFIFO(found.st_mode) else None


def file_exists(path: Path) -> bool:
    """Whether there is a file. Raises OSError: nobody can say."""
    if url := url_of(path):
        from omnicli.streams.files import remote  # noqa: PLC0415

        return remote.exists(url)
    return path.exists()


def remove_file(path: Path) -> None:
    """Remove a file, if it exists. Raises OSError."""
    if url := url_of(path):
        from omnicli.streams.files import remote  # noqa: PLC0415

        remote.remove(url)
    else:
        path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it; an object store needs none. Raises OSError."""
    if url_of(path) is None:
        path.mkdir(parents=True, exist_ok=True)


def folder_names(path: str) -> list[str]:
    """Names of the files in a folder, in no order. Raises OSError."""
    if url := url_of(path):
        from omnicli.streams.files import remote  # noqa: PLC0415

        return [name for name in remote.list_files(url) if "/" not in name]
    return os.listdir(path)  # noqa: PTH208 (Path refuses some names)


def size_and_time(path: Path) -> tuple[int, int]:
    """Size in bytes, and when the file was changed, in ns; of a remote file its size and a digest of its stamp.

    Raises:
        OSError: it cannot be read.
    """
    if url := url_of(path):
        from omnicli.streams.files.remote_file import remote_identity  # noqa: PLC0415

        return remote_identity(url)
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hex. Raises OSError."""
    if url_of(path) or path.is_fifo():
        return hashlib.sha256(read_file(path)).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pread(file: "int | RemoteFile", size: int, offset: int) -> bytes:
    """Bytes of an open file at an offset, fewer at its end. Raises OSError."""
    return os.pread(file, size, offset) if isinstance(file, int) else file.pread(size, offset)


def open_to_read(path: str) -> "int | RemoteFile":
    """A descriptor of a local file, or a remote file, for ``pread``. Raises OSError."""
    if url := url_of(path):
        from omnicli.streams.files.remote_file import RemoteFile  # noqa: PLC0415

        return RemoteFile(url)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def close_file(file: "int | RemoteFile") -> None:
    """Close what ``open_to_read`` opened."""
    if isinstance(file, int):
        os.close(file)
    else:
        file.close()
