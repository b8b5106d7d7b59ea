"""Subsets of a stream that the papers compare: videos by length, a budget of minutes, a share of the labels.

    seconds    videos of a range of lengths: short-N has 1 to 5 s, long-N 55 to 60 s (IG-65M Sec. 4.3.1)
    minutes    videos of so many minutes in all: "a fixed video time budget" (IG-65M Sec. 4.3.1)
    centre     the middle seconds of each video: long-center-N has 4 s (IG-65M Sec. 4.3.1)
    labels     a share of the labelled videos of each class: 3 %, 10 % and 30 % (OmniSource Fig. 7)

Ours: a hash of the id (of the parent, where a record has one) decides, so that a smaller share or budget is part of a
larger one; a share of n records is floor(n * share + 0.5), but at least one record of each class; a budget ends before
the first video that it has no room for; images have no length and count for nothing.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from omnicli.errors import InputError
from omnicli.reasons import NO_CLASS, NOT_DRAWN, OVER_BUDGET, TOO_LONG, TOO_SHORT
from omnicli.rng import keyed_seed
from omnicli.streams.class_names import normalise_class
from omnicli.streams.record import OnDrop, Record, partition_key
from omnicli.streams.rounding import count_of
from omnicli.streams.stage_run import Stage
from omnicli.streams.temp_records import spooled

STAGE = "subset"
SLACK_SEC = 1e-6  # of a budget: sums of floats are not exact


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Which part of a stream to keep; None keeps all.

    Attributes:
        min_sec: shortest video.
        max_sec: longest video.
        centre_sec: of each video the middle so many seconds, as ``start_sec`` and ``end_sec``.
        minutes: length of all videos together.
        label_share: share of the records of each class, in (0, 1].
        seed: of the choice.
    """

    min_sec: float | None = None
    max_sec: float | None = None
    centre_sec: float | None = None
    minutes: float | None = None
    label_share: float | None = None
    seed: int = 0

    @property
    def needs_whole_stream(self) -> bool:
        """True if the decision needs all records."""
        return self.minutes is not None or self.label_share is not None

    def why_not(self, record: Record) -> str:
        """The reason why a record is too short or too long, or "". Raises InputError: its length is not known."""
        if self.min_sec is None and self.max_sec is None:
            return ""
        length = duration_of(record)
        if length is None:
            return ""
        if self.min_sec is not None and length < self.min_sec:
            return TOO_SHORT
        return TOO_LONG if self.max_sec is not None and length > self.max_sec else ""


def subset_stage(stage: Stage, subset: Subset) -> Stage:
    """A stage followed by the choice of a subset, as one stage."""

    def run(records: Iterator[Record], on_drop: OnDrop) -> Iterator[Record]:
        def within(on_drop: OnDrop) -> Iterator[Record]:
            return _within_seconds(stage(records, on_drop), subset, on_drop)

        if not subset.needs_whole_stream:
            yield from within(on_drop)
            return
        hashes, seconds, groups = array("Q"), array("d"), array("q")
        numbers: dict[str, int] = {}

        def note(record: Record) -> None:
            hashes.append(keyed_seed(subset.seed, STAGE, partition_key(record)))
            seconds.append((duration_of(record) or 0.0) if subset.minutes is not None else 0.0)
            name = _class_of(record) if subset.label_share is not None else ""
            groups.append(-1 if name is None else numbers.setdefault(name, len(numbers)))

        spool = spooled(within, note)
        reasons = iter(_reasons(np.array(hashes), np.array(seconds), np.array(groups), subset))
        for record, reason in spool:
            why = reason or next(reasons)
            if why:
                on_drop(record, why)
            else:
                yield record

    return run


def duration_of(record: Record) -> float | None:
    """Seconds of a video or of a clip of it; None for an image. Raises InputError: the record does not say."""
    if record.get("media") == "image" or record.get("inflation") is not None:
        return None
    start_sec, end_sec, length = (record.get(field) for field in ("start_sec", "end_sec", "duration_sec"))
    if start_sec is not None and end_sec is not None:
        return float(end_sec - start_sec)
    if length is None:
        raise InputError(
            f"{record.where}: no field 'duration_sec', the length of the video; omni index --probe writes it"
        )
    return float(length)


def _within_seconds(records: Iterable[Record], subset: Subset, on_drop: OnDrop) -> Iterator[Record]:
    for record in records:
        why = subset.why_not(record)
        if why:
            on_drop(record, why)
        else:
            yield record if subset.centre_sec is None else _centre(record, subset.centre_sec)


def _centre(record: Record, seconds: float) -> Record:
    """The middle of a video; all of a shorter one, and of an image."""
    length = duration_of(record)
    if length is None or length <= seconds:
        return record
    start_sec = (record.get("start_sec") or 0.0) + (length - seconds) / 2
    return record.derive(start_sec=round(start_sec, 6), end_sec=round(start_sec + seconds, 6))


def _class_of(record: Record) -> str | None:
    """The class of a record as text: its human label; None if it has none."""
    for field in ("class_name", "label"):
        value = record.get(field)
        if value is not None and value != []:
            first = value[0] if isinstance(value, list) else value
            return normalise_class(str(first))
    return None


def _reasons(hashes: np.ndarray, seconds: np.ndarray, groups: np.ndarray, subset: Subset) -> list[str]:
    """(N,) why each record leaves, or "". Arguments: (N,) each; group -1 has no class."""
    reasons = np.full(len(hashes), "", dtype=object)
    if subset.label_share is not None and len(hashes):
        order = np.lexsort((np.arange(len(hashes)), hashes, groups))
        sizes = np.bincount(groups[groups >= 0])
        quotas = np.array([max(count_of(size, subset.label_share), 1) for size in sizes.tolist()], np.int64)
        sorted_groups = groups[order]
        starts = np.searchsorted(sorted_groups, np.arange(len(sizes)))
        has_class = sorted_groups >= 0
        ranks = np.arange(len(order))[has_class] - starts[sorted_groups[has_class]]
        reasons[order[has_class][ranks >= quotas[sorted_groups[has_class]]]] = NOT_DRAWN
        reasons[groups < 0] = NO_CLASS
    if subset.minutes is not None:
        left = np.flatnonzero(reasons == "")
        order = left[np.lexsort((left, hashes[left]))]
        is_over = np.cumsum(seconds[order]) > subset.minutes * 60 + SLACK_SEC
        reasons[order[is_over & (seconds[order] > 0)]] = OVER_BUDGET
    return reasons.tolist()
