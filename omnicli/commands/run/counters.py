"""Accounting: how many records came in and what became of each, for every command."""

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from omnicli.commands.options.streams import InputOptions, StreamOptions, parse_max_bad
from omnicli.commands.run.fetched import count_fetched, fetched_fields, fetched_lines
from omnicli.commands.run.summary import write_summary
from omnicli.console import Console, closing_line, rejected_by_reason
from omnicli.errors import InputError, JobsFailed, TooManyBad
from omnicli.process import crash_log
from omnicli.reasons import INTERNAL_ERROR, UNREADABLE, counter_of, num_failed, unreadable_by_kind
from omnicli.streams.reading import (
    INCOMPLETE,
    count_missing_frames,
    incomplete,
    incomplete_lines,
    missing_frames,
    note_reject,
)
from omnicli.streams.record import Record
from omnicli.streams.verdicts import FILES_NOT_READ

if TYPE_CHECKING:
    from omnicli.commands.run.jobs import JobResult

NUM_KINDS = 5  # kinds of unreadable records that are named at the end


class RecordAccountant:
    """Sums over one or many runs of a command.

    Args:
        max_bad: ``--max-bad``: ``N``, ``P%`` or None.

    Attributes:
        counters: ``in``, ``kept``, ``out`` (lines), ``unreadable``, ``rejected: REASON``, and what a stage counts.
        examples: ID of one unreadable record of each kind.
        num_resumed: records that an earlier process had settled.
        too_many_bad: a sentence for each output with more unreadable records than ``--max-bad``.
        failed: jobs of ``-o DIR/`` without an output.
        notes: lines about what the workers of an engine loaded.
    """

    def __init__(self, max_bad: str | None = None) -> None:
        parse_max_bad(max_bad, 0)
        self._max_bad = max_bad
        self._started_at = time.monotonic()
        self.counters: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.num_resumed = 0
        self.too_many_bad: list[str] = []
        self.failed: list[JobResult] = []
        self.notes: list[str] = []
        self._num_hidden = 0

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started_at

    def add_run(
        self, counters: Counter[str], *, num_resumed: int, name: str, examples: Mapping[str, str] | None = None
    ) -> None:
        """Add the counters and the examples of a finished run that wrote ``name``."""
        self.counters += counters
        self.examples = {**(examples or {}), **self.examples}
        self.num_resumed += num_resumed
        self.check_max_bad(counters, prefix=f"{name}: ")

    def add_job(self, result: "JobResult", console: Console) -> None:
        """Add a job of ``-o DIR/``; one that failed is named at once."""
        self.counters += result.counters
        self.examples = {**result.examples, **self.examples}
        self.num_resumed += result.num_resumed
        if result.status == "bad":
            self.too_many_bad.append(result.reason)
        if result.status == "failed":
            self.failed.append(result)
            self.counters[FILES_NOT_READ] += 1
            console.say(f"failed: {_named_once(result)}")
        crash_log.path = crash_log.path or result.crash_log

    def raise_if_jobs_failed(self) -> None:
        """Raises JobsFailed: some of the input files could not be processed."""
        if self.failed:
            codes = {result.exit_code for result in self.failed}
            named = _named_once(self.failed[0]) + ("; ..." if len(self.failed) > 1 else "")
            raise JobsFailed(
                f"{len(self.failed):,} input files failed: {named}; the same command tries them again",
                exit_code=codes.pop() if len(codes) == 1 else 1,
            )

    def check_max_bad(self, counters: Mapping[str, int], *, prefix: str = "") -> None:
        """Note if more records are unreadable than ``--max-bad`` allows."""
        limit = parse_max_bad(self._max_bad, counters.get("in", 0))
        bad = num_failed(counters)
        if limit is not None and bad > limit:
            self.too_many_bad.append(f"{prefix}{bad:,} unreadable or failed, more than --max-bad {self._max_bad}")

    def raise_if_too_many_bad(self) -> None:
        """Raises TooManyBad: more unreadable records than ``--max-bad`` allows, or without it nothing but those."""
        num_in = self.counters["in"]
        if self._max_bad is None and 0 < num_in == num_failed(self.counters):
            raise TooManyBad(f"nothing could be read: {num_in:,} in, {num_in:,} unreadable or failed")
        if self.too_many_bad:
            raise TooManyBad("; ".join(self.too_many_bad))

    def failures(self) -> list[str]:
        """Lines about records that could not be read or ended in an internal error: the most frequent kinds."""
        lines = []
        for kind, count in itertools.islice(unreadable_by_kind(self.counters).items(), NUM_KINDS):
            example = self.examples.get(f"{UNREADABLE}: {kind}")
            lines.append(f"{count:,} unreadable: {kind}" + (f", such as {example}" if example else ""))
        if count := self.counters[counter_of(INTERNAL_ERROR)]:
            where = crash_log.path or "no file: TMPDIR cannot be written"
            lines.append(f"internal errors: {count:,}, please report them; the tracebacks are in {where}")
        return lines + incomplete_lines(self.counters, self.examples)

    def on_hidden(self, path: bytes) -> None:
        """Count a hidden file or folder that the reader skips."""
        self._num_hidden += 1

    @property
    def _shown_hidden(self) -> str:
        """What was skipped, for the end of a closing line; "" if nothing was."""
        return f"; {self._num_hidden:,} hidden files or folders skipped" if self._num_hidden else ""

    def closing_line(self) -> str:
        """The sum of a stage: ``3 in = 1 kept + 2 rejected (low confidence 2) + 0 unreadable, 2/s``."""
        sums = closing_line(self.counters, seconds=self.seconds, num_now=self.counters["in"] - self.num_resumed)
        return sums + self._shown_hidden

    def progress_line(self, counters: Mapping[str, int], num_resumed: int) -> str:
        """The counts of a run so far."""
        rate = (counters["in"] - num_resumed) / self.seconds if self.seconds > 0 else 0.0
        rejected = sum(rejected_by_reason(counters).values())
        share = f" ({counters['kept'] / counters['in']:.0%})" if counters["in"] else ""
        return (
            f"{counters['in']:,} in, {counters['kept']:,} kept{share}, {rejected:,} rejected, "
            f"{counters[UNREADABLE]:,} unreadable, {rate:,.0f}/s"
        )


