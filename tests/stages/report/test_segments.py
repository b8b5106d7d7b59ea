"""Divided videos: their frames or clips in time, the clips of one video together, memory bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.stages.report.segments import SegmentCollector, frame_spans, spread
from omnicli.streams.record import Record


def divided(name="v", scores=(0.1, 0.9, 0.6), threshold=0.5, **more):
    """A 2D record with a frame a second."""
    positive = [float(at) for at, score in enumerate(scores) if score >= threshold]
    negative = [float(at) for at, score in enumerate(scores) if score < threshold]
    fields = {"positive_sec": positive, "negative_sec": negative, "frame_scores": list(scores)}
    return Record({"id": name, "confidence": max(scores), **fields, **more})


def clip(parent, start_sec, confidence):
    span = {"start_sec": start_sec, "end_sec": start_sec + 4.0}
    return Record({"id": f"{parent}#{start_sec}", "parent": parent, "confidence": confidence, **span})


def collect(*records, size=2):
    collected = SegmentCollector(size)
    for record in records:
        collected.add(record, is_kept=True)
    return collected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_frames_keep_their_scores_in_time_and_last_until_the_next(scores):
    spans = frame_spans(divided(scores=scores))
    assert [(span.start_sec, span.end_sec, span.score) for span in spans] == [
        (at, at + 1, score) for at, score in enumerate(scores)
    ]
    assert [span.is_positive for span in spans] == [score >= 0.5 for score in scores]


@pytest.mark.parametrize(
    "fields",
    [{}, {"frame_scores": [0.5]}, {"positive_sec": [], "negative_sec": [], "frame_scores": []},
     {"positive_sec": [1.0], "negative_sec": [], "frame_scores": [0.5, 0.6]},
     {"positive_sec": "all", "negative_sec": [], "frame_scores": [0.5]}],
)  # fmt: skip
def test_records_without_matching_scores_are_passed_over(fields):
    record = Record({"id": "v", "confidence": 0.5, **fields})
    assert frame_spans(record) == []
    assert collect(record).videos() == []


def test_clips_of_one_video_are_shown_together_in_time():
    records = [clip("a", 0.0, 0.6), clip("a", 8.0, 0.7), clip("b", 4.0, 0.9)]
    first, second = collect(*records).videos()
    assert (first.clips, second.clips) == ([records[2]], records[:2])
    assert [(span.start_sec, span.end_sec, span.score) for span in second.spans] == [(0.0, 4.0, 0.6), (8.0, 12.0, 0.7)]
    assert first.is_kept and all(span.is_positive for span in second.spans)


def test_memory_does_not_grow_with_the_videos():
    collected = collect(*[clip(f"v{index // 3}", 4.0 * (index % 3), index / 900) for index in range(900)], size=1)
    assert len(collected._clips_of) <= 3
    assert [video.record["parent"] for video in collected.videos()] == ["v299", "v298", "v297"]


def test_kept_videos_come_before_rejected_ones_and_the_threshold_lies_between():
    collected = collect(divided("weak", (0.1, 0.55)), divided("strong", (0.45, 0.9)))
    collected.add(divided("none", (0.2, 0.47)), is_kept=False)
    assert [(video.record["id"], video.is_kept) for video in collected.videos()] == [
        ("strong", True), ("weak", True), ("none", False)
    ]  # fmt: skip
    assert collected.between == (0.47, 0.55)


@given(st.integers(0, 50), st.integers(1, 8))
def test_chosen_numbers_ascend_and_reach_both_ends(num_items, most):
    chosen = spread(num_items, most)
    assert chosen == sorted(set(chosen)) and len(chosen) == min(num_items, most)
    if num_items and most > 1:
        assert (chosen[0], chosen[-1]) == (0, num_items - 1)
