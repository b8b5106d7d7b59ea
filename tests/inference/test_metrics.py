"""Metrics compared with loops and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from omnicli.inference.metrics import (
    classification_metrics,
    confusion_matrix,
    mean_average_precision,
    mean_class_acc,
    predicted_classes,
    shares_at_thresholds,
    top_k_acc,
)

SCORES = arrays(np.float64, (7, 6), elements=st.integers(-50, 50), unique=True)
LABELS = arrays(np.int64, 7, elements=st.integers(0, 5))


@given(SCORES, LABELS, st.integers(1, 6))
def test_top_k_equals_sorting(scores, labels, k):
    expected = np.mean([label in np.argsort(-row)[:k] for row, label in zip(scores, labels, strict=True)])
    assert top_k_acc(scores, labels, k) == pytest.approx(expected)


@given(SCORES, LABELS)
def test_top5_is_at_least_top1_and_a_constant_changes_nothing(scores, labels):
    metrics = classification_metrics(scores, labels)
    assert metrics["top1_acc"] <= metrics["top5_acc"]
    assert metrics == classification_metrics(scores + 7, labels)


def test_a_constant_output_has_accuracy_0():
    assert top_k_acc(np.zeros((4, 8)), np.array([0, 1, 2, 3]), 5) == 0.0


@given(st.integers(0, 1000), st.integers(1, 5))
def test_ties_count_against_the_label_in_all_metrics(seed, num_classes):
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, 3, (20, num_classes)) / 2, rng.integers(0, num_classes, 20)
    right = predicted_classes(scores, labels) == labels
    assert right.tolist() == [bool(top_k_acc(scores[[i]], labels[[i]], 1)) for i in range(20)]
    confusion = confusion_matrix(labels, predicted_classes(scores, labels), num_classes)
    assert classification_metrics(scores, labels)["mean_class_acc"] == mean_class_acc(confusion)


def test_nan_scores_count_against_the_label():
    scores, labels = np.full((3, 4), np.nan), np.array([0, 1, 2])
    scores[2] = [1, np.nan, 5, 0]  # the label is above the numbers, but not above NaN
    assert [top_k_acc(scores, labels, k) for k in (1, 2, 5)] == [0.0, 1 / 3, 1 / 3]


def test_with_few_classes_top5_is_1():
    assert top_k_acc(np.random.default_rng(0).random((5, 4)), np.array([0, 1, 2, 3, 0]), 5) == 1.0


@given(LABELS, LABELS)
def test_the_confusion_matrix_counts_pairs(labels, predictions):
    expected = np.zeros((6, 6), dtype=int)
    for true, predicted in zip(labels, predictions, strict=True):
        expected[true, predicted] += 1
    assert (confusion_matrix(labels, predictions, 6) == expected).all()


def test_mean_class_accuracy_weights_classes_equally_and_skips_empty_ones():
    confusion = np.array([[90, 10, 0], [1, 1, 0], [0, 0, 0]])
    assert mean_class_acc(confusion) == pytest.approx((0.9 + 0.5) / 2)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from([1, 5]))
def test_mean_average_precision_is_that_of_scikit_learn(seed, num, levels):
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(seed)
    scores = np.round(rng.random((num, 3)) * levels) if levels == 5 else rng.random((num, 3))
    labels = rng.integers(0, 2, (num, 3))
    labels[0, 1] = 1
    there = [k for k in range(3) if labels[:, k].any()]
    expected = np.mean([average_precision_score(labels[:, k], scores[:, k]) for k in there])
    assert mean_average_precision(scores, labels) == pytest.approx(expected)


def test_a_threshold_without_a_counter_keeps_nothing():
    line = shares_at_thresholds({"confidence >= 0.1": 3, "confidence >= 0.2": 1}, num_scored=4, key="confidence >= ")
    assert line.split(", ")[:3] == ["75% at 0.1", "25% at 0.2", "0% at 0.3"]
    assert len(line.split(", ")) == 9
