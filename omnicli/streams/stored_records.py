"""Any number of records in 40 bytes of memory each: their lines are in TMPDIR, and read when a record is asked for.

A training needs its records in random order, from many threads. As dictionaries they would take 2 kB each, and 4 kB
with an ``inflation``, in every process. The recipes of a stream are few, so each is stored once.
"""

import hashlib
from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import msgspec
import numpy as np

from omnicli.streams.record import Record, format_record
from omnicli.streams.temp_records import TempFile

SHARED = "inflation"  # the field whose values are stored once
PLACE = b'"inflation":null'
LINES_AT_ONCE = 1024
SPREAD = 4  # rows that lie further apart than this, on the average, are read one by one
NO_VALUE = -1

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class RecordSequence(Sequence[Record]):
    """Records that are read when they are asked for: ``at(row)`` gives one, a slice a list."""

    @abstractmethod
    def at(self, row: int) -> Record:
        """The record of a row in [0, len)."""

    def many(self, rows: Sequence[int] | np.ndarray) -> list[Record]:
        """The records of some rows, in their order; faster than one at a time where the rows lie together."""
        return [self.at(int(row)) for row in rows]

    def __iter__(self) -> Iterator[Record]:
        for first in range(0, len(self), LINES_AT_ONCE):
            yield from self.many(range(first, min(first + LINES_AT_ONCE, len(self))))

    @overload
    def __getitem__(self, row: int) -> Record: ...
    @overload
    def __getitem__(self, row: slice) -> list[Record]: ...
    def __getitem__(self, row: int | slice) -> Record | list[Record]:
        if isinstance(row, slice):
            return self.many(range(*row.indices(len(self))))
        return self.at(range(len(self))[row])


class StoredRecords(RecordSequence):
    """Records without arrays and verdict, in the order they came; can be read from many threads once all are added.

    Raises:
        OutputError: TMPDIR is full, or cannot be written.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._file = TempFile()
        self._ends = array("Q", [0])
        self._lines = array("Q")
        self._positions = array("Q")
        self._origins, self._origin_numbers = array("I"), dict[str, int]()
        self._shared, self._shared_numbers = array("i"), dict[bytes, int]()
        self._origin_names: list[str] = []
        self._shared_values: list[Any] = []
        self._shared_texts: list[bytes] = []
        self._ids = array("Q")
        self._weights = array("d")
        for record in records:
            self.add(record)

    def add(self, record: Record) -> int:
        """Append one record and return its row. Raises OutputError."""
        line, number = self._line_of(record)
        self._file.write(line)
        self._ends.append(self._ends[-1] + len(line))
        self._lines.append(record.line)
        self._positions.append(record.position)
        origin = self._origin_numbers.setdefault(record.origin, len(self._origin_names))
        if origin == len(self._origin_names):
            self._origin_names.append(record.origin)
        self._origins.append(origin)
        self._shared.append(number)
        self._ids.append(digest_of_id(record))
        weight = record.get("weight")
        self._weights.append(float("nan") if weight is None else weight)
        return len(self) - 1

    def __len__(self) -> int:
        return len(self._lines)

    def at(self, row: int) -> Record:
        """The record of a row. Raises OutputError."""
        start, end = self._ends[row], self._ends[row + 1]
        return self._record(row, self._file.read(start, end - start))

    def many(self, rows: Sequence[int] | np.ndarray) -> list[Record]:
        """The records of some rows; in one read where they lie together. Raises OutputError."""
        if not len(rows):
            return []
        numbers = np.asarray(rows, np.int64)
        first, last = int(numbers.min()), int(numbers.max())
        if last - first >= SPREAD * len(numbers):
            return [self.at(int(row)) for row in rows]
        ends = self._ends[first : last + 2]
        block = self._file.read(ends[0], ends[-1] - ends[0])
        found = []
        for row in numbers.tolist():
            start, end = ends[row - first] - ends[0], ends[row - first + 1] - ends[0]
            found.append(self._record(row, block[start:end]))
        return found

    @property
    def ids(self) -> np.ndarray:
        """(N,) uint64 digests of the ids."""
        return np.frombuffer(self._ids, np.uint64) if len(self) else np.empty(0, np.uint64)

    @property
    def weights(self) -> np.ndarray:
        """(N,) float64, the ``weight`` of each record; NaN without one."""
        return np.frombuffer(self._weights, np.float64) if len(self) else np.empty(0)

    def lines(self) -> Iterator[bytes]:
        """The line of each record, as ``format_record`` gives it."""
        for number, line in zip(self._shared, self._stored_lines(), strict=True):
            yield line if number == NO_VALUE else line.replace(PLACE, self._shared_texts[number], 1)

    def _line_of(self, record: Record) -> tuple[bytes, int]:
        """The line to store, and the number of the value that it lacks."""
        value = record.get(SHARED)
        if value is None:
            return format_record(record), NO_VALUE
        line = format_record({**record, SHARED: None})
        if line.count(PLACE) != 1:  # a nested field of the same name
            return format_record(record), NO_VALUE
        text = format_record({SHARED: value})[1:-2]
        number = self._shared_numbers.setdefault(text, len(self._shared_values))
        if number == len(self._shared_values):
            self._shared_texts.append(text)
            self._shared_values.append(_decode(_encode(value)))
        return line, number

    def _record(self, row: int, line: bytes) -> Record:
        fields = _decode(line)
        number = self._shared[row]
        if number != NO_VALUE:
            fields[SHARED] = self._shared_values[number]
        origin = self._origin_names[self._origins[row]]
        return Record(fields, origin=origin, line=self._lines[row], position=self._positions[row])

    def _stored_lines(self) -> Iterator[bytes]:
        for first in range(0, len(self), LINES_AT_ONCE):
            ends = self._ends[first : first + LINES_AT_ONCE + 1]
            block = self._file.read(ends[0], ends[-1] - ends[0])
            for start, end in pairwise(ends):
                yield block[start - ends[0] : end - ends[0]]


def records_at(records: Sequence[Record], rows: Sequence[int] | np.ndarray) -> list[Record]:
    """Some of the records, in the order of ``rows``."""
    if isinstance(records, RecordSequence):
        return records.many(rows)
    return [records[int(row)] for row in rows]


def digest_of_id(record: Record) -> int:
    """64 bits of the ID, by which records of one ID are found."""
    name = str(record.get("id")).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