def _named_once(result: "JobResult") -> str:
    """The reason of a failure, which names the input file."""
    return result.reason if result.source in result.reason else f"{result.source}: {result.reason}"


class ReadAccountant(RecordAccountant):
    """Accounting of a command whose records end in one result: training, testing, fitting.

    A context manager: opens ``--rejects``, and at the end writes ``--summary`` and checks ``--max-bad``.

    Args:
        console: reports each rejected record under ``-v``.
        streams: ``--rejects``, ``--max-bad``, ``--strict`` and ``--summary``.
        options: resolved options, for the summary.
        purpose: what the records that are not for validation are read for, as the closing line says it.

    Attributes:
        console: where the command reports.
        result: metrics for the summary.
    """

    def __init__(
        self,
        console: Console,
        streams: StreamOptions,
        *,
        options: Mapping[str, Any] | None = None,
        purpose: str = "used",
    ) -> None:
        super().__init__(streams.max_bad)
        self._purpose = purpose
        self._validation_ids: Counter[str] = Counter()
        self.result: dict[str, Any] = {}
        self.console = console
        self._streams = streams
        self._options = options or {}
        self._file: BinaryIO | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        from omnicli.streams.write.atomic import open_atomic

        incomplete.clear()
        if self._streams.rejects:
            self._file = self._stack.enter_context(open_atomic(Path(self._streams.rejects)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if isinstance(error, InputError):  # such as no record to train on: what was not read may be why
            for line in self.failures():
                self.console.say(line)
        if error is not None:
            return
        self.count_incomplete(incomplete.found())
        count_fetched(self.counters)
        for line in (*self.failures(), *fetched_lines(self.counters)):
            self.console.say(line)
        if self._streams.summary:
            write_summary(self._streams.summary, self._sums())
        self.check_max_bad(self.counters)
        self.raise_if_too_many_bad()

    @property
    def num_in(self) -> int:
        """Records read."""
        return self.counters["in"]

    @property
    def num_rejected(self) -> int:
        """Readable records that left."""
        return sum(rejected_by_reason(self.counters).values())

    @property
    def num_used(self) -> int:
        """Records that contributed to the result: of a training, those that it learned from."""
        return self.num_in - self.counters[UNREADABLE] - self.num_rejected - self.num_validated

    @property
    def num_validated(self) -> int:
        """Records that a training is only measured on."""
        return self._validation_ids.total()

    def read(self, source: InputOptions) -> "Iterator[Record]":
        """The records of INPUTs, counted; records dropped by the reader are counted too."""
        from omnicli.streams.read.repeated import warn_of_repeated

        def on_drop(record: "Record", reason: str) -> None:
            self.counters["in"] += 1
            self.on_drop(record, reason)

        warn_of_repeated(source.inputs or [], self.console.say)
        return self.count(source.read(on_drop, self.on_hidden))

    def read_validation(self, source: InputOptions) -> "Iterator[Record]":
        """As ``read``, for records that a training is only measured on."""
        for record in self.read(source):
            self._validation_ids[str(record.get("id"))] += 1
            yield record

    def count(self, records: "Iterable[Record]") -> "Iterator[Record]":
        """The records, counted."""
        for record in records:
            self.counters["in"] += 1
            yield record

    def on_drop(self, record: "Record", reason: str) -> None:
        """Count and write a rejected record."""
        from omnicli.streams.record import format_record

        note_reject(record, reason, counters=self.counters, examples=self.examples, strict=self._streams.strict)
        if self._validation_ids[str(record.get("id"))]:
            self._validation_ids[str(record.get("id"))] -= 1
        self.console.detail(f"{record.get('id')}: {reason}")
        if self._file:
            self._file.write(format_record(record.derive(reason=reason)))

    def count_incomplete(self, found: Iterable[tuple[str, int]]) -> None:
        """Count IDs of records whose videos were read without so many frames; the first call counts."""
        if INCOMPLETE not in self.counters:
            for name, num_missing in found:
                count_missing_frames(name, num_missing, counters=self.counters, examples=self.examples)

    def sums(self) -> str:
        """The sum: ``57 in = 55 used + 2 unreadable, 31 s``."""
        validated = f" + {self.num_validated:,} validated on" if self.num_validated else ""
        rejected = f" + {self.num_rejected:,} rejected" if self.num_rejected else ""
        return (
            f"{self.num_in:,} in = {self.num_used:,} {self._purpose}{validated}{rejected} + "
            f"{self.counters[UNREADABLE]:,} unreadable, {self.seconds:.0f} s{self._shown_hidden}"
        )

    def _sums(self) -> dict[str, Any]:
        return {
            "command": self.console.name,
            "in": self.num_in,
            "used": self.num_used,
            "validated": self.num_validated,
            "rejected": self.num_rejected,
            "unreadable": self.counters[UNREADABLE],
            "unreadable_by_kind": unreadable_by_kind(self.counters),
            **missing_frames(self.counters),
            **fetched_fields(self.counters),
            "seconds": round(self.seconds, 3),
            "options": dict(self._options),
            "result": self.result,
        }
