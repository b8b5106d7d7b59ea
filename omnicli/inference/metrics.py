"""Metrics of predictions, as fractions in [0, 1]."""

from collections.abc import Mapping

import numpy as np

NUM_TOP_SCORES = 5
DECIMALS = 6


def best_scores(scores: np.ndarray) -> list[list[int | float]]:
    """``top_scores`` of a record: the five best classes as [label, score], best first; ties by label.

    Ours: scores are rounded to 6 decimals, and all decisions use the rounded scores.

    Args:
        scores: (K,) in [0, 1].

    >>> best_scores(np.array([0.25, 0.5, 0.25]))
    [[1, 0.5], [0, 0.25], [2, 0.25]]
    """
    best = np.argsort(-scores, kind="stable")[:NUM_TOP_SCORES]
    return [[int(label), rounded_score(scores, int(label))] for label in best]


def rounded_score(scores: np.ndarray, label: int) -> float:
    """The rounded score of one class, from scores (K,)."""
    return round(float(scores[label]), DECIMALS)


def top_k_acc(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of samples whose label is among their k best classes; 1 if K <= k.

    Ties and NaN count against the label, so that a constant output has accuracy 0: the rule of all metrics.

    Args:
        scores: (N, K) logits or scores, N >= 1.
        labels: (N,) class indices.
        k: 1 for top-1.
    """
    own = scores[np.arange(len(labels)), labels][:, None]  # (N, 1)
    ahead = (~(scores < own)).sum(axis=1) - 1  # (N,) classes at or above the label's
    return float(((ahead < k) & ~np.isnan(own[:, 0])).mean())


def predicted_classes(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) the best classes of samples: the label only where ``top_k_acc`` counts it as right, else the best other one.

    >>> predicted_classes(np.array([[0.5, 0.5, 0.0], [0.2, 0.1, 0.7]]), np.array([0, 2]))
    array([1, 2])
    """
    rows = np.arange(len(labels))
    others = scores.astype(np.float64)
    others[rows, labels] = -np.inf
    best_other = others.argmax(axis=1)
    return np.where(scores[rows, labels] > others[rows, best_other], labels, best_other)


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """(K, K) int64: rows are true classes, columns predicted ones.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    return np.bincount(labels * num_classes + predictions, minlength=num_classes**2).reshape(num_classes, num_classes)


def mean_class_acc(confusion: np.ndarray) -> float:
    """Mean accuracy over the classes that have samples, from a confusion matrix (K, K)."""
    totals = confusion.sum(axis=1)
    seen = totals > 0
    return float((np.diag(confusion)[seen] / totals[seen]).mean())


def classification_metrics(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """``top1_acc``, ``top5_acc`` and ``mean_class_acc`` of scores (N, K) and labels (N,), N >= 1."""
    confusion = confusion_matrix(labels, predicted_classes(scores, labels), scores.shape[1])
    return {
        "top1_acc": top_k_acc(scores, labels, 1),
        "top5_acc": top_k_acc(scores, labels, 5),
        "mean_class_acc": mean_class_acc(confusion),
    }


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes that have samples of the area under the precision-recall curve.

    Equal scores share the precision of the last of them, so the order of samples has no effect.

    Args:
        scores: (N, K) logits or scores, N >= 1.
        labels: (N, K) 1 for the classes of a sample, else 0; at least one 1.
    """
    precisions = [_average_precision(scores[:, k], labels[:, k]) for k in range(labels.shape[1]) if labels[:, k].any()]
    return float(np.mean(precisions))


def _average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan))  # the last of equal scores
    found = np.cumsum(labels[order])[ends]
    recall = np.diff(found, prepend=0) / labels.sum()
    return float((found / (ends + 1) * recall).sum())


def shares_at_thresholds(counts: Mapping[str, int], *, num_scored: int, key: str) -> str:
    """Shares at the thresholds 0.1 ... 0.9, as text.

    Args:
        counts: counters of a run; ``key`` + "0.1" counts the scores >= 0.1, and so on.
        num_scored: number of scores, >= 1.
        key: start of the counters' names.

    >>> shares_at_thresholds({"score >= 0.1": 4, "score >= 0.2": 1}, num_scored=4, key="score >= ")[:24]
    '100% at 0.1, 25% at 0.2,'
    """
    shares = (counts.get(f"{key}0.{tenth}", 0) / num_scored for tenth in range(1, 10))
    return ", ".join(f"{share:.0%} at 0.{tenth}" for tenth, share in enumerate(shares, start=1))


def rescored_lines(num_rescored: int, *, num_scored: int, what: str) -> list[str]:
    """The closing line about scores that bfloat16 did not decide; none without any.

    >>> rescored_lines(8, num_scored=100, what="records")
    ['8 of 100 records (8 %) were too close to the decision for bfloat16 and were scored again in float32']
    """
    if not num_rescored:
        return []
    share = f"{num_rescored:,} of {num_scored:,} {what} ({100 * num_rescored / max(num_scored, 1):.0f} %)"
    return [f"{share} were too close to the decision for bfloat16 and were scored again in float32"]
