"""The videos that ``omni segment`` divided: which of them the report shows, and the scores along each.

A 2D teacher leaves one record per video, with the scores of its frames. A 3D teacher leaves one record per clip; those
of one video follow each other, and are gathered by their ``parent``.
"""

from collections.abc import Sequence
from typing import NamedTuple

from omnicli.stages.report.record_fields import confidence_of
from omnicli.stages.report.top_records import TopRecords
from omnicli.streams.record import Record

MAX_CLIPS = 2000  # of one video held in memory
VIDEOS_PER_SIZE = 3  # videos shown, in units of the images shown of each kind


class ScoredSpan(NamedTuple):
    """A frame or clip: when it is on screen, the teacher's score, and whether that made it positive."""

    start_sec: float
    end_sec: float
    score: float
    is_positive: bool


class DividedVideo(NamedTuple):
    """A video and its frames or clips.

    Attributes:
        record: of the video; of a 3D teacher the first clip's.
        spans: ascending in time.
        clips: their records, for a 3D teacher; else empty.
        is_kept: False for a video without anything positive.
    """

    record: Record
    spans: list[ScoredSpan]
    clips: list[Record]
    is_kept: bool


class SegmentCollector:
    """Selects the divided videos to show: the most confident ones, and the rejected ones that came nearest.

    Args:
        size: images shown of each kind.
    """

    def __init__(self, size: int) -> None:
        self._kept, self._rejected = TopRecords(VIDEOS_PER_SIZE * size), TopRecords(size)
        self._clips: list[Record] = []  # of the video that is being read
        self._clips_of: dict[int, list[Record]] = {}  # by id() of the first
        self._highest_negative, self._lowest_positive = -1.0, 2.0

    def add(self, record: Record, *, is_kept: bool) -> None:
        """Offer a record; what segment did not write is passed over."""
        if is_kept and "parent" in record and confidence_of(record) is not None and "end_sec" in record:
            if self._clips and self._clips[0]["parent"] != record["parent"]:
                self._end_of_video()
            if len(self._clips) < MAX_CLIPS:
                self._clips.append(record)
            return
        spans = frame_spans(record)
        for span in spans:
            if span.is_positive:
                self._lowest_positive = min(self._lowest_positive, span.score)
            else:
                self._highest_negative = max(self._highest_negative, span.score)
        if spans:
            (self._kept if is_kept else self._rejected).add(confidence_of(record) or 0.0, record)

    def videos(self) -> list[DividedVideo]:
        """Those to show, kept ones first, most confident first."""
        self._end_of_video()
        shown = [DividedVideo(record, self._spans(record), self._clips_of.get(id(record), []), True)
                 for record in self._kept.records()]  # fmt: skip
        return shown + [DividedVideo(record, frame_spans(record), [], False) for record in self._rejected.records()]

    @property
    def between(self) -> tuple[float, float]:
        """The highest score of a negative frame, and the lowest of a positive one; the threshold lies between."""
        return self._highest_negative, self._lowest_positive

    def _end_of_video(self) -> None:
        if self._clips:
            first = self._clips[0]
            self._clips_of[id(first)] = self._clips
            self._kept.add(max(confidence_of(clip) or 0.0 for clip in self._clips), first)
            held = {id(record) for record in self._kept.records()}
            self._clips_of = {key: clips for key, clips in self._clips_of.items() if key in held}
            self._clips = []

    def _spans(self, record: Record) -> list[ScoredSpan]:
        clips = self._clips_of.get(id(record))
        if clips is None:
            return frame_spans(record)
        return [
            ScoredSpan(clip.get("start_sec") or 0.0, clip["end_sec"], confidence_of(clip) or 0.0, True)
            for clip in clips
        ]


def frame_spans(record: Record) -> list[ScoredSpan]:
    """The scored frames of a 2D teacher's record, each until the next one; empty without, or if they do not fit."""
    positive, negative, scores = record.get("positive_sec"), record.get("negative_sec"), record.get("frame_scores")
    if not isinstance(positive, list) or not isinstance(negative, list) or not isinstance(scores, list):
        return []
    times = sorted([(float(at), True) for at in positive] + [(float(at), False) for at in negative])
    if len(times) != len(scores) or not times:
        return []
    return [
        ScoredSpan(at_sec, end_sec, float(score), is_positive)
        for (at_sec, is_positive), end_sec, score in zip(times, _ends([at for at, _ in times]), scores, strict=True)
    ]


def _ends(times: Sequence[float]) -> list[float]:
    """Each frame ends where the next begins; the last lasts as long as the one before it, or a second."""
    last = times[-1] - times[-2] if len(times) > 1 else 1.0
    return [*times[1:], times[-1] + last]


def spread(num_items: int, most: int) -> list[int]:
    """At most ``most`` of ``num_items`` numbers, evenly spread, first and last included.

    >>> spread(3, 4), spread(10, 4), spread(9, 1)
    ([0, 1, 2], [0, 3, 6, 9], [0])
    """
    if num_items <= most:
        return list(range(num_items))
    return [round(index * (num_items - 1) / max(most - 1, 1)) for index in range(most)]
