"""Decisions that need the whole stream. All records wait on disk; at most 100 bytes of each in memory."""

from array import array
from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np

from omnicli.data.query_labels import Queries
from omnicli.inference.metrics import NUM_TOP_SCORES
from omnicli.reasons import BY_VERDICT, LOW_CONFIDENCE, LOW_RANK, NO_CLASS
from omnicli.stages.filter.labelling import pseudo_label, without_label
from omnicli.stages.filter.query_shares import Scored, Shares, query_shares
from omnicli.stages.filter.rules import (
    FilterRule,
    QueryRule,
    best_of_groups,
    group_of,
    most_confident,
    quota,
    tie_breaker,
)
from omnicli.streams.class_names import normalise_class
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.temp_records import Incoming, spooled
from omnicli.streams.verdicts import NO_VERDICTS, Verdicts

MIN_WITH_CLASS = 0.5  # Ours: with fewer, the paper's rule decides


def keep_best(
    incoming: Incoming, queries: Queries, rule: FilterRule, on_drop: OnDrop, verdicts: Verdicts = NO_VERDICTS
) -> Iterator[Record]:
    """The best share or number of each group of labelled records; ``queries`` says which query labelled them."""
    confidences, groups, ties = array("d"), array("q"), array("Q")
    numbers: dict[str, int] = {}

    def note(record: Record) -> None:
        confidences.append(record["confidence"])
        groups.append(numbers.setdefault(group_of(record, queries, rule), len(numbers)))
        ties.append(tie_breaker(record))

    spool = spooled(incoming, note)
    is_kept = iter(best_of_groups(np.array(confidences), np.array(groups), np.array(ties), rule))
    for record, reason in spool:
        if reason:
            on_drop(record, reason)
        elif next(is_kept) or verdicts.accepts(record):
            yield record
        else:
            on_drop(record, LOW_RANK)


def keep_by_query(
    incoming: Incoming,
    queries: Queries,
    rule: QueryRule,
    on_drop: OnDrop,
    facts: MutableMapping[str, Any],
    verdicts: Verdicts = NO_VERDICTS,
) -> Iterator[Record]:
    """The results of each query that seem to fit, labelled by query; ``facts`` gets what was decided."""
    stream = _ScoredStream(queries)
    spool = spooled(_without_rejected(incoming, queries, verdicts) if verdicts else incoming, stream.note)
    scored = stream.scored()
    has_class = scored.asked >= 0
    if rule.threshold is not None and has_class.sum() < MIN_WITH_CLASS * len(has_class):
        facts["rule"] = "paper"
        for record, reason in spool:
            labelled = record if reason else pseudo_label(record, queries, "teacher")
            if reason or verdicts.rejects(labelled):
                on_drop(labelled, reason or BY_VERDICT)
            elif labelled["confidence"] >= rule.threshold or verdicts.accepts(labelled):
                yield labelled
            else:
                on_drop(labelled, LOW_CONFIDENCE)
        return
    facts["rule"] = "query"
    kept = np.zeros(len(has_class), bool)
    if has_class.any():
        kept[has_class] = _best_by_query(scored.select(has_class), stream.ties()[has_class], rule, stream.others, facts)
    ranked = zip(has_class.tolist(), kept.tolist(), strict=True)
    for record, reason in spool:
        is_named, is_kept = (False, False) if reason else next(ranked)
        if not is_named:
            on_drop(record if reason else without_label(record), reason or NO_CLASS)
            continue
        labelled = pseudo_label(record, queries, "query")
        if is_kept or verdicts.accepts(labelled):
            yield labelled
        else:
            on_drop(labelled, LOW_RANK)


def _without_rejected(incoming: Incoming, queries: Queries, verdicts: Verdicts) -> Incoming:
    """The scored records without those that a person rejected: they take no place from others."""

    def left(on_drop: OnDrop) -> Iterator[Record]:
        for record in incoming(on_drop):
            labelled = pseudo_label(record, queries, "query")
            if verdicts.rejects(labelled):
                on_drop(labelled, BY_VERDICT)
            else:
                yield record

    return left


def _best_by_query(
    scored: Scored, ties: np.ndarray, rule: QueryRule, others: str, facts: MutableMapping[str, Any]
) -> np.ndarray:
    """(N,) bool: which records of known class are kept; ``others`` are what is no image, in words."""
    shares = query_shares(scored, rule.accuracy)
    facts["shares"] = {("images" if is_image else others): _summary(own) for is_image, own in shares.items()}
    groups = 2 * scored.groups + scored.is_image
    sizes = np.bincount(groups)
    share = np.zeros(len(sizes))
    for is_image, own in shares.items():
        numbers = 2 * np.arange(len(own.by_group)) + is_image  # queries behind the last that has such media have none
        share[numbers] = own.by_group
    confidences = np.where(scored.best == scored.asked[:, None], scored.scores, 0.0).sum(axis=1)
    return most_confident(confidences, groups, ties, quota(sizes, share))


def _summary(shares: Shares) -> dict[str, float | None]:
    summary = {"fit": None if shares.fits is None else round(shares.fits, 4), "kept": round(shares.kept, 4)}
    num_less = int((shares.by_group < shares.kept).sum())
    return {**summary, "queries_with_less": num_less} if num_less else summary


class _ScoredStream:
    """The numbers of a stream of scored records that decide."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._best, self._scores = array("i"), array("d")
        self._asked, self._groups, self._is_image, self._ties = array("i"), array("i"), array("b"), array("Q")
        self._numbers: dict[str, int] = {}
        self.others = "videos"  # what is no image

    def note(self, record: Record) -> None:
        """Take the numbers of one record."""
        top = record["top_scores"][:NUM_TOP_SCORES]
        found = self._queries.find(record)
        label, query = (-1, "") if found is None else found
        padding = NUM_TOP_SCORES - len(top)
        self._best.extend([*(int(index) for index, _ in top), *[-1] * padding])
        self._scores.extend([*(float(score) for _, score in top), *[0.0] * padding])
        if found is not None and label not in (index for index, _ in top):
            self._best[-1], self._scores[-1] = label, float(record.require("query_score"))
        self._asked.append(label)
        self._groups.append(self._numbers.setdefault(normalise_class(query), len(self._numbers)))
        self._is_image.append(record.get("media") == "image")
        if record.get("media") == "features":
            self.others = "results"
        self._ties.append(tie_breaker(record))

    def ties(self) -> np.ndarray:
        """(N,) uint64."""
        return np.array(self._ties, np.uint64)

    def scored(self) -> Scored:
        """All records, in order."""
        shape = (len(self._asked), NUM_TOP_SCORES)
        return Scored(
            best=np.array(self._best, np.int32).reshape(shape), scores=np.array(self._scores).reshape(shape),
            asked=np.array(self._asked, np.int64), groups=np.array(self._groups, np.int64),
            is_image=np.array(self._is_image, bool), num_classes=len(self._queries.classes),
        )  # fmt: skip
