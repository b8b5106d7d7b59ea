"""One run of a stage over a stream: counts every record, in order, and saves the state that a killed run resumes.

The stage is a generator: records in, records out, ``on_drop(record, reason)`` for rejects. The run checks that each
input position is yielded or dropped exactly once (``one_to_many``: yielded at least once), in ascending order. So
kept + rejected + unreadable always equals the number of records read, and each point in the outputs corresponds to one
point in the input, which makes resuming exact.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator

from omnicli.errors import OmniError
from omnicli.reasons import INTERNAL_ERROR, UNREADABLE, category_of, unreadable
from omnicli.streams.reading import DIED, InFlight, count_missing_frames, note_reject
from omnicli.streams.record import OnDrop, Record, format_record
from omnicli.streams.shards.writer import ShardWriter
from omnicli.streams.write.resume import Journal, chain_digest
from omnicli.streams.write.stdout import LineWriter

Stage = Callable[[Iterator[Record], OnDrop], Iterator[Record]]
Observe = Callable[[Record, Counter[str]], None]

MAX_QUERIES = 2_000  # Ours: a stream with more has queries by the record, such as hashtags, and no line names them
WITHOUT_QUERY = "without query"  # counts readable records
SAVE_SEC = 1.0  # Ours: at most one save per second, so that its two fsyncs cost under 1 %


def observe_nothing(record: Record, counters: Counter[str]) -> None:
    """Count nothing more: the default of ``observe``."""


class StageRun:
    """Runs a stage, writes its outputs and counts its records.

    Args:
        kept: writer of the output.
        rejects: writer of ``--rejects``.
        journal: state of a run with ``-o FILE``.
        shards: writer of ``--shards``.
        in_flight: knows the records at which earlier processes of this run died.
        strict: see ``stop_if_strict``.
        one_to_many: one input record may become several output records.
        observe: called with each readable record and the counters, to count more.
        by_query: count by the query of readable records, too.

    Attributes:
        counters: ``in``, ``kept``, ``out`` (lines), ``unreadable``, ``unreadable: KIND``, ``rejected: REASON``,
            ``kept: PSEUDO-CLASS``, ``incomplete``, ``missing frames``, those of ``observe``, and with ``by_query``
            ``query: QUERY``, ``kept query: QUERY`` and ``without query``.
        examples: ID of the first record of each ``unreadable: KIND``, and of the first that is ``incomplete``.
    """

    def __init__(
        self,
        *,
        kept: LineWriter,
        rejects: LineWriter | None = None,
        journal: Journal | None = None,
        shards: ShardWriter | None = None,
        in_flight: InFlight | None = None,
        strict: bool = False,
        one_to_many: bool = False,
        observe: Observe = observe_nothing,
        by_query: bool = False,
    ) -> None:
        self._kept = kept
        self._rejects = rejects
        self._journal = journal
        self._shards = shards
        self._in_flight = in_flight
        self._strict = strict
        self._one_to_many = one_to_many
        self._observe = observe
        self._by_query = by_query
        self.examples: dict[str, str] = {}
        self._resumed = resumed = journal.resumed if journal else None
        self._resume_from = resumed.consumed if resumed else 0
        self.counters: Counter[str] = Counter(resumed.counters if resumed else {})
        self._num_queries = sum(key.startswith("query: ") for key in self.counters)
        self._next = self._resume_from  # lowest position that is neither yielded nor dropped
        self._may_yield_again = False  # the position before _next may yield more records
        self._reader_rejects: dict[int, tuple[Record, str]] = {}  # rejects of the reader, which runs ahead of the stage
        self._num_read = 0
        self._digest = ""
        self._digests: deque[tuple[int, str]] = deque()  # (records read, their digest) for records in flight
        self._waiting: list[bytes] = []  # lines that name an open shard, and the lines after them
        self._saved_at = time.monotonic()
        self._lock = threading.RLock()  # the reader may run in its own thread

    @property
    def num_resumed(self) -> int:
        """Number of records that an earlier run has processed."""
        return self._resume_from

    def run(self, stage: Stage, records: Iterable[Record]) -> None:
        """Run the stage over all records. The caller publishes the outputs.

        Raises:
            OmniError: the input differs from that of the unfinished run.
            InputError: as ``stop_if_strict``.
            RuntimeError: the stage lost, repeated or moved a record (internal error).
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
        """Write one record that the stage yielded."""
        with self._lock:
            is_further_piece = self._move_to(record.position)
            self._observe(record, self.counters)
            if record.arrays is not None and self._shards is not None:
                record = self._shards.add(record)
            self._write_kept(format_record(record))
            self.counters["out"] += 1
            self.counters["kept"] += not is_further_piece
            if not is_further_piece:
                self._count_missing_frames(record)
            if (name := record.get("pseudo_class")) is not None and not is_further_piece:
                self.counters[f"kept: {name}"] += 1
            if self._by_query and not is_further_piece:
                self._count_query(record, is_kept=True)
            self._may_yield_again = True

    def reject(self, record: Record, reason: str) -> None:
        """Write one reject: the ``on_drop`` of the stage."""
        with self._lock:
            if self._move_to(record.position):
                raise RuntimeError(f"{record.where}: dropped after it was yielded")
            self._write_reject(record, reason)

    def reject_early(self, record: Record, reason: str) -> None:
        """Write a reject that never reaches the stage: the ``on_drop`` of the reader, at any time, from any thread."""
        with self._lock:
            self._note_read(record)
            if record.position >= self._resume_from:
                self._reader_rejects[record.position] = (record, reason)
                if not (self._may_yield_again and self._one_to_many):
                    self._settle_early()

    def _watch(self, records: Iterable[Record]) -> Iterator[Record]:
        """The records for the stage: those that an earlier run has processed are compared and skipped."""
        for record in records:
            if self._in_flight and self._in_flight.is_fatal(record.position):
                self.reject_early(record, unreadable(DIED))
                continue
            with self._lock:
                self._note_read(record)
            if record.position >= self._resume_from:
                yield record
        if self._num_read < self._resume_from:
            raise self._input_changed(f"it ends after {self._num_read:,} records")

    def _note_read(self, record: Record) -> None:
        if self._journal is not None:
            self._digest = chain_digest(self._digest, format_record(record))
            if self._num_read >= self._resume_from:
                self._digests.append((self._num_read + 1, self._digest))
        self._num_read += 1
        resumed = self._resumed
        if resumed and self._num_read == resumed.consumed and self._digest != resumed.digest:
            raise self._input_changed(f"the first {self._num_read:,} records differ")

    def _input_changed(self, what: str) -> OmniError:
        out = self._journal.out if self._journal else ""
        return OmniError(f"{out}: the input is not the one of the unfinished run ({what}); start over with --no-resume")

    def _move_to(self, position: int) -> bool:
        """Move on to ``position``; True if it has already yielded a record (``one_to_many`` only)."""
        if self._one_to_many and self._may_yield_again and position == self._next - 1:
            return True
        self._may_yield_again = False
        self._settle_early()
        if position != self._next:
            raise RuntimeError(f"expected position {self._next}, got {position}: a record was lost, repeated or moved")
        self._advance()
        return False

    def _settle_early(self) -> None:
        while self._next in self._reader_rejects:
            record, reason = self._reader_rejects.pop(self._next)
            self._advance()
            self._write_reject(record, reason)

    def _advance(self) -> None:
        """Move on to the next position: everything before it is written, nothing of it is."""
        self._forget_digests()
        self._save_if_due()
        self._next += 1
        self.counters["in"] += 1

    def _write_reject(self, record: Record, reason: str) -> None:
        note_reject(record, reason, counters=self.counters, examples=self.examples, strict=self._strict)
        self._count_missing_frames(record)
        if category_of(reason) not in (UNREADABLE, INTERNAL_ERROR):
            self._observe(record, self.counters)
            if self._by_query:
                self._count_query(record, is_kept=False)
        if self._rejects is not None:
            self._rejects.write(format_record(record.derive(reason=reason)))

    def _count_query(self, record: Record, *, is_kept: bool) -> None:
        query = record.get("query") or next(iter(record.get("queries") or ()), None)
        key = WITHOUT_QUERY if query is None else f"query: {query}"
        if key not in self.counters and query is not None:
            if self._num_queries == MAX_QUERIES:
                return
            self._num_queries += 1
        self.counters[key] += 1
        if query is not None:
            self.counters[f"kept query: {query}"] += is_kept

    def _count_missing_frames(self, record: Record) -> None:
        name = str(record.get("id") or record.where)
        count_missing_frames(name, record.missing_frames, counters=self.counters, examples=self.examples)

    def _write_kept(self, line: bytes) -> None:
        # a line must not appear before its shard: an open shard cannot be read, and a killed run leaves none
        if self._shards is None or self._shards.keep_paths:
            self._kept.write(line)
            return
        self._waiting.append(line)
        if self._shards.is_at_boundary:
            self._write_waiting()

    def _write_waiting(self) -> None:
        for line in self._waiting:
            self._kept.write(line)
        self._waiting.clear()

    def _save_if_due(self) -> None:
        if self._journal is None or time.monotonic() - self._saved_at < SAVE_SEC:
            return
        if self._shards is not None and not self._shards.is_at_boundary:
            return  # an open shard is lost with the process
        self._save(finished=False)

    def _save(self, *, finished: bool) -> None:
        if self._journal is None:
            return
        shards, digest = self._shards.num_closed if self._shards else 0, self._digest_so_far()
        self._journal.save(consumed=self._next, digest=digest, shards=shards, counters=self.counters, finished=finished)
        self._saved_at = time.monotonic()

    def _forget_digests(self) -> None:
        """Forget the digests of records that are written."""
        while self._digests and self._digests[0][0] < self._next:
            self._digests.popleft()

    def _digest_so_far(self) -> str:
        """Digest of the first ``_next`` records; that of the earlier run if this process has read none of them."""
        if self._digests and self._digests[0][0] == self._next:
            return self._digests[0][1]
        return self._resumed.digest if self._resumed else ""

    def _finish(self) -> None:
        """Write the last records and save the finished state."""
        with self._lock:
            self._may_yield_again = False
            self._settle_early()
            self._forget_digests()
            if self._next != self._num_read:
                raise RuntimeError(f"{self._num_read:,} records read, {self._next:,} settled: the stage lost some")
            if self._shards is not None:
                self._shards.close()
            self._write_waiting()
            self._save(finished=True)
