"""Decisions that need the whole stream: records wait on disk, a few bytes of each in memory."""

import contextlib
import tempfile
from array import array
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Self

from omnicli.streams.record import Record, format_record, parse_record
from omnicli.streams.write.atomic import named_errors


class Spool:
    """Records put aside in TMPDIR, given back in the order they came; 16 bytes of memory each.

    Those that leave the stream are put aside too, with their reason, so that they leave in their place. The file has no
    name: it is gone when the process is, however it ends.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="omni-spool-")  # noqa: SIM115 (lives as long as the object)
        self._positions = array("Q")
        self._reason_numbers = array("Q")
        self._reasons: dict[str, int] = {"": 0}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close_unread(self._file)

    def __len__(self) -> int:
        return len(self._positions)

    def add(self, record: Record, reason: str = "") -> None:
        """Put one record aside, without its arrays; with a reason if it is leaving. Raises OutputError."""
        with named_errors(tempfile.gettempdir()):
            self._file.write(format_record(record))
        self._positions.append(record.position)
        self._reason_numbers.append(self._reasons.setdefault(reason, len(self._reasons)))

    def __iter__(self) -> Iterator[tuple[Record, str]]:
        """Give back (record, reason), reason "" for those that stay."""
        with named_errors(tempfile.gettempdir()):
            self._file.flush()
        self._file.seek(0)
        reasons = list(self._reasons)
        for line, position, number in zip(self._file, self._positions, self._reason_numbers, strict=True):
            yield parse_record(line, origin="", line_number=0, position=position), reasons[number]


def close_unread(file: IO[bytes]) -> None:
    """Close a file without a name: what its folder has no room for is wanted no more."""
    with contextlib.suppress(OSError):
        file.close()
