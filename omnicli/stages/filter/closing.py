"""What filter says at its end."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omnicli.data.query_labels import Queries
from omnicli.errors import InputError
from omnicli.inference.metrics import rescored_lines, shares_at_thresholds
from omnicli.reasons import NO_CLASS
from omnicli.stages.filter.rules import FilterRule
from omnicli.streams.record import Record

if TYPE_CHECKING:
    from omnicli.models.strength import Strength

RESCORED = "filter: scored again in float32"


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
    if record.rescored:
        counters[RESCORED] += record.rescored
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
    again = rescored_lines(counts.get(RESCORED, 0), num_scored=num_scored, what="records")
    return [f"share with confidence at or above a threshold: {curve}", *again]


def rule_line(facts: Mapping[str, Any], strength: str | None) -> str:
    """The closing line that says which rule decided, and why.

    Args:
        facts: of ``ranking.keep_by_query``.
        strength: of the teacher, in words; None if unknown.

    >>> rule_line({"rule": "query", "shares": {"images": {"fit": 0.24, "kept": 0.31}}}, None)
    'by query: 24 % of the images seem to fit their query, the best 31 % of each query are kept'
    """
    why = f" (the teacher {strength})" if strength else ""
    if facts.get("rule") == "paper":
        return f"by --threshold: most records have no query that names a class{why}"
    parts = [_share(media, **share) for media, share in facts.get("shares", {}).items()]
    return f"by query{why}: {'; '.join(parts) or 'no record has a query that names a class'}"


def advice(rule: FilterRule, facts: Mapping[str, Any], strength_of: "Callable[[], Strength | None]") -> list[str]:
    """The closing line about another rule, where a threshold decided over the labels of a weak teacher.

    ``strength_of`` reads the teacher's strength, and is called only if it matters.

    Ours: such labels are right, but most of them are of a few classes (docs/studies, "Another rule").

    >>> advice(FilterRule(threshold=None, top=9), {}, lambda: None)
    []
    """
    by_threshold = rule.threshold is not None or facts.get("rule") == "paper"
    if not by_threshold or rule.agree or rule.label_by != "teacher":
        return []
    strength = strength_of()
    if strength is None or not strength.is_weak:
        return []
    return [
        "a teacher of few clips is sure of some classes only; --keep-fraction 0.3 --per class keeps the best of each"
    ]


def _share(media: str, fit: float | None, kept: float, queries_with_less: int = 0) -> str:
    best = f"the best {100 * kept:.0f} % of each query are kept"
    if round(100 * kept) == 100:
        best = "all of each query are kept (--keep-fraction 0.5 --per query --label-by query keeps the best half)"
    if queries_with_less:
        best += f", fewer of {queries_with_less:,} queries whose results score hardly higher than those of others"
    return f"{media}: {best}" if fit is None else f"{100 * fit:.0f} % of the {media} seem to fit their query, {best}"
