"""Which rows of a source are drawn: by weight, each its share; and the number of each draw."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.training.sources import occurrences, weighted_draws

CHI_SQUARE_AT_1_PERCENT = {3: 11.34, 9: 21.67}  # by degrees of freedom


@pytest.mark.parametrize("power", [0.2, 0.5])
def test_classes_are_drawn_like_n_to_the_p(power):
    """Weights of ``balance`` are ∝ N^(p-1); drawn ∝ N^(1+p) or ∝ N^p · N they would fail by far."""
    sizes = np.array([10, 100, 1000, 4000])
    classes = np.repeat(np.arange(4), sizes)
    weights = (sizes ** (power - 1.0))[classes]
    drawn = np.concatenate([classes[weighted_draws(weights, 500, np.random.default_rng(seed))] for seed in range(20)])
    expected = len(drawn) * sizes**power / (sizes**power).sum()
    chi_square = ((np.bincount(drawn, minlength=4) - expected) ** 2 / expected).sum()
    assert chi_square < CHI_SQUARE_AT_1_PERCENT[3]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30).filter(lambda row: sum(row) > 1e-3), st.integers(1, 60))
def test_each_record_is_drawn_its_share_rounded_down_or_up(weights, count):
    share = np.array(weights) / sum(weights) * count
    drawn = np.bincount(weighted_draws(np.array(weights), count, np.random.default_rng(0)), minlength=len(weights))
    assert drawn.sum() == count
    assert (drawn >= np.floor(share - 1e-6)).all()
    assert (drawn <= np.ceil(share + 1e-6)).all()


def test_inside_a_class_every_record_is_drawn_as_often_as_another():
    counts = sum(
        np.bincount(weighted_draws(np.ones(10), 5, np.random.default_rng(seed)), minlength=10) for seed in range(400)
    )
    assert ((counts - 200) ** 2 / 200).sum() < CHI_SQUARE_AT_1_PERCENT[9]


@given(st.lists(st.integers(0, 5), max_size=30))
def test_occurrences_count_what_came_before(rows):
    seen: Counter[int] = Counter()
    expected = []
    for row in rows:
        expected.append(seen[row])
        seen[row] += 1
    assert occurrences(np.array(rows, np.int64)).tolist() == expected
