"""Temporary data on disk: raw bytes, records in order, and records by number.

The files are in TMPDIR and have no name, so the operating system removes them when the process ends.
"""

import contextlib
import os
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from omnicli.errors import OutputError
from omnicli.streams.record import OnDrop, Record, format_record, parse_record

LINES_BYTES = 1 << 18  # lines read at once

Incoming = Callable[[OnDrop], Iterator[Record]]
"""Scored records; rejects go to the given function."""


class TempFile:
    """An anonymous file in TMPDIR: written at its end, read anywhere.

    Raises:
        OutputError: the folder is full, or it cannot be written or read; names it.
    """

    def __init__(self) -> None:
        with _named_errors():
            self._file = tempfile.TemporaryFile(prefix="omni-")  # noqa: SIM115 (closed with the object)
        weakref.finalize(self, _close, self._file)
        self._is_at_end = True

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        try:  # not _named_errors, which would double the time of a short write
            if not self._is_at_end:
                self._file.seek(0, os.SEEK_END)
                self._is_at_end = True
            self._file.write(data)
        except OSError as error:
            raise _output_error(error) from None

    def read(self, start: int, num_bytes: int) -> bytes:
        """Bytes [start, start + num_bytes), fewer at the end of the file; from any thread, if nothing is written."""
        with _named_errors():
            self._file.flush()
            parts, end = [], start + num_bytes
            while part := os.pread(self._file.fileno(), end - start, start):
                parts.append(part)
                start += len(part)
            return b"".join(parts)

    def lines(self) -> Iterator[list[bytes]]:
        """All lines with their ends, many at a time. The file must not be used in between."""
        self._is_at_end = False
        with _named_errors():
            self._file.seek(0)
            while lines := self._file.readlines(LINES_BYTES):
                yield lines


class RecordSpool:
    """Records in TMPDIR without their arrays, read back in the order they came; 16 bytes of memory per record.

    Rejects are stored too, with their reason, so that they are written in their order.
    """

    def __init__(self) -> None:
        self._file = TempFile()
        self._positions = array("Q")
        self._reason_numbers = array("Q")
        self._reasons: dict[str, int] = {"": 0}
        self._attributes: dict[int, tuple[int, int]] = {}  # by number, missing frames and scores that were taken again

    def __len__(self) -> int:
        return len(self._positions)

    def add(self, record: Record, reason: str = "") -> None:
        """Append one record, with the reason if it is a reject. Raises OutputError."""
        self._file.write(format_record(record))
        if record.missing_frames or record.rescored:
            self._attributes[len(self)] = record.missing_frames, record.rescored
        self._positions.append(record.position)
        self._reason_numbers.append(self._reasons.setdefault(reason, len(self._reasons)))

    def __iter__(self) -> Iterator[tuple[Record, str]]:
        """Yield (record, reason); the reason is "" unless the record is a reject. Raises OutputError."""
        reasons = list(self._reasons)
        lines = (line for lines in self._file.lines() for line in lines)
        rows = zip(lines, self._positions, self._reason_numbers, strict=True)
        for row, (line, position, number) in enumerate(rows):
            record = parse_record(line, origin="", line_number=0, position=position)
            record.missing_frames, record.rescored = self._attributes.get(row, (0, 0))
            yield record, reasons[number]


def spooled(incoming: Incoming, note: Callable[[Record], None]) -> RecordSpool:
    """All records on disk, rejects among them with their reasons; ``note`` sees each that is no reject."""
    spool = RecordSpool()
    leaving: list[tuple[Record, str]] = []

    def spool_leaving() -> None:
        for record, reason in leaving:
            spool.add(record, reason)
        leaving.clear()

    for record in incoming(lambda record, reason: leaving.append((record, reason))):
        spool_leaving()
        spool.add(record)
        note(record)
    spool_leaving()
    return spool


class NumberedRecords:
    """Records in TMPDIR without their arrays, numbered 0, 1, 2, ...; 8 bytes of memory per record."""

    def __init__(self) -> None:
        self._file = TempFile()
        self._ends = array("Q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, record: Mapping[str, Any]) -> int:
        """Append one record and return its number. Raises OutputError."""
        line = format_record(record)
        self._file.write(line)
        self._ends.append(self._ends[-1] + len(line))
        return len(self) - 1

    def __getitem__(self, number: int) -> Record:
        """The record of this number, with the number as its ``position``. Raises OutputError."""
        start, end = self._ends[number], self._ends[number + 1]
        return parse_record(self._file.read(start, end - start), origin="", line_number=0, position=number)


def _output_error(error: OSError) -> OutputError:
    folder = tempfile.tempdir or "TMPDIR"  # gettempdir() raises if no folder can be used
    why = error.strerror or str(error)
    return OutputError(f"{folder}: cannot write temporary data: {why}; set TMPDIR to a folder with more room")


@contextlib.contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _output_error(error) from None


def _close(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # closing writes the buffer, which nobody reads any more
        file.close()
