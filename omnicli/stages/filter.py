"""Teacher filtering (OmniSource Sec. 3.2, 3.4).

    in    web records: images, videos, folders of frames; their labels are ignored
    out   the same records in the same order, minus those with a low confidence; each gains `pseudo_label`,
          `pseudo_class`, `confidence`, `top_scores` (best 5) and, where its query names a class, `query_score`

A teacher M trained on the target dataset scores every record, ŷ = PseudoLabel(M(x)); records with low confidence are
dropped. Several teachers vote: their scores are averaged, each at its own temperature.

Paper: ŷ = argmax, 2D teachers for images, 70-80 % of the crawl is rejected.
Ours: the threshold (0.5; the paper gives none), the best share or number of each class, query or source instead of a
threshold, labels by query (a weak teacher then only ranks what the search engine proposed), scores rounded to 6
decimals before any decision, so that deciding again from the written line gives the same verdict.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from omnicli.data.query_labels import Queries
from omnicli.errors import InputError
from omnicli.inference.metrics import best_scores, rounded_score, shares_at_thresholds
from omnicli.inference.protocols import ScoreRecords
from omnicli.reasons import DISAGREES, LOW_CONFIDENCE, LOW_RANK, NO_CLASS
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.temp_records import RecordSpool


@dataclass(frozen=True, kw_only=True)
class FilterRule:
    """Which records to keep. Exactly one of threshold, keep_fraction, top and score_only decides.

    Attributes:
        label_by: "teacher": ŷ = argmax, confidence its score (the paper). "query": ŷ = the class the record was
            searched for, confidence the teacher's score for it (Ours). "stored": as an earlier run decided.
        threshold: keep if confidence >= threshold.
        keep_fraction: keep this share of each group, the most confident; n records keep floor(n * fraction + 0.5).
        top: keep this many of each group.
        per: what makes a group: "class" (the pseudo-label), "query", "source"; None: the whole stream.
        agree: besides, keep only where argmax is the query's class.
        score_only: keep all, decide later from the stored scores.
    """

    label_by: Literal["teacher", "query", "stored"] = "teacher"
    threshold: float | None = 0.5
    keep_fraction: float | None = None
    top: int | None = None
    per: Literal["class", "query", "source"] | None = None
    agree: bool = False
    score_only: bool = False

    @property
    def needs_whole_stream(self) -> bool:
        """True if the decision needs all records."""
        return self.keep_fraction is not None or self.top is not None

    @property
    def needs_query(self) -> bool:
        """True if a record needs a query that names a class."""
        return self.label_by == "query" or self.agree


class TeacherScores(NamedTuple):
    """Teacher scores of one record: the best classes, and the score of its query's class."""

    top_scores: list[list[int | float]]
    query_score: float | None


def filter_records(
    records: Iterable[Record], *, score: ScoreRecords | None, queries: Queries, rule: FilterRule, on_drop: OnDrop
) -> Iterator[Record]:
    """Keep records that the teachers score high enough (OmniSource Sec. 3.4).

    Args:
        records: the crawl.
        score: ``inference.scorer.score_records`` with its teachers; None: records carry the scores of an earlier run.
        queries: the class each record was searched for.
        rule: which records to keep.
        on_drop: receives rejects: low confidence, low rank, no class, teacher disagrees, unreadable.

    Yields:
        Kept records, in order.

    Raises:
        InputError: without ``score``, a record has no stored scores, or not those this rule needs.
    """

    def label(records: Iterable[Record], on_drop: OnDrop) -> Iterator[Record]:
        if rule.label_by == "stored":
            return _as_stored(records, on_drop)
        scored = (
            _score(records, score, queries, rule, on_drop) if score else _read_scores(records, queries, rule, on_drop)
        )
        return _pseudo_label(scored, queries, rule, on_drop)

    if rule.needs_whole_stream:
        yield from _keep_best(records, label, rule, on_drop)
        return
    # OmniSource Table 1: "Samples under certain threshold are dropped"
    for record in label(records, on_drop):
        if rule.score_only or record["confidence"] >= (rule.threshold or 0.0):
            yield record
        else:
            on_drop(record, LOW_CONFIDENCE)


def check_queries(counts: Mapping[str, int], made: Sequence[Queries] = ()) -> None:
    """Stop a run in which no query named a class: the labels it would lack are all of them.

    ``made`` holds the queries of the run, once they are made.

    Raises:
        InputError: every readable record left for want of a class.
    """
    num_readable = counts.get("in", 0) - counts.get("unreadable", 0)
    if num_readable > 0 and counts.get(f"rejected: {NO_CLASS}", 0) == num_readable:
        raise InputError(
            f"none of {num_readable:,} records has a query that names a class of the teacher; "
            f"{made[-1].advice() if made else 'compare `query` with the class names'}"
        )


def count_confidence(record: Record, counters: dict[str, int]) -> None:
    """Keep curve: how many records of the stream have confidence >= 0.1 ... 0.9."""
    confidence = record.get("confidence")
    if confidence is None:
        return
    counters["filter: scored"] += 1
    for tenth in range(1, 10):
        if confidence >= tenth / 10:
            counters[f"filter: confidence >= 0.{tenth}"] += 1


def keep_curve(counts: Mapping[str, int]) -> list[str]:
    """The closing line with the keep curve; none if no record was scored."""
    num_scored = counts.get("filter: scored", 0)
    if not num_scored:
        return []
    curve = shares_at_thresholds(counts, num_scored=num_scored, key="filter: confidence >= ")
    return [f"share with confidence at or above a threshold: {curve}"]


