"""Records that two data sets share: the same id, video or file, or another file with the same content.

A model that has learnt from a video is not tested by it. Ours: two records are the same if one's `id` or media path is
the other's, if they come from one `parent`, or if their media have the same bytes, whatever their names. A row of a
shard counts as the media that it was made of.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

from omnicli.errors import InputError
from omnicli.media.parallel import parallel_map
from omnicli.streams.files.content import content_key, is_same_content, media_size
from omnicli.streams.files.media_files import media_path
from omnicli.streams.record import Record, normalise_id
from omnicli.streams.shards.reader import open_shard

MAX_ROWS = 1 << 18  # Ours: rows of larger sets are known by id and parent only; reading them all would take minutes
ROWS_AT_ONCE = 1000
FILES_AT_ONCE = 256
NUM_SHOWN = 3


class Shared(NamedTuple):
    """Two records that are the same, and why."""

    record: Record
    other: Record
    why: str


@dataclass(frozen=True)
class Identity:
    """What makes a record the same as another.

    Attributes:
        root: folder that relative paths start from.
        reads_rows: look up what a row of a shard was made of.
    """

    root: str | None = None
    reads_rows: bool = True

    def path(self, record: Record) -> str | None:
        """The ``path`` of the record's media, of a row that of the media it was made of; None if there is none."""
        row: int | None = record.get("row")
        if row is None:
            path: str | None = record.get("path")
            return path
        if not self.reads_rows:
            return None
        try:
            start = row // ROWS_AT_ONCE * ROWS_AT_ONCE
            return _stored_paths(media_path(record, self.root), start)[row - start]
        except (InputError, IndexError):
            return None

    def file(self, record: Record) -> str | None:
        """The file of ``path``."""
        path = self.path(record)
        return None if path is None else media_path({"path": path}, self.root)

    def names(self, record: Record) -> dict[str, str]:
        """The names of a record by which another is the same, and what each of them is: id, parent or path."""
        path = self.path(record)
        names = {} if path is None else {normalise_id(path): "path"}
        for field in ("parent", "id"):
            if record.get(field):
                names[str(record[field])] = field
        return names


def identity_of(records: Sequence[Record], root: str | None) -> tuple[Identity, Sequence[Record]]:
    """The identity of a set of records, and the records in an order that reads rows of shards once."""
    num_rows = sum(record.get("row") is not None for record in records)
    if not 0 < num_rows <= MAX_ROWS:
        return Identity(root, reads_rows=not num_rows), records
    return Identity(root), sorted(records, key=lambda record: (str(record.get("path")), record.get("row") or 0))


def find_shared(
    records: Sequence[Record], others: Sequence[Record], *, root: str | None, by_content: bool, workers: int
) -> list[Shared]:
    """Each record that is also among the others, once.

    Args:
        records: the smaller set; its names are in memory.
        others: any number of records; no memory goes by their number.
        root: folder that relative paths start from.
        by_content: compare media too: only files of the same size are opened.
        workers: threads that ask for sizes.
    """
    known = _Known(records, root, by_content=by_content, workers=workers)
    identity, others = identity_of(others, root)
    ask = partial(_with_sizes, identity=identity, by_content=bool(known.sized))
    starts = range(0, len(others), FILES_AT_ONCE)
    chunks = (others[start : start + FILES_AT_ONCE] for start in starts)
    found: dict[int, Shared] = {}
    for answers in parallel_map(ask, chunks, workers=workers, ahead=2 * workers):
        for other, file, size in answers:
            for row, why in known.find(identity.names(other), file, size):
                found.setdefault(row, Shared(known.records[row], other, why))
    return [found[row] for row in sorted(found)]


class _Known:
    """The smaller of two sets, by name and by size.

    Attributes:
        records: in the order of their rows.
        sized: rows by the size of their files.
    """

    def __init__(self, records: Sequence[Record], root: str | None, *, by_content: bool, workers: int) -> None:
        identity, self.records = identity_of(records, root)
        self._names = [identity.names(record) for record in self.records]
        self._named: defaultdict[str, list[int]] = defaultdict(list)
        for row, names in enumerate(self._names):
            for name in names:
                self._named[name].append(row)
        self._files = [identity.file(record) if by_content else None for record in self.records]
        self.sized: defaultdict[int, list[int]] = defaultdict(list)
        for row, size in enumerate(_sizes_of(self._files, workers)):
            if size:
                self.sized[size].append(row)

    def find(self, names: Mapping[str, str], file: str | None, size: int | None) -> Iterator[tuple[int, str]]:
        """The rows that are the same as a record of these names and this file, and why."""
        for name, kind in names.items():
            for row in self._named.get(name, ()):
                yield row, f"same {'parent' if 'parent' in (kind, self._names[row][name]) else kind}"
        for row in self.sized.get(size or 0, ()):
            own = self._files[row]
            if own and file and _is_same(own, file):
                yield row, "same content"


def shown_shared(shared: Sequence[Shared]) -> str:
    """A few of the pairs, for a message."""
    pairs = [f"{shown_record(pair.record)} is {shown_record(pair.other)} ({pair.why})" for pair in shared[:NUM_SHOWN]]
    return ", ".join(pairs) + (", ..." if len(shared) > NUM_SHOWN else "")


def shown_record(record: Record) -> str:
    """The file of a record, or the ID of a row, and where it is listed."""
    name = str((record.get("path") if record.get("row") is None else None) or record.get("id"))
    return f"{name} at {record.where}" if record.line and record.get("row") is None else name


def _is_same(path: str, other: str) -> bool:
    return path == other or (content_key(path) == content_key(other) and is_same_content(path, other))


def _with_sizes(
    records: Sequence[Record], *, identity: Identity, by_content: bool
) -> list[tuple[Record, str | None, int | None]]:
    if not by_content:
        return [(record, None, None) for record in records]
    files = [identity.file(record) for record in records]
    return [(record, file, media_size(file) if file else None) for record, file in zip(records, files, strict=True)]


def _sizes_of(files: Sequence[str | None], workers: int) -> Iterator[int | None]:
    if not any(files):
        return iter(())
    return parallel_map(lambda file: media_size(file) if file else None, files, workers=workers, ahead=4 * workers)


@lru_cache(maxsize=64)
def _stored_paths(path: str, start: int) -> list[str | None]:
    return [record.get("path") for record in open_shard(path).stored_records(start, start + ROWS_AT_ONCE)]
