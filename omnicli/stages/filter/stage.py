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

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from functools import partial
from typing import Any

from omnicli.data.query_labels import Queries
from omnicli.errors import InputError
from omnicli.inference.metrics import best_scores, rounded_score
from omnicli.inference.protocols import ScoreRecords
from omnicli.reasons import BY_VERDICT, DISAGREES, LOW_CONFIDENCE, NO_CLASS
from omnicli.stages.filter.labelling import (
    TeacherScores,
    agrees,
    pseudo_label,
    stored_query_score,
    with_scores,
    without_label,
    without_scores,
)
from omnicli.stages.filter.ranking import keep_best, keep_by_query
from omnicli.stages.filter.rules import FilterRule
from omnicli.stages.filter.undecided import decides_alone, is_undecided
from omnicli.streams.reading import why_unscored
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.verdicts import NO_VERDICTS, Verdicts


def filter_records(
    records: Iterable[Record],
    *,
    score: ScoreRecords | None,
    queries: Queries,
    rule: FilterRule,
    why_not: Callable[[Record], str] = lambda record: "",
    on_drop: OnDrop,
    facts: MutableMapping[str, Any] | None = None,
    verdicts: Verdicts = NO_VERDICTS,
) -> Iterator[Record]:
    """Keep records that the teachers score high enough (OmniSource Sec. 3.4).

    Args:
        records: the crawl.
        score: ``inference.scorer.score_records`` with its teachers; None: records carry the scores of an earlier run.
        queries: the class each record was searched for.
        rule: which records to keep.
        why_not: the reason why a record is rejected unread, or "".
        on_drop: receives rejects: low confidence, low rank, no class, teacher disagrees, verdict, unreadable.
        facts: with ``rule.by_query``, gets the rule that decided and the shares.
        verdicts: of people, who overrule the scores: an accepted record stays, a rejected one leaves before others are
            ranked. What has no class, or cannot be read, leaves all the same.

    Yields:
        Kept records, in order.

    Raises:
        InputError: without ``score``, a record has no stored scores, or not those this rule needs.
    """
    queries.unknown.clear()  # of an earlier job of -o DIR/

    def scored(on_drop: OnDrop) -> Iterator[Record]:
        found = (
            _score(records, score, queries, rule, why_not, on_drop)
            if score
            else _read_scores(records, queries, rule, on_drop)
        )
        return (with_scores(record, scores, queries) for record, scores in found)

    def labelled(on_drop: OnDrop) -> Iterator[Record]:
        if rule.label_by == "stored":
            found = _as_stored(records, on_drop)
        else:
            found = _pseudo_label(scored(on_drop), queries, rule, verdicts, on_drop)
        for record in found:
            if verdicts.rejects(record):
                on_drop(record, BY_VERDICT)
            else:
                yield record

    if rule.by_query:
        yield from keep_by_query(scored, queries, rule.by_query, on_drop, {} if facts is None else facts, verdicts)
        return
    if rule.needs_whole_stream:
        yield from keep_best(labelled, queries, rule, on_drop, verdicts)
        return
    # OmniSource Table 1: "Samples under certain threshold are dropped"
    for record in labelled(on_drop):
        if rule.score_only or record["confidence"] >= (rule.threshold or 0.0) or verdicts.accepts(record):
            yield record
        else:
            on_drop(record, LOW_CONFIDENCE)


def _score(
    records: Iterable[Record],
    score: ScoreRecords,
    queries: Queries,
    rule: FilterRule,
    why_not: Callable[[Record], str],
    on_drop: OnDrop,
) -> Iterator[tuple[Record, TeacherScores]]:
    """Score every record with the teachers; records without a class that the rule needs are not read."""

    def is_skipped(record: Record) -> bool:
        return bool(why_not(record)) or (rule.needs_query and queries.find(record) is None)

    undecided = partial(is_undecided, rule=rule, queries=queries) if decides_alone(rule) else None
    for record, scores in score(records, skip=is_skipped, undecided=undecided, on_drop=on_drop):
        if scores is None:
            on_drop(without_scores(record), why_not(record) or NO_CLASS)
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
            on_drop(without_label(record), NO_CLASS)
            continue
        top_scores = record.require("top_scores")
        highest = max((index for index, _ in top_scores), default=len(queries.classes))
        if highest >= len(queries.classes):
            raise InputError(
                f"{record.where}: top_scores names class {highest}, but --classes has {len(queries.classes)} names"
            )
        yield record, TeacherScores(top_scores, stored_query_score(record, queries))


def _as_stored(records: Iterable[Record], on_drop: OnDrop) -> Iterator[Record]:
    for record in _readable_then(records, "confidence", on_drop):
        record.require("confidence")
        record.require("pseudo_label")
        yield record


def _readable_then(records: Iterable[Record], scores: str, on_drop: OnDrop) -> Iterator[Record]:
    """Reject records without the field ``scores`` that an earlier run rejected unscored, again for the same reason."""
    for record in records:
        if record.get(scores) is None and (why := why_unscored(record)):
            on_drop(record, why)
        else:
            yield record


def _pseudo_label(
    scored: Iterable[Record], queries: Queries, rule: FilterRule, verdicts: Verdicts, on_drop: OnDrop
) -> Iterator[Record]:
    """ŷ = PseudoLabel(M(x)) (OmniSource Sec. 3.2)."""
    for record in scored:
        labelled = pseudo_label(record, queries, "query" if rule.label_by == "query" else "teacher")
        if rule.agree and not agrees(record, queries) and not verdicts.accepts(labelled):
            on_drop(labelled, BY_VERDICT if verdicts.rejects(labelled) else DISAGREES)
        else:
            yield labelled