def _score(
    records: Iterable[Record], score: ScoreRecords, queries: Queries, rule: FilterRule, on_drop: OnDrop
) -> Iterator[tuple[Record, TeacherScores]]:
    """Score every record with the teachers; records without a class that the rule needs are not read."""

    def has_no_class(record: Record) -> bool:
        return rule.needs_query and queries.find(record) is None

    for record, scores in score(records, skip=has_no_class, on_drop=on_drop):
        if scores is None:
            on_drop(record, NO_CLASS)
            continue
        found = queries.find(record)
        query_score = None if found is None else rounded_score(scores, found[0])
        yield record, TeacherScores(best_scores(scores), query_score)


def _read_scores(
    records: Iterable[Record], queries: Queries, rule: FilterRule, on_drop: OnDrop
) -> Iterator[tuple[Record, TeacherScores]]:
    """The scores an earlier run stored."""
    for record in _readable_then(records, "top_scores", on_drop):
        if rule.needs_query and queries.find(record) is None:
            on_drop(record, NO_CLASS)
            continue
        top_scores = record.require("top_scores")
        highest = max((index for index, _ in top_scores), default=len(queries.classes))
        if highest >= len(queries.classes):
            raise InputError(
                f"{record.where}: top_scores names class {highest}, but --classes has {len(queries.classes)} names"
            )
        yield record, TeacherScores(top_scores, record.get("query_score"))


def _as_stored(records: Iterable[Record], on_drop: OnDrop) -> Iterator[Record]:
    for record in _readable_then(records, "confidence", on_drop):
        record.require("confidence")
        record.require("pseudo_label")
        yield record


def _readable_then(records: Iterable[Record], scores: str, on_drop: OnDrop) -> Iterator[Record]:
    """Reject records without the field ``scores`` that an earlier run could not read, again with the same reason."""
    for record in records:
        if record.why_unreadable and record.get(scores) is None:
            on_drop(record, record.why_unreadable)
        else:
            yield record


def _pseudo_label(
    scored: Iterable[tuple[Record, TeacherScores]], queries: Queries, rule: FilterRule, on_drop: OnDrop
) -> Iterator[Record]:
    """ŷ = PseudoLabel(M(x)) (OmniSource Sec. 3.2)."""
    for record, teacher_scores in scored:
        label, confidence = teacher_scores.top_scores[0]
        found = queries.find(record)
        agrees = found is not None and label == found[0]
        fields: dict[str, Any] = {"top_scores": teacher_scores.top_scores}
        if found is not None and teacher_scores.query_score is not None:
            fields |= {"query_score": teacher_scores.query_score}
        if rule.label_by == "query" and found is not None:
            label, confidence = found[0], record.derive(**fields).require("query_score")
        labelled = record.derive(
            pseudo_label=label, pseudo_class=queries.classes.names[int(label)], confidence=confidence, **fields
        )
        if rule.agree and not agrees:
            on_drop(labelled, DISAGREES)
        else:
            yield labelled


def _keep_best(
    records: Iterable[Record],
    label: Callable[[Iterable[Record], OnDrop], Iterator[Record]],
    rule: FilterRule,
    on_drop: OnDrop,
) -> Iterator[Record]:
    """The best share or number of each group. All records wait on disk; 40 bytes of each in memory."""
    confidences, groups, ties = array("d"), array("q"), array("Q")
    group_numbers: dict[str, int] = {}
    spool = RecordSpool()
    leaving: list[tuple[Record, str]] = []
    for record in label(records, lambda record, reason: leaving.append((record, reason))):
        _spool_leaving(spool, leaving)
        spool.add(record)
        confidences.append(record["confidence"])
        groups.append(group_numbers.setdefault(_group(record, rule), len(group_numbers)))
        ties.append(_tie_breaker(record))
    _spool_leaving(spool, leaving)
    is_kept = iter(best_of_groups(np.array(confidences), np.array(groups), np.array(ties), rule))
    for record, reason in spool:
        if reason:
            on_drop(record, reason)
        elif next(is_kept):
            yield record
        else:
            on_drop(record, LOW_RANK)


def _spool_leaving(spool: RecordSpool, leaving: list[tuple[Record, str]]) -> None:
    for record, reason in leaving:
        spool.add(record, reason)
    leaving.clear()


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
    order = np.lexsort((ties, -confidences, groups))  # best first, group by group
    sorted_groups = groups[order]
    starts = np.flatnonzero(np.diff(sorted_groups, prepend=-1)) if len(groups) else np.empty(0, dtype=np.int64)
    sizes = np.diff(starts, append=len(groups))
    if rule.top is not None:
        quotas = np.minimum(sizes, rule.top)
    else:
        quotas = np.floor(sizes * (rule.keep_fraction or 0.0) + 0.5)
    ranks = np.arange(len(groups)) - np.repeat(starts, sizes)
    kept = np.zeros(len(groups), dtype=bool)
    kept[order] = ranks < np.repeat(quotas, sizes)
    return kept


def _group(record: Record, rule: FilterRule) -> str:
    match rule.per:
        case "class":
            return str(record["pseudo_label"])
        case "query":
            return str(record.get("query") or record.get("queries") or "")
        case "source":
            return str(record.get("source") or "")
        case _:
            return ""


def _tie_breaker(record: Record) -> int:
    return int.from_bytes(hashlib.blake2b(str(record.get("id")).encode(), digest_size=8).digest(), "big")
