"""Decisions that need the whole stream: records wait on disk, a few bytes of each in memory."""

import tempfile
from array import array
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from omnicli.streams.records import Record, format_record, parse_record


class Spool:
    """Records put aside in TMPDIR, given back in the order they came; 8 bytes of memory each.

    The file has no name (it is gone when the process is, however it ends).
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="omni-spool-")  # noqa: SIM115 (lives as long as the object)
        self._positions = array("Q")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._positions)

    def add(self, record: Record) -> None:
        """Put one record aside; its arrays are not kept."""
        self._file.write(format_record(record))
        self._positions.append(record.position)

    def __iter__(self) -> Iterator[Record]:
        self._file.flush()
        self._file.seek(0)
        for line, position in zip(self._file, self._positions, strict=True):
            yield parse_record(line, origin="", line_number=0, position=position)
