"""One positive and two negative snippets, whatever a video has of either."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.data.snippets import draw_snippets

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
