"""What the report reads off a record: its query, class, confidence and match, and which lines are not records."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omnicli.streams.record import Record

NO_GROUP = "(no class)"


def group_name(record: Record, group_by: str) -> str:
    """The query or the class of a record, whichever ``group_by`` prefers and the record has."""
    choices: list[Callable[[Record], str | None]] = [query_of, class_of]
    for choose in choices if group_by == "query" else reversed(choices):
        if name := choose(record):
            return name
    return NO_GROUP


def query_of(record: Record) -> str | None:
    """The query of a record, the first of several."""
    queries: Sequence[Any] = record.get("queries") or [record.get("query")]
    return str(queries[0]) if queries[0] else None


def class_of(record: Record) -> str | None:
    """The class of a record: its pseudo-class, else its label."""
    named = record.get("class_name")
    label = record.get("label")
    return (
        pseudo_class(record)
        or (", ".join(map(str, named)) if isinstance(named, list) else named)
        or (f"class {label}" if label is not None else None)
    )


def pseudo_class(record: Record) -> str | None:
    """The class that a teacher predicted."""
    if name := record.get("pseudo_class"):
        return str(name)
    label = record.get("pseudo_label")
    return None if label is None else f"class {label}"


def confidence_of(record: Record) -> float | None:
    """The confidence of a record; None without a score."""
    value = record.get("confidence")
    return float(value) if isinstance(value, int | float) else None


def similarity_of(match: Mapping[str, Any]) -> float | None:
    """Similarity of a suspected duplicate and its target: the cosine of frames, or the share of common footage."""
    found = (match.get(field) for field in ("cosine", "similarity", "overlap"))
    return next((float(value) for value in found if isinstance(value, int | float)), None)


def rank_of(match: Mapping[str, Any]) -> float:
    """What suspected duplicates are sorted by, highest first: verified copies, those not compared again, others.

    Within a kind, by the keypoints that agree, else by similarity.

    >>> found = {"verified": True, "inliers": 90}, {"cosine": 0.9}, {"verified": False, "inliers": 2, "cosine": 0.95}
    >>> [round(rank_of(match), 2) for match in found]
    [4.9, 2.9, 0.17]
    """
    if "verified" not in match:
        return 2 + (similarity_of(match) or 0.0)
    inliers = match.get("inliers")
    return 4 * bool(match["verified"]) + (inliers / (inliers + 10) if isinstance(inliers, int) else 0.0)


def is_metric(record: Record) -> bool:
    """True for a line that a training command printed."""
    return "path" not in record and "id" not in record and ("epoch" in record or "step" in record)


def is_summary(record: Record) -> bool:
    """True for the line that sums up an evaluation."""
    return (
        "path" not in record
        and "id" not in record
        and any(name in record for name in ("confusion", "top1_acc", "mean_ap"))
        and not is_metric(record)
    )
