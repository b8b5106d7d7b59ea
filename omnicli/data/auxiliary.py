"""Auxiliary records to examples: pseudo-labels (OmniSource Sec. 3.2) and sampling weights (OmniSource Sec. 3.6)."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Literal

import numpy as np

from omnicli.data.dataloader import Example
from omnicli.data.example_table import ExampleTable, table_of, weights_of
from omnicli.data.labels import read_examples, read_multi_label
from omnicli.data.query_labels import Queries
from omnicli.errors import InputError
from omnicli.reasons import NO_CLASS
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import OnDrop, Record

LabelField = Literal["pseudo_label", "query", "label"]
ADVICE: dict[LabelField, str] = {
    "pseudo_label": "omni filter writes it; or learn from --auxiliary-label query or label",
    "query": "omni index writes it from the names of folders; or learn from --auxiliary-label pseudo_label or label",
    "label": "people write it; or learn from --auxiliary-label pseudo_label or query",
}


def read_auxiliary(
    records: Iterable[Record],
    queries: Queries,
    *,
    by: LabelField = "pseudo_label",
    is_soft: bool = False,
    multi_label: bool = False,
    on_drop: OnDrop,
) -> ExampleTable:
    """Every auxiliary record with its class.

    Args:
        records: of one source.
        queries: the classes, and the class of each query.
        by: the field with the class.
        is_soft: use ``top_scores`` as a soft label instead of one class. Ours: they are scaled to a sum of 1.
        multi_label: ``label`` may hold several classes.
        on_drop: takes records whose query is not a class.

    Returns:
        Examples; one of several queries holds the class of each (one is drawn per epoch, IG-65M Sec. 3.3).

    Raises:
        InputError: a record without the field, with an unknown class, an integer outside [0, K), or whose name and
            integer disagree; names FILE:LINE.
    """
    if by == "label":
        read = read_multi_label if multi_label else read_examples
        return read(records, queries.classes.names)
    if by == "query":
        return read_queried(records, queries, on_drop=on_drop)
    shares_of = partial(_shares, num_classes=len(queries.classes)) if is_soft else None
    return table_of(records, lambda record: (_pseudo_label(record, queries.classes),), shares_of)


def read_queried(
    records: Iterable[Record], queries: Queries, *, on_drop: OnDrop, advice: str = ADVICE["query"]
) -> ExampleTable:
    """Every record with the classes of its queries, of which one is drawn per visit (IG-65M Sec. 3.3).

    Args:
        records: of the target, or of one source.
        queries: the classes, and the class of each query.
        on_drop: takes records whose query is not a class.
        advice: what to do about a record without a query.

    Raises:
        InputError: a record without a query; names FILE:LINE.
    """

    def labels_of(record: Record) -> tuple[int, ...]:
        classes = tuple(_queried(record, queries, advice))
        if not classes:
            on_drop(record, NO_CLASS)
        return classes

    return table_of(records, labels_of)


def has_weights(examples: Sequence[Example]) -> bool:
    """Whether any record has a ``weight``."""
    return not np.isnan(weights_of(examples)).all()


def read_weights(examples: Sequence[Example], source: str) -> np.ndarray:
    """(M,) float64, relative probabilities of being drawn; 1 if no record has a ``weight``.

    Raises:
        InputError: some have one and others none, one is negative, or all are 0.
    """
    weights = weights_of(examples)
    is_missing = np.isnan(weights)
    if is_missing.all():
        return np.ones(len(weights))
    for row in np.flatnonzero(is_missing | (weights < 0)).tolist():
        where = examples[row].record.where
        if is_missing[row]:
            raise InputError(f"{where}: no field 'weight', which others of {source} have; balance all or none")
        raise InputError(f"{where}: weight {weights[row]}, expected 0 or more")
    if not 0 < weights.sum() < np.inf:
        what = "every weight is 0; nothing could be drawn" if not weights.any() else "the weights have no finite sum"
        raise InputError(f"{source}: {what}")
    return weights


def _queried(record: Record, queries: Queries, advice: str) -> list[int]:
    if record.get("query") is None and record.get("queries") is None:
        raise _missing(record, "query", advice)
    return [label for label, _ in queries.find_all(record)]


def _pseudo_label(record: Record, classes: ClassIndex) -> int:
    """The pseudo-label of a record; a name takes precedence over an integer."""
    label, name = record.get("pseudo_label"), record.get("pseudo_class")
    if label is None and name is None:
        raise _missing(record, "pseudo_label")
    if label is not None and not 0 <= label < len(classes):
        raise InputError(f"{record.where}: pseudo_label {label} is outside [0, {len(classes)})")
    found = classes.find(name) if name is not None else label
    if found is None:
        near = classes.nearest(str(name))
        hint = f"near: {', '.join(near)}" if near else f"the classes are {', '.join(classes.names[:5])} ..."
        raise InputError(f"{record.where}: pseudo_class {name!r} is not among the {len(classes)} classes; {hint}")
    if label is not None and found != label:
        raise InputError(
            f"{record.where}: pseudo_label {label} is {classes.names[label]!r} here, but the teacher meant {name!r}; "
            "its classes are in another order: give the target the same --classes FILE"
        )
    return found


def _shares(record: Record, num_classes: int) -> tuple[tuple[int, float], ...]:
    scores = record.get("top_scores")
    if not scores:
        raise InputError(f"{record.where}: no field 'top_scores', which --soft-labels teaches; omni filter writes it")
    total = sum(score for _, score in scores)
    if not all(0 <= label < num_classes and score >= 0 for label, score in scores) or total <= 0:
        raise InputError(f"{record.where}: top_scores {scores}, expected classes in [0, {num_classes}) and scores >= 0")
    return tuple((label, score / total) for label, score in scores)


def _missing(record: Record, by: LabelField, advice: str = "") -> InputError:
    return InputError(f"{record.where}: no field '{by}'; {advice or ADVICE[by]}; has {', '.join(sorted(record))}")
