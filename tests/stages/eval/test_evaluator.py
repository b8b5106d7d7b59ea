"""One record at a time gives what all records at once give."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnicli.errors import OutputError
from omnicli.inference.metrics import (
    classification_metrics,
    confusion_matrix,
    mean_average_precision,
    predicted_classes,
)
from omnicli.stages.eval import evaluator as scoreboard
from omnicli.stages.eval.evaluator import Evaluator


@pytest.fixture(params=[(1 << 28, 1 << 24), (100, 60), (1, 1)], ids=["whole", "parts", "single"])
def blocks(request, monkeypatch):
    """How much of the scores is read at once: all, some classes and records, one of each."""
    monkeypatch.setattr(scoreboard, "COLUMN_BYTES", request.param[0])
    monkeypatch.setattr(scoreboard, "READ_BYTES", request.param[1])


def judged(scores, labels):
    board = Evaluator(scores.shape[1])
    rights = [board.add(row, own) for row, own in zip(scores.astype(np.float32), labels, strict=True)]
    return board.metrics(), board, rights


def drawn(seed, count, num_classes, *, levels=None):
    """Scores with many ties where ``levels`` is small, and one class each."""
    rng = np.random.default_rng(seed)
    scores = rng.random((count, num_classes)) if levels is None else rng.integers(0, levels, (count, num_classes)) / 4
    return scores.astype(np.float32), rng.integers(0, num_classes, count)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(2, 20), st.sampled_from([3, None]))
def test_metrics_are_those_of_arrays_however_much_is_read_at_once(blocks, seed, count, num_classes, levels):
    scores, labels = drawn(seed, count, num_classes, levels=levels)
    metrics, board, rights = judged(scores, [(int(label),) for label in labels])
    expected = classification_metrics(scores, labels)
    expected["mean_ap"] = mean_average_precision(scores, np.eye(num_classes, dtype=int)[labels])
    assert metrics == pytest.approx(expected)
    assert sum(rights) == pytest.approx(metrics["top1_acc"] * count)
    assert (
        np.array(board.confusion()) == confusion_matrix(labels, predicted_classes(scores, labels), num_classes)
    ).all()


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 20))
def test_several_labels_are_judged_by_scikit_learns_average_precision(seed, count):
    from sklearn.metrics import average_precision_score

    scores, first = drawn(seed, count, 5, levels=6)
    second = np.random.default_rng(seed + 1).integers(0, 5, count)
    second[0] = (first[0] + 1) % 5  # one record with two at least
    labels = [tuple(dict.fromkeys(map(int, pair))) for pair in zip(first, second, strict=True)]
    metrics, board, _ = judged(scores, labels)
    there = np.zeros((count, 5), int)
    for row, own in enumerate(labels):
        there[row, list(own)] = 1
    shown = there.any(axis=0)  # a class without a positive is left out
    assert board.is_multi_label
    assert metrics == {"mean_ap": pytest.approx(average_precision_score(there[:, shown], scores[:, shown]))}


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.permutations(range(12)))
def test_the_order_of_records_changes_no_bit_though_scores_tie(seed, order):
    scores, labels = drawn(seed, 12, 4, levels=3)
    own = [(int(label),) for label in labels]
    metrics, board, _ = judged(scores, own)
    again, other, _ = judged(scores[list(order)], [own[n] for n in order])
    assert again == metrics and other.counts == board.counts


def test_more_classes_than_a_square_matrix_could_hold():
    scores = np.zeros((2, 200_000), np.float32)  # 200,000² counts would be 320 GB
    scores[0, 7] = scores[1, 199_999] = 1
    metrics, board, _ = judged(scores, [(7,), (3,)])
    assert metrics["top1_acc"] == metrics["mean_class_acc"] == 0.5
    assert dict(board.counts) == {(7, 7): 1, (3, 199_999): 1}


@pytest.mark.parametrize("buffering", [0, 1 << 16])
def test_a_full_disk_says_where(monkeypatch, buffering):
    """The system may notice at once, or when the rest is written."""
    full = Path("/dev/full")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full.open("wb", buffering=buffering))
    with pytest.raises(OutputError, match=f"^{tempfile.gettempdir()}: cannot write temporary data: No space left"):
        board = Evaluator(2)
        board.add(np.array([0.5, 0.5], np.float32), [0])
        board.metrics()
