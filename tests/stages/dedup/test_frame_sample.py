"""The same frames are drawn whatever order they come in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.stages.dedup.frame_sample import KeyedSample

COUNTS = [1, 5, 0, 3, 20, 2, 9]


def draw(order, size, seed=0):
    sample = KeyedSample(size, seed=seed, stage="test")
    for owner in order:
        frames = np.stack([np.full(COUNTS[owner], owner), np.arange(COUNTS[owner])], axis=1).astype(np.float16)
        sample.offer(f"id{owner}", owner, frames)
    return sample


@given(st.permutations(range(len(COUNTS))), st.integers(1, 50))
def test_order_changes_nothing(order, size):
    frames, places = draw(order, size).take()
    expected, _ = draw(range(len(COUNTS)), size).take()
    np.testing.assert_array_equal(frames, expected)
    np.testing.assert_array_equal(frames, places)  # each frame here holds its own place
    assert len({*map(tuple, places.tolist())}) == len(places) == min(size, sum(COUNTS))


def test_a_smaller_sample_is_the_beginning_of_a_larger_one():
    larger, _ = draw(range(7), 20).take()
    np.testing.assert_array_equal(draw(range(7), 5).take()[0], larger[:5])
    np.testing.assert_array_equal(draw(range(7), 20).take(5)[0], larger[:5])


def test_another_seed_draws_others():
    assert draw(range(7), 10).take()[1].tolist() != draw(range(7), 10, seed=1).take()[1].tolist()


def test_nothing_to_draw_from():
    with pytest.raises(ValueError, match="no frame"):
        KeyedSample(3, seed=0, stage="test").take()
