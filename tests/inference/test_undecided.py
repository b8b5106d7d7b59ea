"""Exact scores within the error decide the same wherever nothing is called undecided."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from omnicli.inference.undecided import may_cross, may_lead, reaches

errors = st.floats(0.0, 2.0)
logits = st.lists(st.floats(-15, 15), min_size=2, max_size=6).map(np.array)


def softmax(z):
    p = np.exp(z - z.max())
    return p / p.sum()


@given(z=logits, error=errors, move=st.lists(st.floats(-0.5, 0.5), min_size=6, max_size=6), data=st.data())
def test_what_is_decided_stays_decided_for_every_error_within_the_bound(z, error, move, data):
    """No two logits are moved apart by more than the error."""
    label = data.draw(st.integers(0, len(z) - 1))
    exact = softmax(z + error * np.array(move[: len(z)]))
    threshold = data.draw(st.one_of(st.floats(0, 1), st.just(round(float(exact[label]), 6))))
    scores = softmax(z)
    decided, decided_exactly = round(float(scores[label]), 6) >= threshold, round(float(exact[label]), 6) >= threshold
    if not may_cross(scores[label], threshold, error + 1e-9):
        assert decided == decided_exactly
    if reaches(scores[label], threshold, error + 1e-9):
        assert decided_exactly
    if not may_lead(scores, label, error + 1e-9):
        assert (scores.argmax() == label) == (exact.argmax() == label)


def test_without_an_error_only_ties_and_roundings_are_undecided():
    scores = np.array([0.3, 0.5, 0.7])
    assert may_cross(scores, 0.5, 0.0).tolist() == [False, True, False]
    assert not may_lead(scores, 2, 0.0)


def test_every_score_reaches_zero_and_the_highest_may_reach_one():
    assert not may_cross(np.array([0.0, 1e-9, 1.0]), 0.0, 1.0).any()
    assert may_cross(np.array([0.2, 1.0]), 1.0, 0.1).tolist() == [False, True]
