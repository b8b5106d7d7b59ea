"""One data set of a training, and which of its rows are drawn.

Ours: an auxiliary source is drawn by systematic sampling: with normalised weights w, each of its records is drawn n·w
times, rounded down or up, in random order. Class frequencies are then as near to the weights as whole numbers can be,
and without weights no record is drawn twice in an epoch before all have been drawn once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from omnicli.data.dataloader import Example
from omnicli.data.example_table import ids_of


@dataclass(frozen=True)
class TrainingSource:
    """One data set of a training.

    Attributes:
        name: in metrics and messages.
        examples: (M,) examples.
        batch_size: samples per step and process.
        weights: (M,) relative probabilities of being drawn; None draws each once per epoch (a target without weights).
        epoch_size: draws of an epoch, at most M; None is M.
    """

    name: str
    examples: Sequence[Example]
    batch_size: int
    weights: np.ndarray | None = None
    epoch_size: int | None = None

    @property
    def num_draws(self) -> int:
        """Draws of one pass."""
        return len(self.examples) if self.epoch_size is None else self.epoch_size

    @cached_property
    def copies(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(M,) rows of the same ID before each, and (M,) rows of its ID; None if no two examples share an ID."""
        ids = ids_of(self.examples)
        if len(np.unique(ids)) == len(ids):
            return None
        _, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
        return occurrences(inverse), counts[inverse]

    def number_draws(self, rows: np.ndarray) -> np.ndarray:
        """(B,) numbers of the draws of these rows of an epoch, in their order; part of the keys of their augmentations.

        A row has numbers 0, 1, 2, ... The rows of one ID, such as copies by ``balance --resample``, take turns: of two,
        the first has 0, 2, 4, ... and the second 1, 3, 5, ..., so no two draws of an ID are the same.
        """
        draws = occurrences(rows)
        if self.copies is None:
            return draws
        before, counts = self.copies
        numbers: np.ndarray = draws * counts[rows] + before[rows]
        return numbers


def weighted_draws(weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Systematic sampling: each row is drawn count x (its share of the weights) times, rounded down or up.

    Args:
        weights: (M,) >= 0, at least one above 0.
        count: rows to draw.
        rng: draws.

    Returns:
        (count,) int64 in [0, M), in random order.
    """
    order = rng.permutation(len(weights))
    ends = np.cumsum(weights[order])
    marks = (rng.random() + np.arange(count)) * (ends[-1] / max(count, 1))
    drawn = order[np.searchsorted(ends, marks, side="right").clip(max=len(weights) - 1)]
    return rng.permutation(drawn)


def occurrences(rows: np.ndarray) -> np.ndarray:
    """How often each entry occurred before.

    >>> occurrences(np.array([5, 3, 5, 5]))
    array([0, 0, 1, 2])
    """
    order = np.argsort(rows, kind="stable")
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    counts_in_order = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
    counts = np.empty(len(rows), np.int64)
    counts[order] = counts_in_order
    return counts
