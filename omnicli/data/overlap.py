"""Records that two data sets share: the same id, video or file, or another file with the same content.

A model that has learnt from a video is not tested by it. Ours: two records are the same if one's `id` or media path is
the other's, if they come from one `parent`, or if their media have the same bytes, whatever their names. A row of a
shard counts as the media that it was made of.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, islice
from typing import NamedTuple, TypeVar

import numpy as np

from omnicli.errors import InputError
from omnicli.media.parallel import parallel_map
from omnicli.streams.files.content import content_key, is_same_content, media_size
from omnicli.streams.files.media_files import media_path
from omnicli.streams.record import Record, normalise_id
from omnicli.streams.shards.reader import open_shard
from omnicli.streams.stored_records import RecordSequence, records_at

T = TypeVar("T")

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
    paths: dict[str, int] = {}
    path_of, row_of, num_rows = array("q"), array("q"), 0
    for record in records:
        path_of.append(paths.setdefault(str(record.get("path")), len(paths)) if record.get("row") is not None else -1)
        row_of.append(record.get("row") or 0)
        num_rows += record.get("row") is not None
        if num_rows > MAX_ROWS:
            return Identity(root, reads_rows=False), records
    if not num_rows:
        return Identity(root), records
    ranks = np.argsort(np.argsort(list(paths)))
    path_ranks = np.where(np.asarray(path_of) < 0, -1, ranks[np.asarray(path_of)])
    return Identity(root), InOrder(records, np.lexsort((np.asarray(row_of), path_ranks)))


class InOrder(RecordSequence):
    """Records in another order, each read when it is asked for."""

    def __init__(self, records: Sequence[Record], order: np.ndarray) -> None:
        self._records, self._order = records, order

    def __len__(self) -> int:
        return len(self._order)

    def at(self, row: int) -> Record:
        """The record of a row of the order."""
        return self._records[int(self._order[row])]

    def many(self, rows: Sequence[int] | np.ndarray) -> list[Record]:
        """The records of some rows of the order."""
        return records_at(self._records, self._order[np.asarray(rows, np.int64)])


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
    ask = partial(_with_sizes, identity=identity, by_content=known.has_sizes)
    starts = range(0, len(others), FILES_AT_ONCE)
    chunks = (others[start : start + FILES_AT_ONCE] for start in starts)
    found: dict[int, Shared] = {}
    for answers in parallel_map(ask, chunks, workers=workers, ahead=2 * workers):
        for other, (row, why) in known.find_all(answers, identity):
            found.setdefault(row, Shared(known.records[row], other, why))
    return [found[row] for row in sorted(found)]


Answer = tuple[Record, str | None, int | None]  # a record, its file, and the size of that


class _Known:
    """The smaller of two sets, by name and by size: 50 bytes of memory per record.

    Names are compared by their hashes first, many at a time; what has the hash of a known name is read again.

    Attributes:
        records: in the order of their rows.
        has_sizes: the sizes of files are known.
    """

    def __init__(self, records: Sequence[Record], root: str | None, *, by_content: bool, workers: int) -> None:
        self._identity, self.records = identity_of(records, root)
        hashes, rows = array("q"), array("q")
        for row, record in enumerate(self.records):
            for name in self._identity.names(record):
                hashes.append(hash(name))
                rows.append(row)
        self._hashes = _Lookup(hashes, rows)
        sizes, rows = array("q"), array("q")
        files = (self._identity.file(record) for record in self.records) if by_content else ()
        for row, size in enumerate(_sizes_of(files, workers)):
            if size:
                sizes.append(size)
                rows.append(row)
        self._sizes = _Lookup(sizes, rows)
        self.has_sizes = len(sizes) > 0

    def find_all(self, others: Sequence[Answer], identity: Identity) -> Iterator[tuple[Record, tuple[int, str]]]:
        """Each other record that is the same as a known one, with the row of that and why."""
        names = [identity.names(other) for other, _, _ in others]
        number_of = [number for number, own in enumerate(names) for _ in own]
        named = self._hashes.has([hash(name) for own in names for name in own])
        sized = self._sizes.has([size or 0 for _, _, size in others])
        hits = {number for number, is_known in zip(number_of, named, strict=True) if is_known}
        for number in sorted(hits | set(np.flatnonzero(sized).tolist())):
            other, file, size = others[number]
            yield from ((other, found) for found in self._find(names[number], file, size))

    def _find(self, names: Mapping[str, str], file: str | None, size: int | None) -> Iterator[tuple[int, str]]:
        """The rows that are the same as a record of these names and this file, and why."""
        for name, kind in names.items():
            for row in self._hashes.rows_of(hash(name)):
                own = self._identity.names(self.records[row])
                if name in own:
                    yield row, f"same {'parent' if 'parent' in (kind, own[name]) else kind}"
        for row in self._sizes.rows_of(size) if size and file else ():
            known = self._identity.file(self.records[row])
            if known and file and _is_same(known, file):
                yield row, "same content"


class _Lookup:
    """Rows by a number, as two arrays."""

    def __init__(self, keys: "array[int]", rows: "array[int]") -> None:
        order = np.argsort(np.asarray(keys, np.int64), kind="stable")
        self._keys = np.asarray(keys, np.int64)[order]
        self._rows = np.asarray(rows, np.int64)[order]

    def has(self, keys: Sequence[int]) -> np.ndarray:
        """Whether each number is a key."""
        if not len(self._keys):
            return np.zeros(len(keys), bool)
        wanted = np.asarray(keys, np.int64)
        nearest = np.searchsorted(self._keys, wanted).clip(max=len(self._keys) - 1)
        found: np.ndarray = self._keys[nearest] == wanted
        return found

    def rows_of(self, key: int) -> list[int]:
        """The rows of a key, in their order."""
        first, last = np.searchsorted(self._keys, key, "left"), np.searchsorted(self._keys, key, "right")
        rows: list[int] = self._rows[first:last].tolist()
        return rows


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


def _with_sizes(records: Sequence[Record], *, identity: Identity, by_content: bool) -> list[Answer]:
    if not by_content:
        return [(record, None, None) for record in records]
    files = [identity.file(record) for record in records]
    return [(record, file, media_size(file) if file else None) for record, file in zip(records, files, strict=True)]


def _sizes_of(files: Iterable[str | None], workers: int) -> Iterator[int | None]:
    return in_threads(media_size, files, workers)


def in_threads(answer: Callable[[str], T | None], files: Iterable[str | None], workers: int) -> Iterator[T | None]:
    """What ``answer`` says of each file, asked in threads for many at a time; None where there is no file."""

    def answers(some: list[str | None]) -> list[T | None]:
        return [answer(file) if file else None for file in some]

    left = iter(files)
    chunks = iter(lambda: list(islice(left, FILES_AT_ONCE)), [])
    return chain.from_iterable(parallel_map(answers, chunks, workers=workers, ahead=2 * workers))


@lru_cache(maxsize=64)
def _stored_paths(path: str, start: int) -> list[str | None]:
    return [record.get("path") for record in open_shard(path).stored_records(start, start + ROWS_AT_ONCE)]
