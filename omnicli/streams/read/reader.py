"""All INPUTs of a command as one stream of records.

An input is a media file, a folder, JSONL (plain, gzip, zstd), an HDF5 shard, a WebDataset tar, an annotation list, or
stdin. The content decides the kind of a file; the name only distinguishes a list from a web page saved as ``x.jpg``.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from omnicli.errors import UsageError
from omnicli.streams.partition import Part
from omnicli.streams.read.annotations import LIST_FORMATS
from omnicli.streams.read.dispatch import Reader, parse_lines
from omnicli.streams.read.file_records import Rejected
from omnicli.streams.read.folder import OnHidden, ignore_hidden
from omnicli.streams.read.line_reader import STDIN, Lines, do_nothing, read_names
from omnicli.streams.read.list_options import NO_LIST_OPTIONS, ListOptions
from omnicli.streams.read.own_outputs import own_files
from omnicli.streams.record import OnDrop, Record


def read_records(
    inputs: Sequence[str],
    *,
    files_from: str | None = None,
    null_separated: bool = False,
    root: str | None = None,
    part: Part | None = None,
    limit: int | None = None,
    lists: ListOptions = NO_LIST_OPTIONS,
    frames: bool = False,
    on_drop: OnDrop,
    on_wait: Callable[[], None] = do_nothing,
    on_hidden: OnHidden = ignore_hidden,
    outputs: Iterable[str | None] = (),
) -> Iterator[Record]:
    """Yield the records of all inputs, in order and in constant memory.

    Each record has an ``id``, unless it has neither ID nor path; records of media files have ``path``, ``media`` and,
    below a folder or in one of several (see ``input_queries``), ``query``. Positions count 0, 1, 2, ... after ``part``
    and ``limit`` are applied, rejects included.

    Args:
        inputs: files, folders or "-"; none reads stdin, unless it is a terminal.
        files_from: a file with more inputs, one per line ("-": stdin). Ours: a missing media file in it is a reject;
            a missing stream of records is an error, as for arguments.
        null_separated: ``files_from`` is separated by NUL.
        root: folder of relative paths in records; removed from the paths of media files.
        part: read only the records of this part.
        limit: maximum number of records.
        lists: how annotation lists are read.
        frames: a folder of numbered images is one record.
        on_drop: called with each file that is not readable media: "unreadable: not media (HTML page)".
        on_wait: called before waiting for a pipe.
        on_hidden: called with each hidden file or folder below an input, which is skipped.
        outputs: files that the command writes; these and stdout are skipped below an input.

    Raises:
        UsageError: immediately, if there is no input or stdin is named twice; while reading, if an input is the file
            that stdout is written to.
        InputError: while reading; names file and line.
    """
    found = find_records(
        inputs,
        files_from=files_from,
        null_separated=null_separated,
        root=root,
        lists=lists,
        frames=frames,
        on_wait=on_wait,
        on_hidden=on_hidden,
        part=part,
        outputs=outputs,
    )
    return _number(found, part=part, limit=limit, on_drop=on_drop)


def find_records(
    inputs: Sequence[str],
    *,
    files_from: str | None = None,
    null_separated: bool = False,
    root: str | None = None,
    lists: ListOptions = NO_LIST_OPTIONS,
    frames: bool = False,
    on_wait: Callable[[], None] = do_nothing,
    parse_lines: Callable[[Iterator[Lines], str], Iterator[Any]] = parse_lines,
    on_hidden: OnHidden = ignore_hidden,
    part: Part | None = None,
    outputs: Iterable[str | None] = (),
) -> Iterator[Any]:
    """Yield the records of all inputs without positions, ``Rejected`` for unreadable files.

    ``parse_lines`` replaces what is yielded for lines of JSON. Media of other parts than ``part`` may be left out.

    Raises:
        UsageError: immediately, as ``read_records``.
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
    if lists.list_format is not None and lists.list_format not in LIST_FORMATS:
        raise UsageError(f"--list-format: expected one of {', '.join(LIST_FORMATS)}, got {lists.list_format!r}")
    reader = Reader(root, lists, frames, on_wait, parse_lines, on_hidden, part, own_files(outputs))
    return reader.read_all(names, files_from, separator=_separator(null_separated))


def read_file_list(files_from: str, *, null_separated: bool = False) -> list[str]:
    """All names in a ``--files-from`` file. Raises InputError."""
    return list(read_names(files_from, separator=_separator(null_separated)))


def _number(found: Iterator[Record], *, part: Part | None, limit: int | None, on_drop: OnDrop) -> Iterator[Record]:
    """Number the records of the part, up to the limit, and drop the rejects."""
    if limit == 0:
        return
    position = 0
    with contextlib.closing(found):  # type: ignore[type-var]  # a generator, which closes its file
        for record in found:
            if part is not None and not part.holds(record):
                continue
            record.position = position
            position += 1
            if type(record) is Rejected:
                on_drop(Record(record, origin=record.origin, line=record.line, position=record.position), record.reason)
            else:
                yield record
            if position == limit:
                return


def _separator(null_separated: bool) -> bytes:
    return b"\0" if null_separated else b"\n"


def _has_stdin() -> bool:
    """True if stdin is open and not a terminal."""
    return sys.stdin is not None and not os.isatty(STDIN)
