"""Streams that are gone through more than once, as lines: for decisions over millions of records that set one field.

A record is here its line of JSON, and a glance at the few fields that decide. Its bytes pass as they came, whatever
else they hold; only the new field is written, at their end. That is several times cheaper than a ``Record`` a line, and
holds nothing of it in memory. What is no line of JSON (media, shards, tars, lists) becomes one.

Files are read again in each pass; what comes through a pipe waits in TMPDIR, in a file without a name.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from omnicli.errors import InputError
from omnicli.reasons import UNREADABLE
from omnicli.streams.multipass.class_fields import ClassFields, class_fields_reader, glance
from omnicli.streams.read.dispatch import parse_line
from omnicli.streams.read.file_records import Rejected
from omnicli.streams.read.line_reader import Lines
from omnicli.streams.record import Record, format_record
from omnicli.streams.temp_records import TempFile
from omnicli.streams.write.resume import Journal
from omnicli.streams.write.stdout import LineWriter

REJECT_MARK = b"!"  # in front of a line that the reader rejects; no line of JSON begins so
BLOCK = 1024  # records settled between two looks at the books


class LineBatch(NamedTuple):
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


Row = tuple[bytes, ClassFields | None]
"""One record of a pass: its line without end, and its glance; None for what the reader rejects and is to leave."""

Verdict = tuple[bytes, int, str]
"""What becomes of a record: its line with its end, how often it is written, and if never, why."""

Read = Callable[..., Iterator[Record | LineBatch]]
MultipassStage = Callable[["MultipassInput"], Iterator[Verdict]]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_UNSOUND = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LAST_WEIGHT = re.compile(rb',"weight":[-+.0-9eE]+\}')


class MultipassInput:
    """All records of all inputs, in order, as often as wanted; the first pass checks every line.

    Args:
        read: ``find_records`` of the inputs; called with its ``parse_lines``.
        spooled: an input can be read only once.
        limit: take only the first so many.
    """

    def __init__(self, read: Read, *, spooled: bool, limit: int | None = None) -> None:
        self._read = read
        self._limit = limit
        self._spool = TempFile() if spooled else None
        self._num_rows: int | None = None
        self._name, self._line = "", 0

    @property
    def where(self) -> str:
        """FILE:LINE of the record yielded last."""
        return f"{self._name}:{self._line}" if self._line else self._name

    def __iter__(self) -> Iterator[Row]:
        """One pass.

        Raises:
            InputError: a line that is no record, with FILE:LINE; an input that is another than in the pass before.
            OutputError: TMPDIR is full.
        """
        is_first = self._num_rows is None
        rows = self._checked_rows() if is_first else self._rows(is_first=False)
        num_rows = 0
        for row in islice(rows, self._limit):
            num_rows += 1
            yield row
        if not is_first and num_rows != self._num_rows:
            raise changed(f"{self._num_rows:,} records, then {num_rows:,}")
        self._num_rows = num_rows

    def _checked_rows(self) -> Iterator[Row]:
        """The first pass; what cannot be read again is put aside."""
        for line, seen in self._rows(is_first=True):
            if self._spool:
                self._spool.write(line + b"\n" if seen else REJECT_MARK + line + b"\n")
            yield line, seen

    def _rows(self, *, is_first: bool) -> Iterator[Row]:
        for name, first, lines, is_ours in self._batches(is_first=is_first):
            self._name = name
            look = class_fields_reader(lines) if is_first else glance
            for number, line in enumerate(lines, first):
                self._line = number
                try:
                    seen = look(line)
                    if seen.id is not None and seen.reason is UNSET and seen.match is UNSET:
                        yield line, seen
                        continue
                except _UNSOUND:
                    if not line or line.isspace():
                        continue
                    if is_ours and line.startswith(REJECT_MARK):
                        yield line.removeprefix(REJECT_MARK), None
                        continue
                # as a reader would have it, or would refuse it
                line, is_rejected = _written(parse_line(line, name, number))
                yield line, None if is_rejected else glance(line)

    def _batches(self, *, is_first: bool) -> Iterator[LineBatch]:
        if self._spool and not is_first:
            first = 1
            for lines in self._spool.lines():
                yield LineBatch("spool", first, [line[:-1] for line in lines], is_ours=True)
                first += len(lines)
            return
        for item in self._read(parse_lines=batches_of):
            yield item if isinstance(item, LineBatch) else _batch_of_record(item)


class MultipassRun:
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

    def run(self, stage: MultipassStage, passes: MultipassInput) -> None:
        """Write what the stage decides and publish nothing yet. Raises InputError."""
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
        self.counters["out"] += sum(copies for _, copies, _ in block)
        if len(kept) == len(block):
            return
        for line, copies, reason in block:
            if not copies:
                category = reason.partition(":")[0]
                self.counters[category if category == UNREADABLE else f"rejected: {category}"] += 1
                if self._rejects:
                    self._rejects.write(line)


def batches_of(batches: Iterator[Lines], name: str) -> Iterator[LineBatch]:
    """Lines of JSON, unparsed: what ``find_records`` shall make of them."""
    for first, lines in batches:
        yield LineBatch(name, first, lines)


def weigh(row: Row, ending: bytes, copies: int = 1) -> Verdict:
    r"""The record with its ``weight``, the last of its fields; an earlier one is taken out.

    Args:
        row: of a record.
        ending: from ``weight_ending``.
        copies: how often it is written.

    >>> weigh((b'{"id": "a", "x": 1}', Glance("a")), weight_ending(0.5))[0]
    b'{"id": "a", "x": 1,"weight":0.5}\n'
    """
    line, seen = row
    if not line.endswith(b"}"):
        line = line.rstrip()
    if seen is not None and seen.weight is not UNSET:
        line = _without_weight(line)
    return line[:-1] + ending, copies, ""


def weight_ending(weight: float) -> bytes:
    """What replaces the last brace of a record's line to give it this weight."""
    return b',"weight":' + _encode(weight) + b"}\n"


