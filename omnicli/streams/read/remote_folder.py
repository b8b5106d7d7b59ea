"""The files below a folder of a remote store, as ``folder.walk_files`` gives those of a local one."""

import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from omnicli.errors import InputError
from omnicli.streams.files.media_files import reason_of
from omnicli.streams.files.remote import list_files
from omnicli.streams.files.urls import path_below, url_of
from omnicli.streams.read.folder import FoundFile, OnHidden, are_flow, are_numbered, is_hidden, is_leftover


def walk_remote(
    url: str, *, frames: bool, without: Iterable[Path], name: bytes, on_hidden: OnHidden
) -> Iterator[FoundFile]:
    """Yield every file below ``url``; see ``walk_files`` for the arguments. Raises InputError."""
    try:
        names = list_files(url)
    except OSError as error:
        raise InputError(f"{url}: {reason_of(error)}") from None
    top = url.rstrip("/")
    skipped = tuple(f"{below.rstrip('/')}/" for path in without if (below := path_below(url_of(path) or "", url)))
    shown = [found for found in names if not (skipped and found.startswith(skipped)) and _is_shown(found, on_hidden)]
    own = b"" if any("/" in found for found in shown) else name
    above_others = {os.path.dirname(folder) for folder in {os.path.dirname(found) for found in shown} if folder}  # noqa: PTH120
    for folder, group in groupby(shown, key=os.path.dirname):
        files = [os.fsencode(found) for found in group]
        names_here = [os.path.basename(found) for found in files]  # noqa: PTH119 (bytes)
        is_flow = are_flow(names_here)
        if frames and len(files) > 1 and folder not in above_others and (is_flow or are_numbered(names_here)):
            above = os.path.basename(os.path.dirname(folder))  # noqa: PTH119, PTH120
            path = os.fsencode(f"{top}/{folder}".rstrip("/"))
            yield FoundFile(path, os.fsencode(above), num_frames=len(files) // (1 + is_flow), is_flow=is_flow)
            continue
        of = os.fsencode(os.path.basename(folder)) if folder else own  # noqa: PTH119
        yield from (FoundFile(os.fsencode(top) + b"/" + found, of) for found in files)


def _is_shown(name: str, on_hidden: OnHidden) -> bool:
    """False for hidden files, files in hidden folders, and what omni leaves beside outputs."""
    for part in map(os.fsencode, name.split("/")):
        if is_hidden(part):
            if not is_leftover(part):
                on_hidden(os.fsencode(name))
            return False
    return not name.endswith(".done.json")
