"""A random sample of the scored records of a stream, stratified by score, in bounded memory.

Ours: the strata are fifths of the kept and of the rejected records by confidence (tenths if there is one kind only),
the same number of records is drawn from each, and a hash of the id decides. So 50 records say most about thresholds
near the present one. Every beginning of the sample is a stratified sample, too: it may end where the patience does.
"""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from omnicli.reasons import BY_VERDICT, LOW_CONFIDENCE, LOW_RANK
from omnicli.rng import keyed_seed
from omnicli.stages.report.precision import SeenRecord, precision_at
from omnicli.stages.report.record_fields import confidence_of
from omnicli.stages.report.top_records import TopRecords
from omnicli.streams.record import Record
from omnicli.streams.verdicts import Drawn, Verdicts

OF_SCORES = (LOW_CONFIDENCE, LOW_RANK, BY_VERDICT)  # rejects that a lower threshold would bring back
NUM_STRATA = 10
SPARE = 8  # records held per record of the sample: the strata are not known before the end


class DrawnRecord(NamedTuple):
    """A record of the sample."""

    record: Record
    outcome: str
    drawn: Drawn


class Threshold(NamedTuple):
    """A threshold to choose from, and the number of records that reach it."""

    at: float
    num_records: int


class RecordSample:
    """Draws the sample; 8 bytes of memory per record, and ``SPARE * num`` records.

    Args:
        num: records wanted; 0 draws none.
    """

    def __init__(self, num: int) -> None:
        self._num = num
        self._confidences = {"kept": array("d"), "rejected": array("d")}
        self._held = {outcome: TopRecords(SPARE * num) for outcome in self._confidences}

    def add(self, record: Record, outcome: str, reason: str = "") -> None:
        """Offer a record; what no score decided about is not in the population."""
        confidence = confidence_of(record)
        if not self._num or confidence is None or not record.get("id"):
            return
        if outcome == "rejected" and reason not in OF_SCORES:
            return
        self._confidences[outcome].append(confidence)
        self._held[outcome].add(0.0, record)  # equal priorities: the hashes of the ids decide

    @property
    def num_kept(self) -> int:
        """Kept records of the population."""
        return len(self._confidences["kept"])

    def drawn(self) -> list[DrawnRecord]:
        """The sample in the order in which it is shown: one record of each stratum in turn."""
        queues: list[tuple[str, int, list[Record]]] = []
        for outcome in ("kept", "rejected"):
            edges, ordered = self._edges(outcome), np.sort(self._confidences[outcome])
            sizes = np.diff(np.searchsorted(ordered, edges), append=len(ordered))
            members: list[list[Record]] = [[] for _ in edges]
            for record in self._held[outcome].records():
                members[int(np.searchsorted(edges, confidence_of(record) or 0.0, side="right")) - 1].append(record)
            queues += [(outcome, int(size), own) for size, own in zip(sizes, members, strict=True)]
        found: list[DrawnRecord] = []
        for turn in range(max((len(own) for _, _, own in queues), default=0)):
            drawn = [(stratum, own[turn]) for stratum, (_, _, own) in enumerate(queues) if len(own) > turn]
            drawn.sort(key=lambda one: keyed_seed(0, "report", str(one[1]["id"])))  # the order says nothing
            for stratum, record in drawn[: self._num - len(found)]:
                outcome, size, _ = queues[stratum]
                found.append(DrawnRecord(record, outcome, Drawn(len(found), stratum, size)))
        return found

    def thresholds(self) -> list[Threshold]:
        """Round numbers at the lower ends of the strata, ascending."""
        both = np.sort(np.concatenate([np.array(values) for values in self._confidences.values()]))
        edges = np.unique(np.concatenate([self._edges(outcome) for outcome in self._confidences]))
        found = []
        for edge in edges.tolist():
            start = int(np.searchsorted(both, edge))
            at = roundest(float(both[start - 1]) if start else -1.0, edge)
            found.append(Threshold(at, len(both) - start))
        return found

    def first_ids(self) -> list[str]:
        """IDs that differ between populations."""
        return [str(record["id"]) for held in self._held.values() for record in held.records()[:NUM_STRATA]]

    def _edges(self, outcome: str) -> np.ndarray:
        """(S,) the lowest confidence of each stratum, ascending; equal confidences share a stratum."""
        ordered = np.sort(self._confidences[outcome])
        if not len(ordered):
            return ordered
        both = all(map(len, self._confidences.values()))
        num = NUM_STRATA // 2 if both else NUM_STRATA
        return np.unique(ordered[np.arange(num) * len(ordered) // num])


def roundest(low: float, high: float) -> float:
    """The number with the fewest decimals above ``low`` and at most ``high``; 0 <= high <= 1.

    >>> roundest(0.4712, 0.5301), roundest(-1.0, 0.03), roundest(0.123456, 0.123457)
    (0.5, 0.0, 0.123457)
    """
    return next((value for digits in range(1, 7) if low < (value := floor_to(high, digits)) <= high), high)


def floor_to(value: float, digits: int) -> float:
    """``value`` cut to ``digits`` decimals, downwards."""
    scale: int = 10**digits
    return int(value * scale + 1e-9) / scale


def with_verdicts(sample: Sequence[DrawnRecord], verdicts: Verdicts) -> tuple[list[SeenRecord], int]:
    """Records of the sample with a verdict, and how many before the last of them have none."""
    seen, last = [], -1
    for record, outcome, drawn in sample:
        is_right = verdicts.accepts(record)
        if is_right or verdicts.rejects(record):
            confidence = confidence_of(record) or 0.0
            seen.append(SeenRecord(confidence, outcome == "kept", is_right, drawn.stratum, drawn.size))
            last = drawn.rank
    return seen, last + 1 - len(seen)


def describe_precision(sample: RecordSample, verdicts: Verdicts) -> list[str]:
    """Closing lines: what is right at each threshold, from the verdicts about the sample."""
    drawn = sample.drawn()
    seen, num_skipped = with_verdicts(drawn, verdicts)
    if not seen:
        return ["precision: no record of the random sample has a verdict"]
    lines = [
        f"precision from {len(seen)} of {len(drawn)} records of the random sample, with 95 % intervals: kept now "
        f"{precision_at(seen, None)}",
        *(
            f"{at:g} and above, {num_records:,} records: {precision_at(seen, at)}"
            for at, num_records in sample.thresholds()
        ),
    ]
    if num_skipped:
        lines.append(f"{num_skipped} records of the sample were passed over, which can bias the precision")
    return lines
