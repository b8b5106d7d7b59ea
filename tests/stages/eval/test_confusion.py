"""Confusion scores (Sec. 5) against a dense matrix and its loops; McNemar's test against SciPy."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.inference.metrics import confusion_matrix, mean_class_acc
from omnicli.stages.eval.confusion import class_accs, confusion_score, exact_p_value, fallen_pairs, most_confused

VERDICTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


def matrix(verdicts):
    labels, predictions = np.array(verdicts).T
    return confusion_matrix(labels, predictions, 5)


def scores_of(n):
    """Every s_ij, i < j, of a dense matrix, as the paper writes it."""
    found = {}
    for i in range(5):
        for j in range(i + 1, 5):
            if n[i, j] + n[j, i] + n[i, i] + n[j, j]:
                found[i, j] = (n[i, j] + n[j, i]) / (n[i, j] + n[j, i] + n[i, i] + n[j, j])
    return found


@given(VERDICTS)
def test_scores_are_those_of_the_dense_matrix_in_whatever_order_the_classes_are_named(verdicts):
    counts, expected = Counter(verdicts), scores_of(matrix(verdicts))
    for i in range(5):
        for j in range(i + 1, 5):
            assert confusion_score(counts, i, j) == confusion_score(counts, j, i) == expected.get((i, j))


@given(VERDICTS, st.integers(1, 12))
def test_the_most_confused_are_the_highest_scores_and_a_tie_has_more_mistakes_first(verdicts, limit):
    n = matrix(verdicts)
    ranked = sorted(
        ((pair, score) for pair, score in scores_of(n).items() if score > 0),
        key=lambda item: (-item[1], -(n[item[0]] + n[item[0][::-1]]), item[0]),
    )
    assert most_confused(Counter(verdicts), limit) == ranked[:limit]


@given(VERDICTS, VERDICTS, st.randoms())
def test_what_fell_is_what_two_dense_matrices_say_in_any_order_of_records(before, after, random):
    was, now = scores_of(matrix(before)), scores_of(matrix(after))
    both = [(pair, was[pair], now[pair]) for pair in was if pair in now and now[pair] < was[pair]]
    expected = sorted(both, key=lambda item: (item[2] - item[1], item[0]))
    random.shuffle(before)
    assert [tuple(change) for change in fallen_pairs(Counter(before), Counter(after))] == expected


def test_a_pair_that_the_other_model_gives_no_score_is_left_out():
    before = Counter({(0, 1): 3, (1, 1): 1})
    after = Counter({(0, 2): 3, (1, 2): 1})  # 0 and 1 are now both taken for 2: 0/0
    assert confusion_score(after, 0, 1) is None
    assert fallen_pairs(before, after) == []


def test_counts_of_nothing_are_no_confusion():
    counts = Counter({(0, 1): 0, (0, 0): 2})
    assert most_confused(counts) == []


@given(VERDICTS)
def test_class_accuracies_are_those_that_are_averaged_elsewhere(verdicts):
    accs = class_accs(Counter(verdicts))
    assert list(accs) == sorted({true for true, _ in verdicts})
    assert np.mean(list(accs.values())) == pytest.approx(mean_class_acc(matrix(verdicts)))


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_p_value_is_scipys_and_takes_no_side(right, wrong):
    from scipy.stats import binomtest

    expected = binomtest(right, right + wrong).pvalue if right + wrong else 1.0
    assert exact_p_value(right, wrong) == exact_p_value(wrong, right) == pytest.approx(expected, rel=1e-9)


def test_very_many_changes_neither_overflow_nor_round_to_nothing():
    assert exact_p_value(20_000, 20_000) == 1.0
    assert exact_p_value(20_300, 20_000) == pytest.approx(0.1365, abs=2e-4)  # normal: z = 299 / sqrt(40 300)
    assert exact_p_value(5_000, 0) == 0.0
