"""Counts of a stream, and the few records of it that the report shows.

Memory grows with the number of classes, and by 8 bytes per record: counters, and bounded heaps of the most and least
confident records. Which records a heap keeps depends only on their confidence and ids, not on their order.
"""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from omnicli.reasons import LOW_CONFIDENCE, UNREADABLE
from omnicli.stages.report.record_fields import (
    confidence_of,
    group_name,
    is_metric,
    is_summary,
    pseudo_class,
    query_of,
    rank_of,
)
from omnicli.stages.report.sample import RecordSample, roundest
from omnicli.stages.report.segments import SegmentCollector
from omnicli.stages.report.top_records import TopRecords
from omnicli.streams.class_names import normalise_class
from omnicli.streams.record import Record

NUM_BINS = 1000  # of confidence in [0, 1]; a multiple of what is drawn
MAX_SHOWN_BAD = 24
MAX_GAP = 0.1  # between the confidences on both sides of a threshold that can be guessed
MAX_METRICS = 100_000


if TYPE_CHECKING:
    from omnicli.stages.report.parts import AllRecords


class RecordGroup:
    """The records of one query or class.

    Attributes:
        name: as it was first written.
        counts: ``kept``, ``rejected``, ``unreadable``.
        most_confident, least_confident: kept records.
        top_rejected: the most confident rejected records.
    """

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self.most_confident, self.least_confident, self.top_rejected = (
            TopRecords(size),
            TopRecords(size),
            TopRecords(size),
        )

    @property
    def total(self) -> int:
        """Number of records."""
        return self.counts.total()


