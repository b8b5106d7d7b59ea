"""Where outputs on a remote store are written before they are uploaded: a folder below TMPDIR.

A store cannot append, lock or rename. So everything that grows beside a local output (part files, state, lock) lies on
the local disk here, under a name that depends on the URL alone: the same command finds it again after a kill. A
finished file is uploaded whole, and its marker after it. Ours: on another machine, or without the folder, an unfinished
file starts over; with ``-o DIR/`` the finished ones are done there too.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from omnicli.streams.files.urls import url_of


def local_twin(path: Path) -> Path:
    """Where an output is written: a local output in its place (links are followed), a remote one in the folder here.

    Raises:
        OSError: the folder cannot be made, or belongs to another user.
    """
    url = url_of(path)
    if url is None:
        return Path(os.path.realpath(path))
    folder, _, name = url.rpartition("/")
    top = Path(tempfile.gettempdir()) / f"omni-{os.getuid()}"
    top.mkdir(mode=0o700, exist_ok=True)
    found = top.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022 or top.is_symlink():
        raise PermissionError(13, f"{top} is writable by others; set TMPDIR to a folder of your own")
    twin = top / hashlib.blake2b(folder.encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()
    twin.mkdir(exist_ok=True)
    return twin / name


@contextlib.contextmanager
def open_upload(path: Path) -> Iterator[BinaryIO]:
    """Open a local file that is uploaded to the URL if the block succeeds. Raises OSError."""
    from omnicli.streams.files import remote  # noqa: PLC0415 (most outputs are local)

    with tempfile.NamedTemporaryFile(prefix="omni-") as file:
        yield file  # type: ignore[misc]
        file.flush()
        remote.upload(file.name, url_of(path) or "")


def upload_and_remove(local: Path, path: Path) -> None:
    """Move a finished local file to its URL. Raises OSError."""
    from omnicli.streams.files import remote  # noqa: PLC0415

    remote.upload(str(local), url_of(path) or "")
    local.unlink()
