"""Result files of mmaction2 as scores: what its tests write for each line of an annotation list, in its order.

    0.x, ``tools/test.py --out``    pickle or JSON: a list with the scores (K,) of each record
    1.x, ``tools/test.py --dump``   pickle: a list with ``pred_score`` (K,) and ``gt_label`` of each record
                                    (or ``pred_scores.item`` and ``gt_labels.item``)

The files name no records, so the list is needed. Pickles are read as data, nothing in them is run.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from omnicli.errors import InputError, ModelError
from omnicli.models.array_pickle import read_arrays
from omnicli.stages.eval.fusion import SUM_TOLERANCE, ScoreSet, open_scores, same_labels
from omnicli.streams.read.reader import read_records
from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter

REMEDY = "test with average_clips='prob', which writes softmax scores averaged over the views"


class Result(NamedTuple):
    """Scores (K,) of one record, and its label where the file has it."""

    scores: np.ndarray
    label: Any


def open_results(path: str | Path, list_path: str | Path, folder: str | Path) -> ScoreSet:
    """The scores of a result file, stored as shards in an empty ``folder``, with the records of the list.

    Raises:
        InputError: not a result file, another number of records or other labels than the list, or not softmax scores.
    """
    records = read_list(list_path)
    results = read_results(path)
    if len(records) != len(results):
        raise InputError(
            f"{path}: scores of {len(results):,} records, but {list_path} has {len(records):,}; give the list that was "
            "tested"
        )
    writer = ShardWriter(folder, stage="eval", kind="scores", provenance={})
    for row, (record, result) in enumerate(zip(records, results, strict=True), 1):
        if not same_labels(record.get("label"), result.label):
            raise InputError(
                f"{path}:{row}: label {result.label}, but {record.get('label')} at {record.where}; the file is of "
                "another list, or of another order"
            )
        made = record.derive()
        made.arrays = {"scores": _checked(result.scores, f"{path}:{row}", len(results[0].scores))}
        writer.add(made)
    writer.close()
    return replace(open_scores(folder), name=str(path))


def read_list(path: str | Path) -> list[Record]:
    """The records of an annotation list or of JSON lines, in order. Raises InputError for a line without a file."""

    def refuse(record: Record, reason: str) -> None:
        raise InputError(f"{record.where}: {reason}; every record of a result file must be in its list")

    return list(read_records([str(path)], on_drop=refuse))


def read_results(path: str | Path) -> list[Result]:
    """The scores in a result file, in order. Raises InputError."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'read error').lower()}") from None
    try:
        content = (
            msgspec.json.decode(data) if str(path).lower().endswith(".json") else read_arrays(data, path=str(path))
        )
    except ModelError as error:
        raise InputError(str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    if not isinstance(content, list) or not content:
        raise InputError(f"{path}: not a result file of mmaction2: expected a list with the scores of each record")
    return [_result(entry, f"{path}:{row}") for row, entry in enumerate(content, 1)]


def _result(entry: Any, where: str) -> Result:
    scores, label = entry, None
    if isinstance(entry, dict):
        scores, label = (_item(entry, names) for names in (("pred_score", "pred_scores"), ("gt_label", "gt_labels")))
    try:
        numbers = np.asarray(scores, np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.ndim == 2 and len(numbers) == 1:
        numbers = numbers[0]
    if numbers.ndim == 2:
        raise InputError(f"{where}: scores of {len(numbers)} views; {REMEDY}")
    if numbers.ndim != 1 or len(numbers) < 2:
        raise InputError(f"{where}: not a result of mmaction2: expected scores (K,), or pred_score among the keys")
    return Result(numbers, _label(label))


def _item(entry: dict[Any, Any], names: Sequence[str]) -> Any:
    value = next((entry[name] for name in names if name in entry), None)
    return value.get("item") if isinstance(value, dict) else value


def _label(value: Any) -> Any:
    """A label, several, or None."""
    if value is None:
        return None
    labels = np.asarray(value).reshape(-1).tolist()
    return labels[0] if len(labels) == 1 else labels


def _checked(scores: np.ndarray, where: str, num_classes: int) -> np.ndarray:
    if len(scores) != num_classes:
        raise InputError(f"{where}: scores of {len(scores)} classes, but {num_classes} in the first record")
    is_softmax = (scores >= 0).all() and abs(scores.sum() - 1) <= SUM_TOLERANCE  # False for NaN too
    if not is_softmax:
        raise InputError(f"{where}: not softmax scores (they sum to {scores.sum():g}); {REMEDY}")
    return scores
