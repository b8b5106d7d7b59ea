"""Streams that are gone through more than once, as lines: for decisions over millions of records that set one field.

A record is here its line of JSON, and a glance at the few fields that decide. Its bytes pass as they came, whatever
else they hold; only the new field is written, at their end. That is several times cheaper than a ``Record`` a line, and
holds nothing of it in memory. What is no line of JSON (media, shards, tars, lists) becomes one.

Files are read again in each pass; what comes through a pipe waits in TMPDIR, in a file without a name.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from omnicli.errors import InputError
from omnicli.streams.flow import UNREADABLE
from omnicli.streams.journal import Journal
from omnicli.streams.lines import Lines, read_lines
from omnicli.streams.outputs import LineWriter
from omnicli.streams.placing import Rejected
from omnicli.streams.readers import parse_line
from omnicli.streams.records import Fields, Record, format_record

REJECT_MARK = b"!"  # in front of a line that the reader rejects; no line of JSON begins so
BLOCK = 1024  # records settled between two looks at the books


class Glance(msgspec.Struct, gc=False):
    """The fields of a record that say which class it counts for. Lists are tuples, so that they can be keys."""

    id: str | None = None
    source: str | None = None
    query: str | None = None
    queries: tuple[str, ...] | None = None
    label: int | tuple[int, ...] | None = None
    class_name: str | tuple[str, ...] | None = None
    pseudo_label: int | None = None
    pseudo_class: str | None = None
    weight: float | None = None


class Batch(NamedTuple):
    """Consecutive lines of one input.

    Attributes:
        name: of the input.
        first: 1-based number of the first line.
        lines: without their ends.
        is_ours: written here: sound, and ``REJECT_MARK`` means something.
    """

    name: str
    first: int
    lines: list[bytes]
    is_ours: bool = False


class Row(NamedTuple):
    """One record of a pass.

    Attributes:
        line: its JSON without end, or what is written of one that the reader rejects.
        seen: its glance; None if the reader rejects it.
    """

    line: bytes
    seen: Glance | None


class Verdict(NamedTuple):
    """What becomes of one record.

    Attributes:
        line: its JSON, ending in a newline.
        copies: how often it is written; 0 if it leaves.
        reason: why it leaves.
    """

    line: bytes
    copies: int = 1
    reason: str = ""


Read = Callable[..., Iterator[Record | Batch]]
PassStage = Callable[["Passes"], Iterator[Verdict]]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_check_fields = msgspec.json.Decoder(Fields).decode
_glance = msgspec.json.Decoder(Glance).decode
_UNSOUND = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LAST_WEIGHT = re.compile(rb',"weight":[-+.0-9eE]+\}')


class Passes:
    """All records of all inputs, in order, as often as wanted; the first pass checks every line.

    Args:
        read: ``find_records`` of the inputs; called with its ``parse_lines``.
        spooled: an input can be read only once.
        limit: take only the first so many.
    """

    def __init__(self, read: Read, *, spooled: bool, limit: int | None = None) -> None:
        self._read = read
        self._limit = limit
        self._spool = tempfile.TemporaryFile(prefix="omni-spool-") if spooled else None  # noqa: SIM115 (as the object)
        self._num_rows: int | None = None
        self._at: tuple[str, int] = ("", 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spool:
            self._spool.close()

    @property
    def where(self) -> str:
        """FILE:LINE of the record yielded last."""
        name, line = self._at
        return f"{name}:{line}" if line else name

    def __iter__(self) -> Iterator[Row]:
        """One pass.

        Raises:
            InputError: a line that is no record, with FILE:LINE; an input that is another than in the pass before.
        """
        is_first = self._num_rows is None
        num_rows = 0
        for row in islice(self._rows(is_first=is_first), self._limit):
            num_rows += 1
            yield row
        if not is_first and num_rows != self._num_rows:
            raise changed(f"{self._num_rows:,} records, then {num_rows:,}")
        self._num_rows = num_rows

    def _rows(self, *, is_first: bool) -> Iterator[Row]:
        spool = self._spool if is_first else None
        for batch in self._batches(is_first=is_first):
            for number, line in enumerate(batch.lines, batch.first):
                self._at = batch.name, number
                row = _row_of_ours(line) if batch.is_ours else _row(line, batch.name, number, is_checked=not is_first)
                if row is None:
                    continue
                if spool:
                    spool.write(row.line + b"\n" if row.seen else REJECT_MARK + row.line + b"\n")
                yield row

    def _batches(self, *, is_first: bool) -> Iterator[Batch]:
        if self._spool and not is_first:
            self._spool.flush()
            self._spool.seek(0)
            for first, lines in read_lines(self._spool.fileno(), name="spool"):
                yield Batch("spool", first, lines, is_ours=True)
            return
        for item in self._read(parse_lines=batches_of):
            yield item if isinstance(item, Batch) else _batch_of_record(item)


class PassFlow:
    """Books of a stream that its stage goes through more than once; what ``flow.Flow`` is to the others.

    Each row of the last pass is one verdict, so that kept + rejected + unreadable add up to the records read. Nothing
    can be resumed: the first line is decided when the last one is read.

    Attributes:
        counters: ``in``, ``kept``, ``out`` (lines), ``unreadable``, ``rejected: REASON``.
        num_resumed: always 0.
    """

    num_resumed = 0

    def __init__(self, *, kept: LineWriter, rejects: LineWriter | None, journal: Journal | None) -> None:
        self._kept = kept
        self._rejects = rejects
        self._journal = journal
        self.counters: Counter[str] = Counter()

    def run(self, stage: PassStage, passes: Passes) -> None:
        """Write what the stage decides and publish nothing yet. Raises InputError."""
        with passes:
            verdicts = stage(passes)
            while block := list(islice(verdicts, BLOCK)):
                self._settle(block)
        if self._journal:
            self._journal.save(consumed=self.counters["in"], digest="", shards=0, counters=self.counters, finished=True)

    def _settle(self, block: list[Verdict]) -> None:
        kept = [line * copies for line, copies, _ in block if copies]
        self._kept.write(b"".join(kept))
        self.counters["in"] += len(block)
        self.counters["kept"] += len(kept)
        self.counters["out"] += sum(verdict.copies for verdict in block)
        if len(kept) == len(block):
            return
        for line, copies, reason in block:
            if not copies:
                category = reason.partition(":")[0]
                self.counters[category if category == UNREADABLE else f"rejected: {category}"] += 1
                if self._rejects:
                    self._rejects.write(line)


def batches_of(batches: Iterator[Lines], name: str) -> Iterator[Batch]:
    """Lines of JSON, unparsed: what ``find_records`` shall make of them."""
    for first, lines in batches:
        yield Batch(name, first, lines)


def weigh(row: Row, ending: bytes, copies: int = 1) -> Verdict:
    r"""The record with its ``weight``, the last of its fields; an earlier one is taken out.

    Args:
        row: of a record.
        ending: from ``weight_ending``.
        copies: how often it is written.

    >>> weigh(Row(b'{"id": "a", "x": 1}', Glance("a")), weight_ending(0.5)).line
    b'{"id": "a", "x": 1,"weight":0.5}\n'
    """
    line = row.line.rstrip()
    if b'"weight"' in line or (row.seen and row.seen.weight is not None):
        line = _without_weight(line)
    return Verdict(line[:-1] + ending, copies)


def weight_ending(weight: float) -> bytes:
    """What replaces the last brace of a record's line to give it this weight."""
    return b',"weight":' + _encode(weight) + b"}\n"


