"""Lock files, so that two processes do not write the same output."""

import fcntl
import os
import warnings
from pathlib import Path
from typing import BinaryIO

from omnicli.errors import OmniError


def open_locked(path: Path, name: str) -> BinaryIO:
    """Open a file for appending and lock it until it is closed or the process ends. The file is created if missing.

    On a file system without locks the file is opened without one.

    Args:
        path: of the file.
        name: of the output, for the message.

    Raises:
        OmniError: another process has locked it.
        OSError: it cannot be opened.
    """
    try:
        return _open(path)[0]
    except BlockingIOError:
        raise OmniError(
            f"{name}: another process is writing it (it has locked {path}); wait for it or write elsewhere"
        ) from None


def open_if_free(path: Path) -> BinaryIO | None:
    """Open a file for appending and lock it; None if another process has locked it, or where locks do not work.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        file, is_locked = _open(path)
    except BlockingIOError:
        return None
    if is_locked:
        return file
    file.close()
    path.unlink(missing_ok=True)
    return None


def _open(path: Path) -> tuple[BinaryIO, bool]:
    """The open file, and whether it is locked. Raises BlockingIOError: by another process."""
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise
        except OSError as error:
            _say_once(path.parent, error)
            return file, False
        if _is_at(path, file):
            return file, True
        file.close()  # the other process removed or renamed the file before it closed it


def _say_once(folder: Path, error: OSError) -> None:
    """A warning about a file system without locks, once for each process."""
    if not _Said.locks:
        _Said.locks = True
        warnings.warn(
            f"{folder}: the file system has no locks ({error.strerror or error}); outputs are claimed by files alone",
            stacklevel=2,
        )


class _Said:
    """What this process has warned of."""

    locks = False


def _is_at(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
