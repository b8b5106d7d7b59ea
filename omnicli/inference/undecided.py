"""Which scores are too close to a decision for their precision, when each log-odds may be off by a known error.

This module does not import torch: the stages that decide use it.
"""

import numpy as np

from omnicli.inference.metrics import DECIMALS

ROUNDING = 0.5 * 10.0**-DECIMALS  # decisions use rounded scores
TINY = 1e-300


def may_cross(scores: np.ndarray, threshold: float, error: np.ndarray | float) -> np.ndarray:
    """Whether the exact score may lie on the other side of ``threshold``.

    Args:
        scores: any shape, in [0, 1].
        threshold: in [0, 1]; a score at the threshold reaches it.
        error: of the log-odds of a score; broadcasts with ``scores``.

    Returns:
        bool, of the shape of ``scores``.

    >>> may_cross(np.array([0.2, 0.45, 0.5, 0.55, 0.9]), 0.5, 0.4)
    array([False,  True,  True,  True, False])
    """
    low, high = _interval(scores, error)
    return (low < threshold) & (threshold <= high)


def reaches(scores: np.ndarray, threshold: float, error: np.ndarray | float) -> np.ndarray:
    """Whether the exact score reaches ``threshold`` for sure; arguments as of ``may_cross``."""
    return _interval(scores, error)[0] >= threshold


def may_lead(scores: np.ndarray, label: int, error: np.ndarray | float) -> np.ndarray:
    """Whether the exact scores may disagree with these on whether ``label`` is the best class.

    Args:
        scores: (..., K) in [0, 1], K >= 2.
        label: class.
        error: of the log-odds of a score, (...,) or a number.

    Returns:
        (...,) bool.

    >>> may_lead(np.array([[0.5, 0.4, 0.1], [0.9, 0.05, 0.05]]), 0, 0.2)
    array([ True, False])
    """
    own = np.log(np.maximum(scores[..., label], TINY))
    best_other = np.log(np.maximum(np.delete(scores, label, axis=-1).max(axis=-1, initial=0.0), TINY))
    return np.abs(own - best_other) <= 2.0 * np.asarray(error)  # type: ignore[no-any-return]


def _interval(scores: np.ndarray, error: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest value that the exact score may be rounded to."""
    odds = scores / np.maximum(1.0 - scores, TINY)
    factor = np.exp(error)
    low, high = odds / (odds + factor), odds / (odds + 1.0 / factor)
    return np.maximum(low - ROUNDING, 0.0), np.minimum(high + ROUNDING, 1.0)
