"""Pairs of confused classes, and how another model changes their scores (OmniSource Sec. 5, Fig. 5).

Counts are sparse, ``counts[i, j]`` = n_ij: records of class i that were recognised as class j. So their memory goes by
the mistakes that were made, whatever the number of classes.
"""

from collections.abc import Mapping
from typing import NamedTuple

Counts = Mapping[tuple[int, int], int]
MAX_PAIRS = 20  # shown of each kind


class PairChange(NamedTuple):
    """A pair of classes whose confusion score another model changed; both scores in [0, 1]."""

    pair: tuple[int, int]
    before: float
    after: float


def confusion_score(counts: Counts, i: int, j: int) -> float | None:
    """s_ij = (n_ij + n_ji) / (n_ij + n_ji + n_ii + n_jj) for i ≠ j (OmniSource Sec. 5); None where that is 0/0.

    >>> confusion_score({(0, 0): 5, (0, 1): 2, (1, 0): 1, (1, 1): 4}, 0, 1)
    0.25
    """
    wrong = counts.get((i, j), 0) + counts.get((j, i), 0)
    total = wrong + counts.get((i, i), 0) + counts.get((j, j), 0)
    return wrong / total if total else None


def most_confused(counts: Counts, limit: int = MAX_PAIRS) -> list[tuple[tuple[int, int], float]]:
    """Pairs (i, j), i < j, that were confused at all, with their scores: the highest first.

    Ours: of equal scores, the one with more mistakes first, then the smaller labels.
    """
    scored = [(pair, confusion_score(counts, *pair) or 0.0) for pair in confused_pairs(counts)]
    wrong = {(i, j): counts.get((i, j), 0) + counts.get((j, i), 0) for (i, j), _ in scored}
    return sorted(scored, key=lambda item: (-item[1], -wrong[item[0]], item[0]))[:limit]


def fallen_pairs(before: Counts, after: Counts, limit: int = MAX_PAIRS) -> list[PairChange]:
    """Pairs whose confusion score another model lowered, the one that fell most first (Fig. 5).

    Ours: a pair that is 0/0 with the other model is left out; of equal falls, the smaller labels first.
    """
    fallen = []
    for pair in confused_pairs(before):
        was, now = confusion_score(before, *pair), confusion_score(after, *pair)
        if was is not None and now is not None and now < was:
            fallen.append(PairChange(pair, was, now))
    return sorted(fallen, key=lambda change: (change.after - change.before, change.pair))[:limit]


def confused_pairs(counts: Counts) -> set[tuple[int, int]]:
    """(i, j), i < j, of which one was taken for the other."""
    return {(min(pair), max(pair)) for pair, count in counts.items() if count and pair[0] != pair[1]}


def class_accs(counts: Counts) -> dict[int, float]:
    """The share of each class that was recognised, by label in ascending order; classes without a sample are left out.

    >>> class_accs({(0, 0): 1, (0, 1): 3})
    {0: 0.25}
    """
    totals: dict[int, int] = {}
    for (true, _), count in sorted(counts.items()):
        totals[true] = totals.get(true, 0) + count
    return {true: counts.get((true, true), 0) / total for true, total in totals.items() if total}


def exact_p_value(became_right: int, became_wrong: int) -> float:
    """McNemar's exact test: how often a coin would part those that changed at least as unevenly, two-sided.

    Ours: the paper gives no test. Records on which both models agree do not count.

    >>> exact_p_value(5, 0)
    0.0625
    """
    total, fewer = became_right + became_wrong, min(became_right, became_wrong)
    term, ways = 1, 0  # whole numbers, so that no share is lost to rounding however many there are
    for k in range(fewer + 1):
        ways += term
        term = term * (total - k) // (k + 1)
    return min(1.0, 2 * ways / (1 << total))
