"""Every kind of INPUT as one stream of records.

Media files, folders, JSONL (plain, gzip, zstd), HDF5 shards, WebDataset tars, annotation lists, stdin. Content decides
what a file is; names only help to tell a list from a page that a crawler saved as ``x.jpg``.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from omnicli.errors import UsageError
from omnicli.streams.partition import Part
from omnicli.streams.read.annotations import LIST_FORMATS
from omnicli.streams.read.dispatch import STDIN, Reader, parse_lines, read_names
from omnicli.streams.read.file_records import Rejected
from omnicli.streams.read.line_reader import Lines, nothing
from omnicli.streams.record import OnDrop, Record


def read_records(
    inputs: Sequence[str],
    *,
    files_from: str | None = None,
    null_separated: bool = False,
    root: str | None = None,
    shard: Part | None = None,
    limit: int | None = None,
    list_format: str | None = None,
    frames: bool = False,
    on_drop: OnDrop,
    on_wait: Callable[[], None] = nothing,
) -> Iterator[Record]:
    """All records of all inputs, in order, lazily and in flat memory.

    Each has ``id`` (unless it has neither id nor path); media files that are found or named have ``path``, ``media``
    and, below a folder, ``query``. Positions count 0, 1, 2, ... after ``shard`` and ``limit``, rejects included.

    Args:
        inputs: as typed; none: stdin, unless it is a terminal.
        files_from: a file with more inputs, one a line ("-": stdin). Ours: a media file named there that is missing is
            a counted reject, a stream that is missing an error, as any argument is.
        null_separated: ``files_from`` is separated by NUL.
        root: where relative paths of records start; taken off the paths of files that are found or named.
        shard: take only this part.
        limit: take only the first so many.
        list_format: what annotation lists are ("mmaction", "frames", "kinetics", "ucf101"); None recognises them.
        frames: a folder of numbered images is one record.
        on_drop: told of everything that is no readable media: "unreadable: not media (HTML page)".
        on_wait: called before waiting for a pipe.

    Raises:
        UsageError: at once, if there is nothing to read or stdin is asked for twice.
        InputError: while reading; names file and line.
    """
    found = find_records(
        inputs,
        files_from=files_from,
        null_separated=null_separated,
        root=root,
        list_format=list_format,
        frames=frames,
        on_wait=on_wait,
    )
    return _number(found, shard=shard, limit=limit, on_drop=on_drop)


def find_records(
    inputs: Sequence[str],
    *,
    files_from: str | None = None,
    null_separated: bool = False,
    root: str | None = None,
    list_format: str | None = None,
    frames: bool = False,
    on_wait: Callable[[], None] = nothing,
    parse_lines: Callable[[Iterator[Lines], str], Iterator[Any]] = parse_lines,
) -> Iterator[Any]:
    """What inputs hold, before it is numbered: records, ``Rejected``, and what ``parse_lines`` makes of lines of JSON.

    Raises:
        UsageError: at once, as ``read_records``.
        InputError: while reading.
    """
    names = list(inputs)
    if not names and files_from is None:
        if not _has_stdin():
            raise UsageError("no INPUT: give files, folders or -, or pipe records into stdin")
        names = ["-"]
    if names.count("-") + (files_from == "-") > 1:
        raise UsageError("stdin (-) can be read only once")
    if sys.stdin is None and ("-" in names or files_from == "-"):
        raise UsageError("stdin (-) is closed; name files or folders")
    if list_format is not None and list_format not in LIST_FORMATS:
        raise UsageError(f"--list-format: expected one of {', '.join(LIST_FORMATS)}, got {list_format!r}")
    reader = Reader(root, list_format, frames, on_wait, parse_lines)
    return reader.read_all(names, files_from, separator=_separator(null_separated))


def read_file_list(files_from: str, *, null_separated: bool = False) -> list[str]:
    """The names in a ``--files-from`` file, for who needs them all before the first is read. Raises InputError."""
    return list(read_names(files_from, separator=_separator(null_separated)))


def _number(found: Iterator[Record], *, shard: Part | None, limit: int | None, on_drop: OnDrop) -> Iterator[Record]:
    """Positions for what belongs to the shard, up to the limit; rejects leave here."""
    if limit == 0:
        return
    position = 0
    with contextlib.closing(found):  # type: ignore[type-var]  # it is a generator: files close with it
        for record in found:
            if shard is not None and not shard.holds(record):
                continue
            record.position = position
            position += 1
            if type(record) is Rejected:
                on_drop(Record(record, origin=record.origin, line=record.line, position=record.position), record.why)
            else:
                yield record
            if position == limit:
                return


def _separator(null_separated: bool) -> bytes:
    return b"\0" if null_separated else b"\n"


def _has_stdin() -> bool:
    """True if stdin is open and no terminal."""
    return sys.stdin is not None and not os.isatty(STDIN)
