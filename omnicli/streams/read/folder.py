"""The files below a folder, in the same order on every file system."""

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from omnicli.streams.files.media_files import reason_of
from omnicli.streams.files.urls import url_of

_OWN_LEFTOVERS = re.compile(rb"\..*\.(part|state|tmp|lock|reading|crash|last\.pth)", re.DOTALL)
_OF_THE_SYSTEM = {b"__macosx", b"@eadir", b"#recycle", b"thumbs.db", b"ehthumbs.db", b"desktop.ini"}  # in small letters
_NUMBERED_FLOW = re.compile(rb"((?:.*_)?)[xy](_[0-9]+\.(jpe?g|png|webp|bmp))", re.DOTALL | re.IGNORECASE)
_NUMBERED_IMAGE = re.compile(rb"(.*?)[0-9]+\.(jpe?g|png|webp|bmp|tiff?)", re.DOTALL | re.IGNORECASE)


class FoundFile(NamedTuple):
    """One file below a folder.

    Attributes:
        path: the given folder with the path below it.
        folder: name of the file's folder; b"" in the given folder.
        problem: why a folder cannot be listed; "" for files.
        num_frames: number of images in a folder of frames, of pairs in a folder of flow; 0 for a file.
        is_flow: the folder holds optical flow, an image per axis.
    """

    path: bytes
    folder: bytes
    problem: str = ""
    num_frames: int = 0
    is_flow: bool = False


OnHidden = Callable[[bytes], None]
"""Called with the path of each hidden file or folder that is skipped."""


class _Level(NamedTuple):
    path: bytes
    name: bytes
    names: Iterator[bytes]
    folders: set[bytes]
    identity: tuple[int, int]


def ignore_hidden(path: bytes) -> None:
    """Count nothing: the default of ``on_hidden``."""


def walk_files(
    top: str,
    *,
    frames: bool = False,
    without: Iterable[Path] = (),
    name: bytes = b"",
    on_hidden: OnHidden = ignore_hidden,
) -> Iterator[FoundFile]:
    """Yield every file below ``top``, depth first, each folder sorted by the bytes of its names.

    Links are followed, except to a folder above. Hidden files and folders (``.NAME``, and what macOS, Windows and
    Synology leave: ``__MACOSX``, ``Thumbs.db``, ``@eaDir``, ...) are skipped, as are the files that omni leaves beside
    outputs (``.NAME.part``, ``*.done.json``, ...), which are not reported. A folder that cannot be listed is yielded
    with its ``problem``.

    Args:
        top: a folder.
        frames: yield a folder that contains two or more numbered images and nothing else as one entry; so also one
            that contains pairs of numbered images of flow (``flow_x_00001.jpg``, ``flow_y_00001.jpg``).
        without: folders to skip; they need not exist.
        name: ``folder`` of the files in ``top`` itself, if it has no folders.
        on_hidden: called with each hidden file or folder.
    """
    if url := url_of(top):
        from omnicli.streams.read.remote_folder import walk_remote  # noqa: PLC0415 (most folders are local)

        yield from walk_remote(url, frames=frames, without=without, name=name, on_hidden=on_hidden)
        return
    skipped = [(status.st_dev, status.st_ino) for status in (path.stat() for path in without if path.exists())]
    prefix = b"" if os.path.normpath(top) == "." else os.fsencode(top)
    opened = _open_level(prefix or b".", b"", (), frames, on_hidden)
    if opened is None:
        return
    if isinstance(opened, FoundFile):
        yield opened
        return
    stack = [opened._replace(path=prefix, name=b"" if opened.folders else name)]
    while stack:
        level = stack[-1]
        below_name = next(level.names, None)
        if below_name is None:
            stack.pop()
            continue
        path = os.path.join(level.path, below_name)  # noqa: PTH118 (bytes)
        if below_name not in level.folders:
            yield FoundFile(path, level.name)
            continue
        below = _open_level(path, below_name, skipped + [above.identity for above in stack], frames, on_hidden)
        if isinstance(below, FoundFile):
            yield below._replace(folder=level.name)
        elif below is not None:
            stack.append(below)


def _open_level(
    path: bytes, name: bytes, above: list[tuple[int, int]] | tuple[()], frames: bool, on_hidden: OnHidden
) -> _Level | FoundFile | None:
    """The names in a folder; None if it is one of ``above``; a FoundFile for frames or an unreadable folder."""
    try:
        status = os.stat(path)  # noqa: PTH116 (bytes)
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            return None
        names, folders = _list(path, on_hidden)
    except OSError as error:
        return FoundFile(path, b"", problem=reason_of(error))
    if frames and not folders and len(names) > 1 and are_numbered(names):
        return FoundFile(path, b"", num_frames=len(names))
    if frames and not folders and len(names) > 1 and are_flow(names):
        return FoundFile(path, b"", num_frames=len(names) // 2, is_flow=True)
    return _Level(path, name, iter(names), folders, identity)


def _list(path: bytes, on_hidden: OnHidden) -> tuple[list[bytes], set[bytes]]:
    """The sorted names in a folder that are not hidden, and those of them that are folders."""
    names: list[bytes] = []
    folders: set[bytes] = set()
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if is_hidden(name):
                if not is_leftover(name):
                    on_hidden(entry.path)
                continue
            if name.endswith(b".done.json"):
                continue
            names.append(name)
            try:
                if entry.is_dir():
                    folders.add(name)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.EACCES):  # reported when the file is opened
                    raise
    names.sort()
    return names, folders


def is_hidden(name: bytes) -> bool:
    """True for names that are skipped."""
    return name[:1] == b"." or name.lower() in _OF_THE_SYSTEM


def is_leftover(name: bytes) -> bool:
    """True for hidden files that omni leaves beside outputs."""
    return _OWN_LEFTOVERS.fullmatch(name) is not None


def are_numbered(names: list[bytes]) -> bool:
    """True if all names consist of the same prefix, a number, and a suffix of images."""
    prefixes = set()
    for name in names:
        match = _NUMBERED_IMAGE.fullmatch(name)
        if not match:
            return False
        prefixes.add(match[1])
    return len(prefixes) == 1


def are_flow(names: list[bytes]) -> bool:
    """True if all names are those of images of flow, one for each axis."""
    matches = [_NUMBERED_FLOW.fullmatch(name) for name in names]
    return all(matches) and 2 * len({(match[1], match[2]) for match in matches if match}) == len(names)
