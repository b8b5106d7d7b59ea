"""Files that the command itself writes: they are no data below an INPUT, and to read one while it grows never ends."""

import os
import stat
from collections.abc import Iterable

from omnicli.errors import UsageError

STDOUT = 1

Identity = tuple[int, int]  # device and inode


def own_files(outputs: Iterable[str | os.PathLike[str] | None]) -> frozenset[Identity]:
    """The outputs that exist as files, and stdout if it is one."""
    found = (_identity(output) for output in (STDOUT, *outputs) if output is not None)
    return frozenset(identity for identity in found if identity is not None)


def is_among(name: bytes | str, files: frozenset[Identity]) -> bool:
    """Whether the name is one of the files, by whatever link."""
    return bool(files) and _identity(name) in files


def refuse_stdout(name: str, file: int | str) -> None:
    """Raises UsageError: the input ``file``, a descriptor or a name, is the file that stdout is written to."""
    identity = _identity(STDOUT)
    if identity is not None and _identity(file) == identity:
        raise UsageError(f"{name}: is read and, as stdout, written at once; write to another file")


def _identity(file: int | str | bytes | os.PathLike[str]) -> Identity | None:
    """None for what is no file: a pipe, a device, a folder, a URL, nothing."""
    try:
        found = os.stat(file)  # noqa: PTH116 (descriptors, and names that Path refuses)
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None
