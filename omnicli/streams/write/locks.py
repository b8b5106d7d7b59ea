"""Files that one process holds: while it does, no other writes what they stand for."""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

from omnicli.errors import OmniError


def open_alone(path: Path, name: str) -> BinaryIO:
    """A file open for appending, made if missing, and locked until it is closed or the process ends, however it does.

    On a file system without locks it is open all the same: the user's care.

    Args:
        path: of the file.
        name: what is being written, for the message.

    Raises:
        OmniError: another process holds it.
        OSError: it cannot be opened.
    """
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise OmniError(
                f"{name}: another process is writing it (it holds {path}); wait for it or write elsewhere"
            ) from None
        except OSError:
            return file
        if _is_at(path, file):
            return file
        file.close()  # who held it removed or renamed it before letting go


def _is_at(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
