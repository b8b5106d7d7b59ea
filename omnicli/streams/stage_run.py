"""One run of a stage over a stream: every record is accounted for, in order, and a killed run can go on.

The stage is a generator: records in, records out, ``on_drop(record, reason)`` for those that leave. The flow checks
that each input position is yielded or dropped, exactly once (``pieces``: at least once), in ascending order. So kept +
rejected + unreadable always add up to the records read, and a point in the outputs always corresponds to a point in
the input, which is what makes resuming exact.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator

from omnicli.errors import OmniError
from omnicli.reasons import UNREADABLE
from omnicli.streams.record import OnDrop, Record, format_record
from omnicli.streams.shards.writer import ShardWriter
from omnicli.streams.write.resume import Journal, chain_digest
from omnicli.streams.write.stdout import LineWriter

Stage = Callable[[Iterator[Record], OnDrop], Iterator[Record]]
Observe = Callable[[Record, Counter[str]], None]

SAVE_SEC = 1.0  # Ours: the state is saved at most once a second, so that its two fsyncs cost under 1 %


def observe_nothing(record: Record, counters: Counter[str]) -> None:
    """Count nothing beyond what every stage counts."""


class StageRun:
    """Books of one stream.

    Attributes:
        counters: ``in``, ``kept``, ``out`` (lines), ``unreadable``, ``rejected: REASON``, and what ``observe`` adds.
    """

    def __init__(
        self,
        *,
        kept: LineWriter,
        rejects: LineWriter | None = None,
        journal: Journal | None = None,
        shards: ShardWriter | None = None,
        pieces: bool = False,
        observe: Observe = observe_nothing,
    ) -> None:
        self._kept = kept
        self._rejects = rejects
        self._journal = journal
        self._shards = shards
        self._pieces = pieces
        self._observe = observe
        self._resumed = resumed = journal.resumed if journal else None
        self._resume_from = resumed.consumed if resumed else 0
        self.counters: Counter[str] = Counter(resumed.counters if resumed else {})
        self._next = self._resume_from  # lowest position that is neither yielded nor dropped
        self._open = False  # the position before _next may still yield pieces
        self._early: dict[int, tuple[Record, str]] = {}  # dropped by the reader, ahead of the stage
        self._num_read = 0
        self._digest = ""
        self._digests: deque[tuple[int, str]] = deque()  # (records read, digest of them), those in flight
        self._unborn: list[bytes] = []  # lines that name a shard which is not closed, and those behind them
        self._saved_at = time.monotonic()
        self._lock = threading.RLock()  # the reader may run in a thread of its own

    @property
    def num_resumed(self) -> int:
        """Records that an earlier run had settled."""
        return self._resume_from

    def run(self, stage: Stage, records: Iterable[Record]) -> None:
        """Pass every record through the stage and publish nothing yet.

        Raises:
            OmniError: the input is not the one an unfinished run had begun with.
            RuntimeError: the stage broke its contract (our bug).
        """
        watched = self._watch(records)
        if self._resumed and self._resumed.finished:
            for record in watched:
                raise OmniError(
                    f"{record.where}: the input has grown since the finished run; start over with --no-resume"
                )
            return
        for record in stage(watched, self.reject):
            self.keep(record)
        self._finish()

    def keep(self, record: Record) -> None:
        """Write one record the stage yielded."""
        with self._lock:
            is_piece = self._arrive(record.position)
            self._observe(record, self.counters)
            if record.arrays is not None and self._shards is not None:
                record = self._shards.add(record)
            self._write_kept(format_record(record))
            self.counters["out"] += 1
            self.counters["kept"] += not is_piece
            self._open = True

    def reject(self, record: Record, reason: str) -> None:
        """Take one record out of the stream: the stage's ``on_drop``."""
        with self._lock:
            if self._arrive(record.position):
                raise RuntimeError(f"{record.where}: dropped after it was yielded")
            self._write_reject(record, reason)

    def reject_early(self, record: Record, reason: str) -> None:
        """Take out a record that never reaches the stage: the reader's ``on_drop``, at any time, from any thread."""
        with self._lock:
            self._note_read(record)
            if record.position >= self._resume_from:
                self._early[record.position] = (record, reason)
                if not (self._open and self._pieces):
                    self._settle_early()

    def _watch(self, records: Iterable[Record]) -> Iterator[Record]:
        """The stream as the stage sees it: what an earlier run had settled is read, compared and passed over."""
        for record in records:
            with self._lock:
                self._note_read(record)
            if record.position >= self._resume_from:
                yield record
        if self._num_read < self._resume_from:
            raise self._changed_input(f"it ends after {self._num_read:,} records")

    def _note_read(self, record: Record) -> None:
        if self._journal is not None:
            self._digest = chain_digest(self._digest, format_record(record))
            if self._num_read >= self._resume_from:
                self._digests.append((self._num_read + 1, self._digest))
        self._num_read += 1
        resumed = self._resumed
        if resumed and self._num_read == resumed.consumed and self._digest != resumed.digest:
            raise self._changed_input(f"the first {self._num_read:,} records differ")

    def _changed_input(self, what: str) -> OmniError:
        out = self._journal.out if self._journal else ""
        return OmniError(f"{out}: the input is not the one of the unfinished run ({what}); start over with --no-resume")

    def _arrive(self, position: int) -> bool:
        """Move on to ``position``; True if it has yielded already (``pieces`` only)."""
        if self._pieces and self._open and position == self._next - 1:
            return True
        self._open = False
        self._settle_early()
        if position != self._next:
            raise RuntimeError(f"position {position} where {self._next} was due: a record was lost, repeated or moved")
        self._advance()
        return False

    def _settle_early(self) -> None:
        while self._next in self._early:
            record, reason = self._early.pop(self._next)
            self._advance()
            self._write_reject(record, reason)

    def _advance(self) -> None:
        """Go on to the next position; everything before it is written, nothing of it is."""
        self._forget_digests()
        self._save_if_due()
        self._next += 1
        self.counters["in"] += 1

    def _write_reject(self, record: Record, reason: str) -> None:
        category = reason.partition(":")[0]
        if category == UNREADABLE:
            self.counters[UNREADABLE] += 1
        else:
            self.counters[f"rejected: {category}"] += 1
            self._observe(record, self.counters)
        if self._rejects is not None:
            self._rejects.write(format_record(record.derive(reason=reason)))

    def _write_kept(self, line: bytes) -> None:
        """No line goes out before the file it names: nobody can read an open shard, a killed one will never be."""
        if self._shards is None or self._shards.keep_paths:
            self._kept.write(line)
            return
        self._unborn.append(line)
        if self._shards.is_at_boundary:
            self._write_unborn()

    def _write_unborn(self) -> None:
        for line in self._unborn:
            self._kept.write(line)
        self._unborn.clear()

    def _save_if_due(self) -> None:
        if self._journal is None or time.monotonic() - self._saved_at < SAVE_SEC:
            return
        if self._shards is not None and not self._shards.is_at_boundary:
            return  # an open shard dies with the process
        self._save(finished=False)

    def _save(self, *, finished: bool) -> None:
        if self._journal is None:
            return
        shards = self._shards.num_closed if self._shards else 0
        self._journal.save(
            consumed=self._next,
            digest=self._digest_so_far(),
            shards=shards,
            counters=self.counters,
            finished=finished,
        )
        self._saved_at = time.monotonic()

    def _forget_digests(self) -> None:
        """Hold those of records in flight only."""
        while self._digests and self._digests[0][0] < self._next:
            self._digests.popleft()

    def _digest_so_far(self) -> str:
        """Digest of the first ``_next`` records; where none was read by this process, that of the run before."""
        if self._digests and self._digests[0][0] == self._next:
            return self._digests[0][1]
        return self._resumed.digest if self._resumed else ""

    def _finish(self) -> None:
        """Settle the last records and promise the whole output."""
        with self._lock:
            self._open = False
            self._settle_early()
            self._forget_digests()
            if self._next != self._num_read:
                raise RuntimeError(f"{self._num_read:,} records read, {self._next:,} settled: the stage lost some")
            if self._shards is not None:
                self._shards.close()
            self._write_unborn()
            self._save(finished=True)
