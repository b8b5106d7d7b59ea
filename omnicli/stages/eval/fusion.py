"""Two streams (RGB and flow) as one: scores that models left in shards, matched by record and averaged.

A shard of kind "scores" holds for each record its softmax scores (K,) float32: views averaged, temperature applied; of
a model of several labels, a sigmoid for each class.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omnicli.errors import InputError
from omnicli.reasons import NO_SCORES
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.shards.reader import ShardReader, read_shard

CLASS_NAMES = "class_names"  # attribute of score shards: JSON list, in the order of the columns
SCORE_FUNCTION = "score_function"  # attribute of score shards: "softmax", also where there is none, or "sigmoid"
NUM_EXAMPLES = 3  # records that a set lacks
SMALLEST = 1e-30  # score, where a softmax has become 0
SUM_TOLERANCE = 1e-2  # of softmax scores that were computed in bfloat16


@dataclass(frozen=True)
class ScoreRow:
    """Where the scores of one record lie.

    Attributes:
        path: the shard.
        row: in it.
        label: the record's, as far as it has one.
    """

    path: str
    row: int
    label: Any


@dataclass(frozen=True)
class ScoreSet:
    """The scores that one model left: a shard, or a folder of them.

    Attributes:
        name: as given.
        shards: its files, sorted.
        rows: by id of the record, in order.
        num_classes: K.
        classes: (K,) names; None where the shards have none.
        function: "softmax" or "sigmoid".
    """

    name: str
    shards: tuple[str, ...]
    rows: dict[str, ScoreRow]
    num_classes: int
    classes: tuple[str, ...] | None
    function: str


def open_scores(path: str | Path) -> ScoreSet:
    """The shards under ``path``, indexed by id; memory goes by the ids.

    Raises:
        InputError: no shard, not one of scores, shards of different classes, or an id that occurs twice.
    """
    return open_score_shards(str(path), shards_under(path))


def open_score_shards(name: str, shards: tuple[str, ...]) -> ScoreSet:
    """One or more shards as a set of this name. Raises InputError: as ``open_scores``."""
    rows: dict[str, ScoreRow] = {}
    kinds: dict[tuple[int, tuple[str, ...] | None, str], str] = {}
    for shard in shards:
        first = next(iter(kinds.values()), shard)
        if kinds.setdefault(_columns(shard), shard) != first:
            raise InputError(
                f"{shard}: scores other classes than {first}, or in another way; a folder holds one model's scores"
            )
        for row, record in enumerate(read_shard(shard)):
            key = str(record.require("id"))
            if key in rows:
                at = rows[key]
                raise InputError(
                    f"{record.where}: id {key!r} is already at {at.path}:{at.row + 1}; each record counts once"
                )
            rows[key] = ScoreRow(shard, row, record.get("label"))
    num_classes, classes, function = next(iter(kinds))
    return ScoreSet(name, shards, rows, num_classes, classes, function)


def shards_under(path: str | Path) -> tuple[str, ...]:
    """The shard itself, or those below a folder, sorted: ``-o DIR/`` keeps the folders of its inputs.

    Raises:
        InputError: there is none.
    """
    if not Path(path).is_dir():
        return (str(path),)
    shards = tuple(str(shard) for shard in sorted(Path(path).rglob("*.h5")))
    if not shards:
        raise InputError(f"{path}: no .h5 shard in this folder; eval --shards writes them")
    return shards


def common_classes(
    sets: Sequence[ScoreSet], given: Sequence[str] | None, *, source: str = "--classes"
) -> tuple[str, ...]:
    """The classes all of them score, in one order.

    Args:
        sets: what will be fused or compared.
        given: (K,) names of ``source``, for shards that have none.
        source: who gives them, for messages.

    Raises:
        InputError: they disagree, or nobody names them.
    """
    first = sets[0]
    for other in sets[1:]:
        if other.num_classes != first.num_classes:
            raise InputError(
                f"{other.name}: scores {other.num_classes:,} classes, but {first.name} {first.num_classes:,}"
            )
        if other.function != first.function:
            raise InputError(f"{other.name}: {other.function} scores, but {first.function} in {first.name}")
    named = [(source, tuple(given))] if given is not None else []
    named += [(each.name, each.classes) for each in sets if each.classes is not None]
    if not named:
        raise InputError(f"{first.name}: names no classes; --classes FILE lists them, one per line, in their order")
    namer, classes = named[0]
    for name, others in named[1:]:
        if others != classes:
            raise InputError(
                f"{name}: has other classes than {namer}, or another order: {_first_other(classes, others)}"
            )
    if len(classes) != first.num_classes:
        raise InputError(f"{first.name}: scores {first.num_classes:,} classes, but {namer} names {len(classes):,}")
    return classes


def check_common_records(sets: Sequence[ScoreSet]) -> list[str]:
    """A line about each set that lacks records of others; those that all have are fused, and have one label.

    Raises:
        InputError: no record is in every set, or two disagree about the label of one.
    """
    first, *others = sets
    common = set(first.rows)
    everything = dict(first.rows)
    for other in others:
        if not first.rows.keys() & other.rows.keys():
            raise InputError(
                f"{other.name}: no scores for id {next(iter(first.rows))!r} and all others of {first.name}; streams of "
                f"one video are fused by its id, so give their records the same"
            )
        common &= other.rows.keys()
        everything = other.rows | everything
        for name, at in other.rows.items():
            own = everything[name]
            if not same_labels(own.label, at.label):
                raise InputError(
                    f"{at.path}:{at.row + 1}: id {name!r} has label {at.label}, but {own.label} at "
                    f"{own.path}:{own.row + 1}"
                )
    if not common:
        raise InputError(f"{first.name}: no id that all of the other --fuse have too")
    lines = []
    for each in sets:
        missing = [name for name in everything if name not in each.rows]
        if missing:
            examples = ", ".join(repr(name) for name in missing[:NUM_EXAMPLES])
            lines.append(
                f"{each.name}: no scores for {len(missing):,} of {len(everything):,} records, such as {examples}; only "
                "records that every --fuse has are evaluated"
            )
    return lines


def same_labels(ours: Any, theirs: Any) -> bool:
    """Whether two values of ``label`` say the same: one or several, in any order; none says nothing.

    >>> same_labels(3, [3]), same_labels([0, 2], [2, 0]), same_labels(None, 1), same_labels(1, 2)
    (True, True, True, False)
    """
    sets = [set(label) if isinstance(label, list) else {label} for label in (ours, theirs)]
    return None in (ours, theirs) or sets[0] == sets[1]


def read_score_records(scores: ScoreSet) -> Iterator[Record]:
    """The records of a set, in its order."""
    for shard in scores.shards:
        yield from read_shard(shard)


def fuse_scores(
    records: Iterable[Record],
    *,
    sets: Sequence[ScoreSet],
    ratio: Sequence[float],
    on_drop: OnDrop,
    logits: bool = False,
) -> Iterator[tuple[Record, np.ndarray]]:
    """Each record with Σ r_i s_i / Σ r_i, the weighted mean of its softmax scores (K,) in all sets.

    Ours: by default scores, not logits, are fused, so that a stream counts by how sure it is and not by the scale of
    its logits.

    Args:
        records: of the first set.
        sets: with the same classes.
        ratio: a weight for each set, not all zero.
        logits: the mean is taken before the softmax, as TSN and mmaction2 do it. The logarithms of scores are the
            logits up to a constant, which ranks no class higher.
        on_drop: takes records that are not in every set.

    Raises:
        InputError: a row that holds no scores.
    """
    with contextlib.ExitStack() as stack:
        readers = {shard: stack.enter_context(ShardReader(shard)) for each in sets for shard in each.shards}
        for record in records:
            name = str(record["id"])
            lacking = next((each for each in sets if name not in each.rows), None)
            if lacking is not None:
                on_drop(record, f"{NO_SCORES}: not in {lacking.name}")
                continue
            rows = [each.rows[name] for each in sets]
            stored = [stored_scores(readers[at.path], at.row) for at in rows]
            mean = _mean_of_logits if logits else np.average
            yield record, mean(np.stack(stored), axis=0, weights=ratio)


def stored_scores(reader: ShardReader, row: int) -> np.ndarray:
    """(K,) float64. Raises InputError: neither the softmax nor the sigmoid that the shard says it holds."""
    scores = reader.scores(row).astype(np.float64)
    function = _function_of(reader)
    in_range = bool(((scores >= 0) & (scores <= 1 + SUM_TOLERANCE)).all())  # False for NaN too
    if not in_range or (function == "softmax" and abs(scores.sum() - 1) > SUM_TOLERANCE):
        raise InputError(
            f"{reader.path}:{row + 1}: not {function} scores (they sum to {scores.sum():g}); logits cannot be evaluated"
        )
    return scores


def _mean_of_logits(scores: np.ndarray, axis: int, weights: Sequence[float]) -> np.ndarray:
    """Softmax (K,) of the weighted mean of the logits of softmax scores (S, K)."""
    logs = np.average(np.log(np.maximum(scores, SMALLEST)), axis=axis, weights=weights)
    exponents = np.exp(logs - logs.max())
    return np.asarray(exponents / exponents.sum())


def _function_of(reader: ShardReader) -> str:
    """What made scores of logits: "softmax" or "sigmoid"."""
    return str(reader.attributes.get(SCORE_FUNCTION, "softmax"))


def _columns(path: str) -> tuple[int, tuple[str, ...] | None, str]:
    """Number of classes in a score shard, their names, and what made scores of logits."""
    with ShardReader(path) as reader:
        if not len(reader):
            raise InputError(f"{path}: no records")
        names = reader.attributes.get(CLASS_NAMES)
        return len(reader.scores(0)), tuple(json.loads(names)) if names else None, _function_of(reader)


def _first_other(ours: Sequence[str], theirs: Sequence[str]) -> str:
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((f"class {label} is {a!r} and {b!r}" for label, (a, b) in pairs if a != b), "one has more")
