"""Pseudo-labels from teacher scores (OmniSource Sec. 3.2)."""

from typing import Any, Literal, NamedTuple

from omnicli.data.query_labels import Queries
from omnicli.errors import InputError
from omnicli.streams.record import Record


class TeacherScores(NamedTuple):
    """Teacher scores of one record: the best classes, and the score of its query's class."""

    top_scores: list[list[int | float]]
    query_score: float | None


def with_scores(record: Record, scores: TeacherScores, queries: Queries) -> Record:
    """The record with ``top_scores`` and, where its query names a class, ``query_score``."""
    fields: dict[str, Any] = {"top_scores": scores.top_scores}
    if scores.query_score is not None and queries.find(record) is not None:
        fields["query_score"] = scores.query_score
    return record.derive(**fields)


def without_label(record: Record) -> Record:
    """The record without the label and confidence of an earlier run, which this one does not confirm."""
    return _without(record, "pseudo_label", "pseudo_class", "confidence")


def without_scores(record: Record) -> Record:
    """The record, which was not scored, without the scores and the label of an earlier run."""
    return _without(without_label(record), "top_scores", "query_score")


def _without(record: Record, *fields: str) -> Record:
    made = record.derive()
    for field in fields:
        made.pop(field, None)
    return made


def stored_query_score(record: Record, queries: Queries) -> float | None:
    """The score of the class that the query names now, which may be another one than when the record was scored.

    Raises:
        InputError: the stored score is that of another class.
    """
    found, stored = queries.find(record), record.get("query_score")
    if found is None:
        return stored
    score = next((score for label, score in record["top_scores"] if label == found[0]), None)
    if score is not None:
        return float(score)
    if stored is not None and any(stored > score for _, score in record["top_scores"]):
        raise InputError(
            f"{record.where}: query_score {stored:g} is not that of {queries.classes.names[found[0]]!r}, the class of "
            f"the query {found[1]!r}; give --query-map and --seed of the run that scored, or score again"
        )
    return stored


def pseudo_label(scored: Record, queries: Queries, label_by: Literal["teacher", "query"]) -> Record:
    """ŷ = PseudoLabel(M(x)) (OmniSource Sec. 3.2), or the class of the query where there is one (Ours).

    Args:
        scored: with ``top_scores``.
        queries: the class of each record's query.
        label_by: whose class it is; confidence is the teacher's score for it.

    Raises:
        InputError: no stored score for the class of the query.
    """
    label, confidence = scored["top_scores"][0]
    found = queries.find(scored)
    if label_by == "query" and found is not None:
        label, confidence = found[0], scored.require("query_score")
    return scored.derive(pseudo_label=label, pseudo_class=queries.classes.names[int(label)], confidence=confidence)


def agrees(scored: Record, queries: Queries) -> bool:
    """True if the teacher's best class is the class of the query."""
    found = queries.find(scored)
    return found is not None and scored["top_scores"][0][0] == found[0]
