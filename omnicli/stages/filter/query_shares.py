"""How many results of each query to keep when the teacher is weak.

Ours. The paper drops what is under a threshold. A teacher of few labelled clips is unsure of everything that is
unlike its clips, so a threshold drops the variety that web data are for, and a fixed share of each query drops it where
the crawl is clean and keeps noise where it is not. So the share follows from what the crawl shows:

1. How many results fit? A result of query q that fits has q's class as the teacher's best class with probability m, the
   teacher's accuracy on labelled clips that it was not trained on; one that does not fit, with the probability n_q with
   which the teacher gives that class to results of other queries that do not fit them either. So the share a of
   results whose best class is their query is π·m + (1 - π)·n, and π = (a - n) / (m - n).
2. A weak teacher ranks imperfectly: the best π·(2 - m) of each query are kept, so 1 - m more than seem to fit. It is
   one share for all queries, because classes that the teacher recognises less well need their results most.
3. A query whose results get no higher scores for its class than misfits of other queries brought noise: of the share
   it keeps as much as the z-score of the rank-sum test, between 0.2 and 1. (With nothing of one class, a student
   learns that the class hardly occurs.)

A threshold that target clips reach does not help here: most web results that fit score below the worst target clip.
"""

from dataclasses import dataclass

import numpy as np

DEFAULT_SHARE = 0.7  # if the teacher's accuracy is unknown
MIN_RECORDS = 30  # fewer images (or videos) share an estimate with the others
MAX_MISFITS = 20_000  # that results are compared with
NUM_STEPS = 100
MIN_SIGNAL = 0.2
MIN_NOISE = 0.05  # share of misfits that is assumed at least, against division by 0


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The scores of a stream.

    Attributes:
        best: (N, B) the teacher's best classes, best first; -1 pads.
        scores: (N, B) their scores.
        asked: (N,) class of the query; -1 if no query names one.
        groups: (N,) number of the query.
        is_image: (N,) bool. Images and videos are estimated apart.
        num_classes: K.
    """

    best: np.ndarray
    scores: np.ndarray
    asked: np.ndarray
    groups: np.ndarray
    is_image: np.ndarray
    num_classes: int

    def select(self, rows: np.ndarray) -> "Scored":
        """Some of the records."""
        return Scored(
            best=self.best[rows], scores=self.scores[rows], asked=self.asked[rows], groups=self.groups[rows],
            is_image=self.is_image[rows], num_classes=self.num_classes,
        )  # fmt: skip

    def scores_of(self, label: int) -> np.ndarray:
        """(N,) score of one class, 0 where it is not among the best."""
        return np.where(self.best == label, self.scores, 0.0).sum(axis=1)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Shares:
    """What to keep.

    Attributes:
        by_group: (G,) share of each query.
        fits: estimated share of the results that fit; None if unknown.
        kept: share of a query that is not noise.
    """

    by_group: np.ndarray
    fits: float | None
    kept: float


def query_shares(scored: Scored, accuracy: float | None) -> dict[bool, Shares]:
    """The share to keep of each query, of images (True) and of videos (False).

    Args:
        scored: records whose query names a class, N >= 1.
        accuracy: m, in [0, 1]; None keeps 70 % of each query that is not noise.
    """
    shares = {}
    for is_image in np.unique(scored.is_image).tolist():
        own = scored.select(scored.is_image == is_image)
        known = own if len(own.asked) >= MIN_RECORDS else scored
        fits, kept = None, DEFAULT_SHARE
        if accuracy is not None:
            accuracy = max(accuracy, 1.5 / scored.num_classes)  # at chance, best classes say nothing
            fits = share_that_fits(known.best[:, 0], known.asked, accuracy, scored.num_classes)
            kept = min(1.0, fits * (2.0 - accuracy))
        shares[is_image] = Shares(kept * np.clip(signal(own), MIN_SIGNAL, 1.0), fits, kept)
    return shares


def share_that_fits(best: np.ndarray, asked: np.ndarray, accuracy: float, num_classes: int) -> float:
    """π: the share of records that show the class of their query.

    Args:
        best: (N,) the teacher's best class.
        asked: (N,) class of the query.
        accuracy: m, above chance.
        num_classes: K.
    """
    counts = np.bincount(asked, minlength=num_classes)  # (K,) results of each class's queries
    agreed = np.bincount(asked[best == asked], minlength=num_classes)
    others = len(asked) - counts
    elsewhere = np.bincount(best, minlength=num_classes) - agreed  # the best class of results of other queries
    chance = np.divide(elsewhere, others, out=np.full(num_classes, 1 / num_classes), where=others > 0)
    confused = (1 - accuracy) / max(num_classes - 1, 1)  # chance of a class where a result fits another one
    weights = counts / len(asked)
    agreement = agreed.sum() / len(asked)
    fits = 0.5
    for _ in range(NUM_STEPS):  # misfits are what remains of the results of other queries without those that fit them
        noise = np.clip((chance - fits * confused) / max(1 - fits, MIN_NOISE), 0.0, 0.95 * accuracy)
        n = float((weights * noise).sum())
        fits = float(np.clip((agreement - n) / (accuracy - n), 0.0, 1.0))
    return fits


def signal(scored: Scored) -> np.ndarray:
    """(G,) z-scores: how much higher do the results of each query score for its class than misfits of other queries.

    A misfit is a record whose best class is not its query. Queries without results, and all queries if no other class
    has misfits, get 1.
    """
    num_groups = int(scored.groups.max(initial=-1)) + 1
    z = np.ones(num_groups)
    misfit_rows = np.flatnonzero(scored.best[:, 0] != scored.asked)
    step = -(-len(misfit_rows) // MAX_MISFITS) or 1
    misfits = scored.select(misfit_rows[::step])
    groups, firsts = np.unique(scored.groups, return_index=True)
    for group, label in zip(groups.tolist(), scored.asked[firsts].tolist(), strict=True):
        own = scored.select(scored.groups == group).scores_of(label)
        other = np.sort(misfits.scores_of(label)[misfits.asked != label])
        if len(other):
            z[group] = _rank_sum(own, other)
    return z


def _rank_sum(own: np.ndarray, other: np.ndarray) -> float:
    """Z of the Mann-Whitney U test of (n,) scores against (m,) sorted scores; ties count half."""
    below = (np.searchsorted(other, own, "left") + np.searchsorted(other, own, "right")) / 2
    n, m = len(own), len(other)
    area = below.sum() / (n * m)
    return float((area - 0.5) / np.sqrt((n + m + 1) / (12 * n * m)))
