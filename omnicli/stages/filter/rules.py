"""Which records the scores keep (OmniSource Sec. 3.4)."""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from omnicli.data.query_labels import Queries, distinct_queries
from omnicli.streams.class_names import normalise_class
from omnicli.streams.record import Record
from omnicli.streams.rounding import count_of


@dataclass(frozen=True, kw_only=True)
class QueryRule:
    """Ours: labels by query, and as many of each query as seem to fit (see ``query_shares``).

    Attributes:
        accuracy: share of labelled clips that the teacher recognises without having learnt from them; None: unknown.
        threshold: of the paper's rule, which decides instead if most records have no query that names a class; None:
            such records are rejects.
    """

    accuracy: float | None
    threshold: float | None = None


@dataclass(frozen=True, kw_only=True)
class FilterRule:
    """Which records to keep. Exactly one of threshold, keep_fraction, top, by_query and score_only decides.

    Attributes:
        label_by: "teacher": ŷ = argmax, confidence its score (the paper). "query": ŷ = the class the record was
            searched for, confidence the teacher's score for it (Ours). "stored": as an earlier run decided.
        threshold: keep if confidence >= threshold.
        keep_fraction: keep this share of each group, the most confident; n records keep floor(n * fraction + 0.5).
        top: keep this many of each group.
        per: what makes a group: "class" (the pseudo-label), "query", "source"; None: the whole stream.
        agree: besides, keep only where argmax is the query's class.
        by_query: the rule for weak teachers; ``label_by`` has no effect.
        score_only: keep all, decide later from the stored scores.
    """

    label_by: Literal["teacher", "query", "stored"] = "teacher"
    threshold: float | None = 0.5
    keep_fraction: float | None = None
    top: int | None = None
    per: Literal["class", "query", "source"] | None = None
    agree: bool = False
    by_query: QueryRule | None = None
    score_only: bool = False

    @property
    def needs_whole_stream(self) -> bool:
        """True if the decision needs all records."""
        return self.keep_fraction is not None or self.top is not None or self.by_query is not None

    @property
    def needs_query(self) -> bool:
        """True if a record needs a query that names a class."""
        if self.by_query:
            return self.by_query.threshold is None
        return self.label_by == "query" or self.agree


def best_of_groups(confidences: np.ndarray, groups: np.ndarray, ties: np.ndarray, rule: FilterRule) -> np.ndarray:
    """Which records are among the best of their group.

    Args:
        confidences: (N,) float64.
        groups: (N,) group numbers.
        ties: (N,) uint64, decides between equal confidences; then the earlier record wins.
        rule: ``keep_fraction`` or ``top`` is set.

    Returns:
        (N,) bool.

    >>> best_of_groups(np.array([0.9, 0.2, 0.5]), np.array([0, 0, 1]), np.zeros(3, np.uint64), FilterRule(top=1))
    array([ True, False,  True])
    """
    sizes = np.bincount(groups) if len(groups) else np.empty(0, np.int64)
    quotas = np.minimum(sizes, rule.top) if rule.top is not None else quota(sizes, rule.keep_fraction or 0.0)
    return most_confident(confidences, groups, ties, quotas)


def quota(sizes: np.ndarray, shares: np.ndarray | float) -> np.ndarray:
    """How many of each group are kept: (G,) sizes and (G,) shares in [0, 1] → (G,) int64."""
    pairs = zip(sizes.tolist(), np.broadcast_to(shares, sizes.shape).tolist(), strict=True)
    return np.array([count_of(size, share) for size, share in pairs], np.int64)


def most_confident(confidences: np.ndarray, groups: np.ndarray, ties: np.ndarray, quotas: np.ndarray) -> np.ndarray:
    """(N,) bool: the ``quotas[g]`` most confident records of each group g; other arguments as ``best_of_groups``."""
    order = np.lexsort((ties, -confidences, groups))  # best first, group by group
    sorted_groups = groups[order]
    starts = np.flatnonzero(np.diff(sorted_groups, prepend=-1)) if len(groups) else np.empty(0, dtype=np.int64)
    sizes = np.diff(starts, append=len(groups))
    ranks = np.arange(len(groups)) - np.repeat(starts, sizes)
    kept = np.zeros(len(groups), dtype=bool)
    kept[order] = ranks < quotas[sorted_groups]
    return kept


def group_of(record: Record, queries: Queries, rule: FilterRule) -> str:
    """Name of the group within which the record is ranked.

    Ours: of several queries that which ``queries`` draws for its label, or the first where none names a class; two
    spellings are one query.
    """
    match rule.per:
        case "class":
            return str(record["pseudo_label"])
        case "query":
            found = queries.find(record)
            named = [found[1]] if found else distinct_queries(record.get("query"), record.get("queries"))
            return normalise_class(named[0]) if named else ""
        case "source":
            return str(record.get("source") or "")
        case _:
            return ""


def tie_breaker(record: Record) -> int:
    """64 bits of the record's id."""
    return int.from_bytes(hashlib.blake2b(str(record.get("id")).encode(), digest_size=8).digest(), "big")
