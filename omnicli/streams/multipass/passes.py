"""Streams that a stage reads more than once, line by line, to decide one field of each of millions of records.

A record is its JSON line and the few fields that decide its class. The bytes of the line stay as they are; only the
new field is written, at the end. This is several times faster than a ``Record`` per line and keeps no record in memory.
Inputs that are not JSON lines (media, shards, tars, lists) are converted to lines.

Files are read again each time; the records of a pipe are stored in TMPDIR.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from omnicli.errors import InputError
from omnicli.reasons import count_reject
from omnicli.streams.multipass.class_fields import ClassFields, choose_parser, parse_class_fields
from omnicli.streams.read.dispatch import parse_line
from omnicli.streams.read.file_records import Rejected
from omnicli.streams.read.line_reader import Lines
from omnicli.streams.record import Record, format_record
from omnicli.streams.temp_records import TempFile
from omnicli.streams.write.resume import Journal
from omnicli.streams.write.stdout import LineWriter

REJECT_MARK = b"!"  # before a line that the reader rejects; no JSON object begins with it
NUM_AT_ONCE = 1024  # records written and counted at once


class LineBatch(NamedTuple):
    """Consecutive lines of one input.

    Attributes:
        name: of the input.
        first: 1-based number of the first line.
        lines: without their ends.
        is_ours: written by this module: valid, with a ``REJECT_MARK`` before rejects.
    """

    name: str
    first: int
    lines: list[bytes]
    is_ours: bool = False


Row = tuple[bytes, ClassFields | None]
"""One record: its line without end, and its fields; None for a reject of the reader."""

Outcome = tuple[bytes, int, str]
"""What to write for a record: its line with end, the number of copies, and the reason if there are none."""

Read = Callable[..., Iterator[Record | LineBatch]]
MultipassStage = Callable[["MultipassInput"], Iterator[Outcome]]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_PARSE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LAST_WEIGHT = re.compile(rb',"weight":[-+.0-9eE]+\}')


class MultipassInput:
    """All records of all inputs, in order. Each iteration reads them again; the first one checks every line.

    Args:
        read: ``find_records`` of the inputs; called with ``parse_lines``.
        spooled: an input can be read only once, so the records are stored in TMPDIR.
        limit: maximum number of records.
    """

    def __init__(self, read: Read, *, spooled: bool, limit: int | None = None) -> None:
        self._read = read
        self._limit = limit
        self._stored = TempFile() if spooled else None
        self._num_rows: int | None = None
        self._name, self._line = "", 0

    @property
    def where(self) -> str:
        """FILE:LINE of the record yielded last."""
        return f"{self._name}:{self._line}" if self._line else self._name

    def __iter__(self) -> Iterator[Row]:
        """Yield all records.

        Raises:
            InputError: a line is not a record (names FILE:LINE), or the input has changed since the last iteration.
            OutputError: TMPDIR is full.
        """
        is_first = self._num_rows is None
        num_rows = 0
        for row in islice(self._rows(is_first=is_first), self._limit):
            num_rows += 1
            if is_first and self._stored:
                self._stored.write((row[0] if row[1] else REJECT_MARK + row[0]) + b"\n")
            yield row
        if not is_first and num_rows != self._num_rows:
            raise input_changed(f"{self._num_rows:,} records, then {num_rows:,}")
        self._num_rows = num_rows

    def _rows(self, *, is_first: bool) -> Iterator[Row]:
        for name, first, lines, is_ours in self._batches(is_first=is_first):
            self._name = name
            parse = choose_parser(lines) if is_first else parse_class_fields
            for number, line in enumerate(lines, first):
                self._line = number
                try:
                    fields = parse(line)
                    if fields.id is not None and fields.reason is UNSET and fields.match is UNSET:
                        yield line, fields
                        continue
                except _PARSE_ERRORS:
                    if not line or line.isspace():
                        continue
                    if is_ours and line.startswith(REJECT_MARK):
                        yield line.removeprefix(REJECT_MARK), None
                        continue
                # parse_line sets the default ID, removes reason and match, or raises the error of other stages
                line, is_rejected = _line_of(parse_line(line, name, number))
                yield line, None if is_rejected else parse_class_fields(line)

    def _batches(self, *, is_first: bool) -> Iterator[LineBatch]:
        if self._stored and not is_first:
            first = 1
            for lines in self._stored.lines():
                yield LineBatch("spool", first, [line[:-1] for line in lines], is_ours=True)
                first += len(lines)
            return
        for item in self._read(parse_lines=batches_of):
            yield item if isinstance(item, LineBatch) else _batch_of_record(item)


class MultipassRun:
    """Runs a stage that reads its input more than once, writes its outputs and counts its records.

    The counterpart of ``StageRun``. The stage yields one outcome per record, so kept + rejected + unreadable equals the
    number of records read. A killed run cannot be resumed: the first line is decided when the last one is read.

    Attributes:
        counters: ``in``, ``kept``, ``out`` (lines), ``unreadable``, ``unreadable: KIND``, ``rejected: REASON``.
        examples: none; the records are gone when they are counted.
        num_resumed: always 0.
    """

    num_resumed = 0

    def __init__(self, *, kept: LineWriter, rejects: LineWriter | None, journal: Journal | None) -> None:
        self._kept = kept
        self._rejects = rejects
        self._journal = journal
        self.counters: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def run(self, stage: MultipassStage, records: MultipassInput) -> None:
        """Run the stage over all records. The caller publishes the outputs. Raises InputError."""
        outcomes = stage(records)
        while some := list(islice(outcomes, NUM_AT_ONCE)):
            self._write(some)
        if self._journal:
            self._journal.save(consumed=self.counters["in"], digest="", shards=0, counters=self.counters, finished=True)

    def _write(self, outcomes: list[Outcome]) -> None:
        kept = [line * copies for line, copies, _ in outcomes if copies]
        self._kept.write(b"".join(kept))
        self.counters["in"] += len(outcomes)
        self.counters["kept"] += len(kept)
        self.counters["out"] += sum(copies for _, copies, _ in outcomes)
        if len(kept) == len(outcomes):
            return
        for line, copies, reason in outcomes:
            if not copies:
                count_reject(self.counters, reason)
                if self._rejects:
                    self._rejects.write(line)


def batches_of(batches: Iterator[Lines], name: str) -> Iterator[LineBatch]:
    """Yield JSON lines unparsed: the ``parse_lines`` of ``find_records``."""
    for first, lines in batches:
        yield LineBatch(name, first, lines)


def set_weight(row: Row, ending: bytes, copies: int = 1) -> Outcome:
    r"""Keep a record with a ``weight`` as its last field; an earlier weight is removed.

    Args:
        row: of a record.
        ending: from ``weight_ending``.
        copies: number of lines to write.

    >>> set_weight((b'{"id": "a", "x": 1}', ClassFields("a")), weight_ending(0.5))[0]
    b'{"id": "a", "x": 1,"weight":0.5}\n'
    """
    line, fields = row
    if not line.endswith(b"}"):
        line = line.rstrip()
    if fields is not None and fields.weight is not UNSET:
        line = _without_weight(line)
    return line[:-1] + ending, copies, ""


def weight_ending(weight: float) -> bytes:
    """The bytes that replace the last brace of a line to set its weight."""
    return b',"weight":' + _encode(weight) + b"}\n"


def reject(row: Row, reason: str) -> Outcome:
    r"""Reject a record; the line is that of ``--rejects``.

    >>> reject((b'{"id":"a"}', ClassFields("a")), "no class")
    (b'{"id":"a","reason":"no class"}\n', 0, 'no class')
    """
    return row[0].rstrip()[:-1] + b',"reason":' + _encode(reason) + b"}\n", 0, reason


def reject_unreadable(row: Row) -> Outcome:
    """Reject a record that the reader has rejected, with the reason in its line."""
    return row[0] + b"\n", 0, _decode(row[0])["reason"]


def input_changed(what: str) -> InputError:
    """The error for an input that has changed since it was read first."""
    return InputError(f"the input changed while it was read ({what}); run again")


def _batch_of_record(record: Record) -> LineBatch:
    line, is_rejected = _line_of(record)
    return LineBatch(record.origin, record.line, [REJECT_MARK + line if is_rejected else line], is_ours=True)


def _line_of(record: Record) -> tuple[bytes, bool]:
    """The record's line without end, and whether the reader rejects it; the line then has the reason."""
    if isinstance(record, Rejected):
        return format_record(record.derive(reason=record.reason))[:-1], True
    return format_record(record)[:-1], False


def _without_weight(line: bytes) -> bytes:
    r"""The line without its ``weight``; balance writes it as the last field, which is removed without parsing the line.

    A ``,"weight":1}`` at the end of a line is a field of the record: inside a string its quotes would be escaped.
    """
    start = line.rfind(b',"weight":')
    if start > 0 and _LAST_WEIGHT.fullmatch(line, start):
        rest = line[:start] + b"}"
        if b'"weight"' not in rest or parse_class_fields(rest).weight is UNSET:
            return rest
    fields = _decode(line)
    fields.pop("weight", None)
    return format_record(fields)[:-1]