class RecordCollector:
    """Counts the records of a stream and selects those to show.

    Args:
        group_by: "query" or "class": what records are grouped by; the other where a record has only that.
        size: records shown of each kind and group.
        sample: records of a random sample.
        every: takes every readable record; None: only those to show are held.

    Attributes:
        counts: ``kept``, ``rejected``, ``unreadable``.
        reasons: of the rejected; ``bad``: of the unreadable.
        groups: by normalised name.
        pseudo: kept records of each pseudo-class; ``pairs``: of each (query, pseudo-class).
        bins: confidence of ``kept`` and ``rejected``, NUM_BINS counts each.
        metrics: records of training; ``summaries``: of evaluation.
        segments: videos that ``omni segment`` divided.
        num_labelled, right: records that carry a label and a pseudo-label, and those where they agree.
    """

    def __init__(
        self, *, group_by: str = "query", size: int = 7, sample: int = 0, every: "AllRecords | None" = None
    ) -> None:
        self.group_by, self.size, self.every = group_by, size, every
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.bad: Counter[str] = Counter()
        self.media: Counter[str] = Counter()
        self.groups: dict[str, RecordGroup] = {}
        self.pseudo: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.bins = {"kept": [0] * NUM_BINS, "rejected": [0] * NUM_BINS}
        self.lowest_kept, self.highest_rejected = 2.0, -1.0
        self.just_kept, self.just_rejected = TopRecords(2 * size), TopRecords(2 * size)
        self.duplicates, self.mistakes = (
            TopRecords(8 * size),
            TopRecords(2 * size),
        )  # most flags are false: people look at many
        self.sample = RecordSample(sample)
        self.num_labelled, self.right = 0, 0
        self.unreadable: list[tuple[Record, str]] = []
        self.segments = SegmentCollector(size)
        self.metrics: list[Record] = []
        self.summaries: list[Record] = []
        self.names: dict[int, str] = {}  # of labels, from the records

    def add(self, record: Record, reason: str | None = None) -> None:
        """Count one record; ``reason`` is its reject reason, None if it was kept."""
        if reason is None and is_summary(record):
            self.summaries.append(record)
            return
        if reason is None and is_metric(record):
            if len(self.metrics) < MAX_METRICS:
                self.metrics.append(record)
            return
        self.segments.add(record, is_kept=reason is None)
        kind, _, detail = (reason or "").partition(": ")
        outcome = "kept" if reason is None else UNREADABLE if kind == UNREADABLE else "rejected"
        group = self._group(record)
        self.counts[outcome] += 1
        group.counts[outcome] += 1
        self.media[str(record.get("media") or "record")] += 1
        if outcome == UNREADABLE:
            self.bad[detail or "unknown"] += 1
            if len(self.unreadable) < MAX_SHOWN_BAD:
                self.unreadable.append((record, detail))
            return
        if self.every is not None:
            self.every.add(record, normalise_class(group.name), is_rejected=outcome == "rejected")
        if outcome == "rejected":
            self._add_rejected(record, group, kind)
        else:
            self._add_kept(record, group)

    def shares(self, steps: int = 50) -> list[float]:
        """The share of all scored records with confidence >= t, for t = 0, 1/steps, … 1."""
        both = [below + above for below, above in zip(self.bins["kept"], self.bins["rejected"], strict=True)]
        total, left, found = sum(both) or 1, sum(both), []
        for index, count in enumerate([*both, 0]):
            if index % (NUM_BINS // steps) == 0:
                found.append((left if index < NUM_BINS else both[-1]) / total)
            left -= count
        return found

    def histogram(self, outcome: str, bins: int = 40) -> list[int]:
        """Counts of confidence of the ``kept`` or the ``rejected``, in equal bins over [0, 1]."""
        width = NUM_BINS // bins
        return [sum(self.bins[outcome][start : start + width]) for start in range(0, NUM_BINS, width)]

    def threshold(self) -> float | None:
        """The roundest number between the confidences of kept and of rejected records; None if they overlap.

        None also if the gap is wider than ``MAX_GAP``.
        """
        return round_between(self.highest_rejected, self.lowest_kept)

    def _group(self, record: Record) -> RecordGroup:
        name = group_name(record, self.group_by)
        key = normalise_class(name)
        if key not in self.groups:
            self.groups[key] = RecordGroup(name, self.size)
        return self.groups[key]

    def _add_kept(self, record: Record, group: RecordGroup) -> None:
        confidence = confidence_of(record)
        self.sample.add(record, "kept")
        if confidence is None:
            group.most_confident.add(0.0, record)
        else:
            self._bin("kept", confidence)
            self.lowest_kept = min(self.lowest_kept, confidence)
            group.most_confident.add(confidence, record)
            group.least_confident.add(-confidence, record)
            self.just_kept.add(-confidence, record)
        pseudo = pseudo_class(record)
        if pseudo is not None:
            self.pseudo[pseudo] += 1
            if query := query_of(record):
                self.pairs[query, pseudo] += 1
        self._compare_label(record, confidence or 0.0)

    def _add_rejected(self, record: Record, group: RecordGroup, kind: str) -> None:
        confidence = confidence_of(record)
        self.reasons[kind] += 1
        self.sample.add(record, "rejected", kind)
        match = record.verdict.get("match")
        if isinstance(match, Mapping):
            self.duplicates.add(rank_of(match), record)
        if confidence is None:
            group.top_rejected.add(-1.0, record)
            return
        self._bin("rejected", confidence)
        group.top_rejected.add(confidence, record)
        if kind == LOW_CONFIDENCE:
            self.highest_rejected = max(self.highest_rejected, confidence)
            self.just_rejected.add(confidence, record)

    def _bin(self, outcome: str, confidence: float) -> None:
        # 0.29 * 1000 is 289.999…: without the nudge a threshold would cut through its own bin
        self.bins[outcome][min(max(int(confidence * NUM_BINS + 1e-9), 0), NUM_BINS - 1)] += 1

    def _compare_label(self, record: Record, confidence: float) -> None:
        label, pseudo = record.get("label"), record.get("pseudo_label")
        for index, name in ((label, record.get("class_name")), (pseudo, record.get("pseudo_class"))):
            if isinstance(index, int) and isinstance(name, str):
                self.names[index] = name
        if isinstance(label, int) and isinstance(pseudo, int):
            self.num_labelled += 1
            self.right += label == pseudo
            if label != pseudo:
                self.mistakes.add(confidence, record)


def round_between(low: float, high: float) -> float | None:
    """The roundest number above ``low`` and at most ``high``; None if there is none in [0, 1], or they lie apart.

    >>> round_between(0.4712, 0.5301), round_between(0.2, 0.9)
    (0.5, None)
    """
    if not 0 <= low < high <= 1 or high - low > MAX_GAP:
        return None
    return roundest(low, high)
