"""The books of a command that reads records but is no stage: training and testing, which end in one result."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from omnicli.commands.options.checks import parse_max_bad
from omnicli.commands.run.runner import write_summary
from omnicli.console import Console
from omnicli.errors import TooManyBad

if TYPE_CHECKING:
    from omnicli.streams.record import Record


class Ledger:
    """Counts what is read and what leaves; writes ``--rejects`` and judges ``--max-bad`` at the end.

    Args:
        console: told of each record that leaves, under ``-v``.
        rejects: file for the records that leave, or None.
        max_bad: ``N``, ``P%`` or None.
        summary: file for the counts and the result, or None.
        options: what the summary says of how it was run.

    Attributes:
        num_in: records read.
        num_unreadable: of them.
        num_rejected: of them, for any other reason.
        result: metrics for the summary.
    """

    def __init__(
        self,
        console: Console,
        *,
        rejects: str | None = None,
        max_bad: str | None = None,
        summary: Path | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        parse_max_bad(max_bad, 0)
        self.num_in = 0
        self.num_unreadable = 0
        self.num_rejected = 0
        self.result: dict[str, Any] = {}
        self._summary = summary
        self._options = options or {}
        self._console = console
        self._rejects = rejects
        self._max_bad = max_bad
        self._file: BinaryIO | None = None
        self._stack = contextlib.ExitStack()
        self._started_at = time.monotonic()

    def __enter__(self) -> Self:
        from omnicli.streams.write.atomic import open_atomic

        if self._rejects:
            self._file = self._stack.enter_context(open_atomic(Path(self._rejects)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if error is None and self._summary:
            write_summary(self._summary, self._sums())
        limit = parse_max_bad(self._max_bad, self.num_in)
        if error is None and limit is not None and self.num_unreadable > limit:
            raise TooManyBad(f"{self.num_unreadable:,} unreadable, more than --max-bad {self._max_bad}")

    def read(
        self,
        inputs: Sequence[str],
        *,
        root: str | None,
        files_from: str | None = None,
        null_separated: bool = False,
        limit: int | None = None,
    ) -> "Iterator[Record]":
        """The records of INPUTs, counted; what the reader drops is counted too."""
        from omnicli.streams.read.reader import read_records

        return self.count(
            read_records(
                inputs,
                files_from=files_from,
                null_separated=null_separated,
                root=root,
                limit=limit,
                on_drop=self._drop_early,
            )
        )

    def count(self, records: "Iterable[Record]") -> "Iterator[Record]":
        """The records, counted."""
        for record in records:
            self.num_in += 1
            yield record

    def on_drop(self, record: "Record", reason: str) -> None:
        """Take note of a record that leaves."""
        from omnicli.streams.record import format_record

        if reason.partition(": ")[0] == "unreadable":
            self.num_unreadable += 1
        else:
            self.num_rejected += 1
        self._console.detail(f"{record.get('id')}: {reason}")
        if self._file:
            self._file.write(format_record(record.derive(reason=reason)))

    def sums(self) -> str:
        """``57 in = 55 used + 2 unreadable, 31 s``, and what else left."""
        seconds = time.monotonic() - self._started_at
        left = f" + {self.num_rejected:,} rejected" if self.num_rejected else ""
        left += f" + {self.num_unreadable:,} unreadable"
        return f"{self.num_in:,} in = {self._num_used:,} used{left}, {seconds:.0f} s"

    @property
    def _num_used(self) -> int:
        return self.num_in - self.num_unreadable - self.num_rejected

    def _sums(self) -> dict[str, Any]:
        return {
            "command": self._console.name,
            "in": self.num_in,
            "used": self._num_used,
            "rejected": self.num_rejected,
            "unreadable": self.num_unreadable,
            "seconds": round(time.monotonic() - self._started_at, 3),
            "options": dict(self._options),
            "result": self.result,
        }

    def _drop_early(self, record: "Record", reason: str) -> None:
        self.num_in += 1
        self.on_drop(record, reason)
