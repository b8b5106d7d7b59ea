"""CSV lists of Kinetics: ``label,youtube_id,time_start,time_end,split``, a trimmed clip per line."""

import contextlib
import csv
import os
from collections.abc import Callable, Iterator
from typing import Any

from omnicli.errors import InputError
from omnicli.streams.files.media_files import reason_of
from omnicli.streams.files.urls import path_below, url_of
from omnicli.streams.read.file_records import file_fields, record_path, unreadable_file
from omnicli.streams.record import Record, normalise_id

_TRIMMED_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi")
_SPLITS = {"validate": "val", "validation": "val"}  # as the lists of Kinetics spell it

Line = tuple[int, str]


def is_kinetics(first: str) -> bool:
    """Whether the first line is the header of a Kinetics list."""
    return "youtube_id" in [column.strip().strip('"').casefold() for column in first.split(",")]


def read_kinetics(
    rows: Iterator[Line], name: str, root: str | None, *, split: str | None = None, raw_videos: bool = False
) -> Iterator[Record]:
    """Yield the records of a Kinetics CSV; videos that were not downloaded are rejects.

    Args:
        rows: numbered lines, the header first.
        name: path of the list; its folder contains the videos if ``root`` is None.
        root: folder of the videos.
        split: only lines of this part.
        raw_videos: whole videos, named by their ID alone, with the labelled interval in ``labelled_sec``; their other
            seconds are the untrimmed videos of OmniSource Sec. 4.1 (K400-untr).

    Raises:
        InputError: a line of another form; names file and line.
    """
    number, header = next(rows)
    columns = [column.strip() for column in next(csv.reader([header]))]
    needed = {"youtube_id", "time_start", "time_end"} | ({"split"} if split else set())
    if missing := needed - set(columns):
        raise InputError(f"{name}:{number}: no column {', '.join(sorted(missing))}; has {', '.join(columns)}")
    top = root if root is not None else os.path.dirname(name)  # noqa: PTH120
    exists = _finder(top)
    for number, line in rows:
        values = next(csv.reader([line]))
        if len(values) != len(columns):
            raise InputError(f"{name}:{number}: expected {len(columns)} columns, got {len(values)}: {line[:60]!r}")
        row = dict(zip(columns, values, strict=True))
        if split is not None and _SPLITS.get(row["split"], row["split"]) != split:
            continue
        try:
            start, end = int(float(row["time_start"])), int(float(row["time_end"]))
        except (ValueError, OverflowError):
            raise InputError(f"{name}:{number}: time_start and time_end must be seconds: {line[:60]!r}") from None
        stem, extra = f"{row['youtube_id']}_{start:06d}_{end:06d}", dict[str, Any]()
        if raw_videos:
            stem, extra = row["youtube_id"], {"labelled_sec": [float(row["time_start"]), float(row["time_end"])]}
        record = _kinetics_record(row, stem, top, root, name, number, exists)
        record |= extra
        yield record


def _finder(top: str) -> Callable[[str], bool]:
    """Says whether a file below the folder exists; a remote folder is listed once. Raises InputError."""
    url = url_of(top)
    if url is None:
        return os.path.exists
    from omnicli.streams.files import remote  # noqa: PLC0415 (most folders are local)

    def asked(path: str) -> bool:
        with _named(url):
            return remote.exists(url_of(path) or "")

    if url.startswith(("http:", "https:")):  # which have no listing
        return asked
    with _named(url):
        found = set(remote.list_files(url))
    return lambda path: path_below(url_of(path) or "", url) in found


@contextlib.contextmanager
def _named(url: str) -> Iterator[None]:
    """Turn an error of the store into InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{url}: {reason_of(error)}") from None


def _kinetics_record(
    row: dict[str, str], stem: str, top: str, root: str | None, name: str, number: int, exists: Callable[[str], bool]
) -> Record:
    label = row.get("label", "")
    extra = {"youtube_id": row["youtube_id"]} | ({"split": row["split"]} if row.get("split") else {})
    extra |= {"class_name": label} if label else {}
    folders = ["", *dict.fromkeys((label, label.replace(" ", "_")))] if label else [""]
    for suffix in _TRIMMED_SUFFIXES:
        for folder in folders:
            path = os.path.join(top, folder, stem + suffix)  # noqa: PTH118 (as given)
            if exists(path):
                return Record(file_fields(path, root) | extra, origin=name, line=number)
    path = record_path(os.path.join(top, stem + _TRIMMED_SUFFIXES[0]), root)  # noqa: PTH118
    return unreadable_file("no such file", {"id": normalise_id(path), "path": path} | extra, origin=name, line=number)
