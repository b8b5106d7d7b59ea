"""Records on disk, fetched by number: what millions of frames belong to, 8 bytes of memory each."""

import tempfile
import weakref
from array import array
from collections.abc import Mapping
from typing import Any

from omnicli.streams.record import Record, format_record, parse_record


class NumberedRecords:
    """Records put aside in TMPDIR without their arrays, numbered 0, 1, 2, ...

    The file has no name: it is gone when the process is, however it ends.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="omni-records-")  # noqa: SIM115 (lives as long as the object)
        weakref.finalize(self, self._file.close)
        self._ends = array("Q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, record: Mapping[str, Any]) -> int:
        """Put one record aside; returns its number."""
        line = format_record(record)
        self._file.seek(self._ends[-1])
        self._file.write(line)
        self._ends.append(self._ends[-1] + len(line))
        return len(self) - 1

    def __getitem__(self, number: int) -> Record:
        """The record of that number; its ``position`` is the number."""
        start, end = self._ends[number], self._ends[number + 1]
        self._file.seek(start)
        return parse_record(self._file.read(end - start), origin="", line_number=0, position=number)
