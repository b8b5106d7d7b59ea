import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.data.frame_sampling import (
    clip_indices_test,
    clip_indices_train,
    draw_snippets,
    segment_indices_test,
    stacks_at,
)

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "sampling.json"
needs_reference = pytest.mark.skipif(not REFERENCE.exists(), reason="no ../shared/reference")

videos = st.integers(1, 400)
counts = st.integers(1, 30)
clip_shapes = st.tuples(st.integers(1, 32), st.integers(1, 16))


class LegacyDraws:
    """The generator of the released code behind the two names that our functions call."""

    def __init__(self, seed):
        self.state = np.random.RandomState(seed)

    def integers(self, high, size):
        return self.state.randint(high, size=size)


def segment_indices_train(num_frames, *, num_segments, rng):
    """One random frame per segment: clips of one frame."""
    return clip_indices_train(num_frames, num_clips=num_segments, clip_frames=1, frame_interval=1, rng=rng)[:, 0]


def cases(mode):
    return [case for case in json.loads(REFERENCE.read_text()) if case["mode"] == mode]


@needs_reference
def test_test_indices_are_those_of_the_released_code():
    for case in cases("test"):
        total, clips, frames, interval = (case[key] for key in ("total", "clips", "clip_len", "interval"))
        ours = clip_indices_test(total, num_clips=clips, clip_frames=frames, frame_interval=interval)
        assert ours.ravel().tolist() == case["inds"], case
        if frames == 1:
            assert segment_indices_test(total, num_segments=clips).tolist() == case["inds"], case


@needs_reference
def test_training_indices_are_those_of_the_released_code_given_its_draws():
    for case in cases("train"):
        total, clips, frames, interval = (case[key] for key in ("total", "clips", "clip_len", "interval"))
        ours = clip_indices_train(
            total, num_clips=clips, clip_frames=frames, frame_interval=interval, rng=LegacyDraws(7)
        )
        assert ours.ravel().tolist() == case["inds"], case


@given(videos, counts)
def test_test_segments_ascend_and_each_lies_in_its_part(num_frames, num_segments):
    indices = segment_indices_test(num_frames, num_segments=num_segments)
    for position, index in enumerate(indices.tolist()):
        start, end = position * num_frames / num_segments, (position + 1) * num_frames / num_segments
        assert int(start) <= index < end
    assert segment_indices_test(num_frames, num_segments=num_segments, generation="0.x").tolist() == indices.tolist()


