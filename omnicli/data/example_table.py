"""The examples of a data set as columns: 60 bytes of memory per example, whose record is read when it is asked for."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np

from omnicli.data.dataloader import Example
from omnicli.streams.record import Record, format_record
from omnicli.streams.stored_records import RecordSequence, StoredRecords, digest_of_id

Shares = tuple[tuple[int, float], ...]


class StoredExample(Example):
    """An example of a table; its record is read at most once."""

    def __init__(self, table: "ExampleTable", row: int, label: int, others: tuple[int, ...]) -> None:
        self.__dict__.update(_table=table, _row=row, label=label, others=others)

    @property
    def record(self) -> Record:
        """Names the media. Raises OutputError."""
        found: Record | None = self.__dict__.get("_record")
        if found is None:
            found = self.__dict__["_record"] = self.__dict__["_table"].records[self.__dict__["_row"]]
        return found

    @property
    def scores(self) -> Shares:
        """(class, share) of a soft label."""
        shares_of: Callable[[Record], Shares] | None = self.__dict__["_table"].shares_of
        return shares_of(self.record) if shares_of else ()

    @property
    def number(self) -> int:
        """The row of the record."""
        return int(self.__dict__["_row"])

    def with_label(self, label: int) -> "StoredExample":
        """The same with one class."""
        made = StoredExample(self.__dict__["_table"], self.__dict__["_row"], label, ())
        if "_record" in self.__dict__:
            made.__dict__["_record"] = self.record
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Example, (self.record, self.label, self.others, self.scores)  # for other processes


class ExampleTable(Sequence[Example]):
    """Examples in columns; slices are tables that share the records.

    Args:
        records: of the examples; rows without an example are allowed.
        shares_of: gives the soft label of a record, if labels are soft.

    Attributes:
        records: as given.
        shares_of: as given.
    """

    def __init__(
        self, records: StoredRecords | None = None, shares_of: Callable[[Record], Shares] | None = None
    ) -> None:
        self.records = StoredRecords() if records is None else records
        self.shares_of = shares_of
        self._rows: array[int] | np.ndarray = array("q")
        self._labels: array[int] | np.ndarray = array("i")
        self._others: array[int] | np.ndarray = array("i")
        self._known: list[tuple[int, ...]] = [()]
        self._numbers: dict[tuple[int, ...], int] = {(): 0}

    def add(self, row: int, label: int, others: tuple[int, ...] = ()) -> None:
        """Append the example of a row of the records."""
        number = self._numbers.setdefault(others, len(self._known))
        if number == len(self._known):
            self._known.append(others)
        self._rows.append(row)  # type: ignore[union-attr]
        self._labels.append(label)  # type: ignore[union-attr]
        self._others.append(number)  # type: ignore[union-attr]

    def take(self, rows: Any) -> "ExampleTable":
        """The table of some rows: a slice, or (M,) numbers."""
        made = ExampleTable(self.records, self.shares_of)
        for name in ("_rows", "_labels", "_others"):
            setattr(made, name, np.asarray(getattr(self, name))[rows])
        made._known, made._numbers = self._known, self._numbers
        return made

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, row: int) -> Example: ...
    @overload
    def __getitem__(self, row: slice) -> "ExampleTable": ...
    def __getitem__(self, row: int | slice) -> "Example | ExampleTable":
        if isinstance(row, slice):
            return self.take(row)
        return StoredExample(self, int(self._rows[row]), int(self._labels[row]), self._known[self._others[row]])

    @property
    def rows(self) -> np.ndarray:
        """(N,) int64 rows of the records."""
        return np.asarray(self._rows, np.int64)

    @property
    def ids(self) -> np.ndarray:
        """(N,) uint64 digests of the ids."""
        ids: np.ndarray = self.records.ids[self.rows]
        return ids

    @property
    def weights(self) -> np.ndarray:
        """(N,) float64, the ``weight`` of each record; NaN without one."""
        weights: np.ndarray = self.records.weights[self.rows]
        return weights

    def label_bytes(self) -> Iterator[bytes]:
        """The labels of all examples, for a digest."""
        yield np.asarray(self._labels, "<i4").tobytes()
        yield np.asarray(self._others, "<i4").tobytes()
        yield repr(self._known).encode()

    def lines(self) -> Iterator[bytes]:
        """The line of each record (``format_record``), of a table in the order of its records."""
        if (np.diff(self.rows) < 0).any():
            raise ValueError("the rows of the table do not ascend")
        rows = iter(self._rows)
        wanted = next(rows, None)
        for row, line in enumerate(self.records.lines()):  # rows ascend
            if row == wanted:
                yield line
                wanted = next(rows, None)


def table_of(
    records: Iterable[Record],
    labels_of: Callable[[Record], tuple[int, ...]],
    shares_of: Callable[[Record], Shares] | None = None,
) -> ExampleTable:
    """Every record with its labels; one without any is left out.

    Args:
        records: each is read once; stored records are not stored again.
        labels_of: gives the label of a record and its others.
        shares_of: gives the soft label, which is checked here and computed again when it is asked for.
    """
    stored = records if isinstance(records, StoredRecords) else None
    table = ExampleTable(stored, shares_of)
    for row, record in enumerate(records):
        labels = labels_of(record)
        if labels:
            if shares_of:
                shares_of(record)
            table.add(row if stored is not None else table.records.add(record), labels[0], labels[1:])
    return table


class RecordsOf(RecordSequence):
    """The records of sets of examples, one set after the other, each read when it is asked for."""

    def __init__(self, *sets: Sequence[Example]) -> None:
        self._sets = sets
        self._ends = np.cumsum([len(one) for one in sets], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def at(self, row: int) -> Record:
        """The record of a row over all sets."""
        number = int(np.searchsorted(self._ends, row, side="right"))
        before = int(self._ends[number - 1]) if number else 0
        return self._sets[number][row - before].record

    def many(self, rows: Sequence[int] | np.ndarray) -> list[Record]:
        """The records of some rows over all sets, in their order."""
        wanted = np.asarray(rows, np.int64)
        numbers = np.searchsorted(self._ends, wanted, side="right")
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))  # of stretches of one set
        found: list[Record] = []
        for start, end in pairwise([*starts.tolist(), len(wanted)]):
            number = int(numbers[start])
            before = int(self._ends[number - 1]) if number else 0
            found += records_of(take(self._sets[number], wanted[start:end] - before))
        return found


def records_of(examples: Sequence[Example]) -> list[Record]:
    """The record of each example."""
    if isinstance(examples, ExampleTable):
        return examples.records.many(examples.rows)
    return [example.record for example in examples]


def take(examples: Sequence[Example], rows: Sequence[int] | np.ndarray) -> Sequence[Example]:
    """Some of the examples, by their rows; of a table, a table."""
    if isinstance(examples, ExampleTable):
        return examples.take(np.asarray(rows, np.int64))
    return [examples[int(row)] for row in rows]


def lines_of(examples: Sequence[Example]) -> Iterator[bytes]:
    """The line of each record (``format_record``)."""
    if isinstance(examples, ExampleTable):
        return examples.lines()
    return (format_record(example.record) for example in examples)


def label_bytes(examples: Sequence[Example]) -> Iterator[bytes]:
    """The labels of all examples, for a digest."""
    if isinstance(examples, ExampleTable):
        return examples.label_bytes()
    return (repr((example.label, example.others)).encode() for example in examples)


def ids_of(examples: Sequence[Example]) -> np.ndarray:
    """(N,) uint64 digests of the ids."""
    if isinstance(examples, ExampleTable):
        return examples.ids
    return np.fromiter((digest_of_id(example.record) for example in examples), np.uint64, len(examples))


def weights_of(examples: Sequence[Example]) -> np.ndarray:
    """(N,) float64, the ``weight`` of each record; NaN without one."""
    if isinstance(examples, ExampleTable):
        return examples.weights
    given = (example.record.get("weight") for example in examples)
    return np.fromiter((np.nan if weight is None else weight for weight in given), np.float64, len(examples))