def leave(row: Row, reason: str) -> Verdict:
    r"""The record leaves, its line as ``--rejects`` holds it.

    >>> leave((b'{"id":"a"}', Glance("a")), "no class")
    (b'{"id":"a","reason":"no class"}\n', 0, 'no class')
    """
    return row[0].rstrip()[:-1] + b',"reason":' + _encode(reason) + b"}\n", 0, reason


def leave_unread(row: Row) -> Verdict:
    """What the reader rejected leaves."""
    return row[0] + b"\n", 0, _decode(row[0])["reason"]


def changed(what: str) -> InputError:
    """The error for an input that is not the same in every pass."""
    return InputError(f"the input changed while it was read ({what}); run again")


def _batch_of_record(record: Record) -> LineBatch:
    line, is_rejected = _written(record)
    return LineBatch(record.origin, record.line, [REJECT_MARK + line if is_rejected else line], is_ours=True)


def _written(record: Record) -> tuple[bytes, bool]:
    """The record's line without end, and whether the reader rejects it; the line then says why."""
    if isinstance(record, Rejected):
        return format_record(record.derive(reason=record.reason))[:-1], True
    return format_record(record)[:-1], False


def _without_weight(line: bytes) -> bytes:
    r"""The line without its ``weight``: cut off where it is the last field, as balance leaves it.

    A ``,"weight":1}`` that ends a line of JSON belongs to the record: inside a string its quotes have backslashes.
    """
    start = line.rfind(b',"weight":')
    if start > 0 and _LAST_WEIGHT.fullmatch(line, start):
        rest = line[:start] + b"}"
        if b'"weight"' not in rest or glance(rest).weight is UNSET:
            return rest
    fields = _decode(line)
    fields.pop("weight", None)
    return format_record(fields)[:-1]