@given(videos, counts, st.integers(0, 5))
def test_training_segments_ascend_in_range_one_a_part(num_frames, num_segments, seed):
    indices = segment_indices_train(num_frames, num_segments=num_segments, rng=np.random.default_rng(seed))
    assert indices.shape == (num_segments,)
    assert indices.min() >= 0 and indices.max() < num_frames
    part = num_frames // num_segments
    if part:
        assert (np.diff(indices) >= 0).all()
        assert (indices // part).tolist() == list(range(num_segments))


def test_every_frame_of_a_part_is_drawn_equally_often():
    rng = np.random.default_rng(0)
    draws = np.stack([segment_indices_train(12, num_segments=3, rng=rng) for _ in range(4000)])
    drawn = np.bincount(draws.ravel(), minlength=12)
    assert abs(drawn - 1000).max() < 150  # 5 standard deviations


@given(videos, counts, clip_shapes, st.sampled_from(["0.x", "1.x"]), st.integers(0, 5))
def test_clips_keep_their_interval_and_wrap_only_past_the_end(num_frames, num_clips, shape, generation, seed):
    clip_frames, frame_interval = shape
    settings = {"num_clips": num_clips, "clip_frames": clip_frames, "frame_interval": frame_interval}
    for clips in (
        clip_indices_test(num_frames, **settings, generation=generation),
        clip_indices_train(num_frames, **settings, rng=np.random.default_rng(seed)),
    ):
        assert clips.shape == (num_clips, clip_frames) and clips.dtype == np.int64
        fits = num_frames - clip_frames * frame_interval + 1 >= num_clips
        assert (np.diff(clips[:, 0]) >= 0).all() or not fits
        for clip in clips.tolist():
            expected = [(clip[0] + i * frame_interval) % num_frames for i in range(clip_frames)]
            assert clip == expected
            if fits:
                assert clip == sorted(clip)  # a video long enough never wraps


@given(st.integers(64, 400), st.integers(2, 20))
def test_ten_clips_reach_both_ends_of_the_video(num_frames, num_clips):
    clips = clip_indices_test(num_frames, num_clips=num_clips, clip_frames=4, frame_interval=16)
    assert clips.min() == 0 and clips.max() == num_frames - 1


@given(videos, counts, clip_shapes)
def test_clips_of_the_old_generation_follow_its_formula(num_frames, num_clips, shape):
    clip_frames, frame_interval = shape
    average = (num_frames - clip_frames * frame_interval + 1) / num_clips
    expected = [int(i * average + average / 2) if average > 0 else 0 for i in range(num_clips)]
    ours = clip_indices_test(
        num_frames, num_clips=num_clips, clip_frames=clip_frames, frame_interval=frame_interval, generation="0.x"
    )
    assert ours[:, 0].tolist() == expected


def test_the_generations_differ_where_they_should():
    settings = {"num_clips": 10, "clip_frames": 8, "frame_interval": 8}
    new, old = (clip_indices_test(300, **settings, generation=name) for name in ("1.x", "0.x"))
    assert new[0, 0] == 0 and old[0, 0] == 11


@pytest.mark.parametrize("bad", [{"num_segments": 0}, {"num_segments": -1}])
def test_impossible_counts_are_refused(bad):
    with pytest.raises(ValueError, match="num_segments must be at least 1"):
        segment_indices_test(10, **bad)
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        segment_indices_train(0, num_segments=3, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="generation must be"):
        segment_indices_test(10, num_segments=3, generation="2.x")


times = st.sets(st.integers(0, 500), max_size=8)


@given(positive=times.filter(bool), negative=times, num_positive=st.integers(0, 4), num_negative=st.integers(0, 4))
def test_as_many_of_each_kind_as_wanted_and_no_repeat_before_all_are_taken(
    positive, negative, num_positive, num_negative
):
    negative -= positive
    drawn = draw_snippets(
        sorted(positive), sorted(negative), np.random.default_rng(0), num_positive=num_positive,
        num_negative=num_negative,
    )  # fmt: skip
    assert len(drawn) == num_positive + num_negative
    assert (np.diff(drawn) >= 0).all()
    if not negative:
        wanted = {frozenset(positive): num_positive + num_negative}
    else:
        wanted = {frozenset(positive): num_positive, frozenset(negative): num_negative}
    for kind, count in wanted.items():
        counts = Counter(time for time in drawn.tolist() if time in kind)
        assert sum(counts.values()) == count
        assert all(counts[time] in (count // len(kind), -(-count // len(kind))) for time in kind)


def test_every_frame_is_drawn_equally_often():
    rng = np.random.default_rng(0)
    drawn = np.concatenate([draw_snippets([1, 2, 3], [10, 20, 30, 40], rng) for _ in range(4000)])
    counts = Counter(drawn.tolist())
    assert all(abs(counts[time] - 4000 / 3) < 150 for time in (1, 2, 3))
    assert all(abs(counts[time] - 2000) < 150 for time in (10, 20, 30, 40))


def test_the_same_key_draws_the_same_and_another_key_others():
    draws = [draw_snippets(range(50), range(50, 200), np.random.default_rng(seed)).tolist() for seed in (1, 1, 2, 3, 4)]
    assert draws[0] == draws[1]
    assert len(set(map(tuple, draws))) == 4


def test_a_video_without_a_positive_frame_has_no_snippets():
    with pytest.raises(ValueError, match="without positive frames"):
        draw_snippets([], [1.0], np.random.default_rng(0))


def test_stacks_are_consecutive_and_end_with_the_video():
    assert stacks_at(np.array([0, 3, 9]), 10, stack_frames=5).tolist() == [[*range(5)], [*range(3, 8)], [*range(5, 10)]]
    assert stacks_at(np.array([1]), 3, stack_frames=5).tolist() == [[0, 1, 2, 0, 1]]
    assert stacks_at(np.array([4, 2]), 5, stack_frames=1).tolist() == [[4], [2]]