def leave(row: Row, reason: str) -> Verdict:
    r"""The record leaves, its line as ``--rejects`` holds it.

    >>> leave(Row(b'{"id":"a"}', Glance("a")), "no class")
    Verdict(line=b'{"id":"a","reason":"no class"}\n', copies=0, reason='no class')
    """
    return Verdict(row.line.rstrip()[:-1] + b',"reason":' + _encode(reason) + b"}\n", 0, reason)


def leave_unread(row: Row) -> Verdict:
    """What the reader rejected leaves."""
    return Verdict(row.line + b"\n", 0, _decode(row.line)["reason"])


def changed(what: str) -> InputError:
    """The error for an input that is not the same in every pass."""
    return InputError(f"the input changed while it was read ({what}); run again")


def _row(line: bytes, name: str, number: int, *, is_checked: bool) -> Row | None:
    """A line of an input as ``parse_line`` would understand it, its bytes untouched where that changes nothing.

    None for a blank line. Raises InputError.
    """
    try:
        if not is_checked:
            _decode(line)
            _check_fields(line)
        seen = _glance(line)
        if seen.id is not None and b'"reason"' not in line and b'"match"' not in line:
            return Row(line, seen)
    except _UNSOUND:
        if not line or line.isspace():
            return None
    return _row_of_ours(format_record(parse_line(line, name, number))[:-1])


def _row_of_ours(line: bytes) -> Row:
    return Row(line[1:], None) if line.startswith(REJECT_MARK) else Row(line, _glance(line))


def _batch_of_record(record: Record) -> Batch:
    if isinstance(record, Rejected):
        line = REJECT_MARK + format_record(record.derive(reason=record.why))
    else:
        line = format_record(record)
    return Batch(record.origin, record.line, [line[:-1]], is_ours=True)


def _without_weight(line: bytes) -> bytes:
    r"""The line without its ``weight``: cut off where it is the last field, as balance leaves it.

    A ``,"weight":1}`` that ends a line of JSON belongs to the record: inside a string its quotes have backslashes.
    """
    start = line.rfind(b',"weight":')
    if start > 0 and _LAST_WEIGHT.fullmatch(line, start) and line.count(b'"weight"') == 1:
        return line[:start] + b"}"
    fields = _decode(line)
    fields.pop("weight", None)
    return format_record(fields)[:-1]
