"""Testing (Sec. 5): several views a record, their mean, top-1, top-5 and mean-class accuracy.

    in    labelled records: pictures, videos, folders of frames
    out   the same records in the same order, each with `pseudo_label`, `pseudo_class`, `confidence` and `top_scores`;
          then one summary record

Unreadable media leave as counted rejects and do not count in the accuracy; the summary says how many were seen.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from omnicli.data.targets import class_name_of, read_examples
from omnicli.engine.metrics import best_scores, confusion_matrix, mean_class_acc, top_k_acc
from omnicli.errors import InputError
from omnicli.streams.records import OnDrop, Record

MAX_SHOWN_CLASSES = 50  # a summary line with more than 50 x 50 counts is no line to read

Score = Callable[..., Iterator[tuple[Record, np.ndarray | None]]]


class Tally:
    """What the summary is made from; small whatever the number of records."""

    def __init__(self, num_classes: int) -> None:
        self.confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
        self.num_top1 = 0
        self.num_top5 = 0
        self.num_records = 0

    def add(self, scores: np.ndarray, label: int) -> None:
        """Count one record: scores (K,) and its class."""
        row, labels = scores[None], np.array([label])
        self.num_records += 1
        self.num_top1 += int(top_k_acc(row, labels, 1))
        self.num_top5 += int(top_k_acc(row, labels, 5))
        self.confusion += confusion_matrix(labels, row.argmax(axis=1), len(scores))

    def summary(self) -> dict[str, Any]:
        """The metric record."""
        made: dict[str, Any] = {
            "top1_acc": self.num_top1 / self.num_records,
            "top5_acc": self.num_top5 / self.num_records,
            "mean_class_acc": mean_class_acc(self.confusion),
            "num_videos": self.num_records,
        }
        if len(self.confusion) <= MAX_SHOWN_CLASSES:
            made["confusion"] = self.confusion.tolist()
        return made


def evaluate(
    records: Iterable[Record], *, score: Score, classes: Sequence[str], on_drop: OnDrop
) -> Iterator[Record | dict[str, Any]]:
    """Score every record, then sum up.

    Args:
        records: each with ``class_name`` or ``label``, or in a folder named after its class.
        score: ``scoring.score_records`` with teachers and views; gives (record, scores (K,) that sum to 1) in order.
        classes: (K,) names, in the order of the scores.
        on_drop: takes what cannot be read, as ``unreadable: why``.

    Yields:
        Every readable record with its predicted class and ``arrays["scores"]`` (K,) float32; then the summary, a plain
        dict with ``confusion`` rows = true, columns = predicted, for up to 50 classes.

    Raises:
        InputError: no readable record, one without a label or of an unknown class, or an id that occurs twice.
    """
    tally = Tally(len(classes))
    for record, scores in score(_checked(records, classes), on_drop=on_drop):
        if scores is None:
            continue
        label = read_examples([record], classes)[0].label
        tally.add(scores, label)
        yield _judged(record, scores, label, classes)
    if not tally.num_records:
        raise InputError("no readable record: eval needs labelled media")
    yield tally.summary()


def _checked(records: Iterable[Record], classes: Sequence[str]) -> Iterator[Record]:
    """The records, each with a label and an id of its own; checked before it is read."""
    seen: dict[str, str] = {}
    for record in records:
        name = str(record.require("id"))
        if name in seen:
            raise InputError(f"{record.where}: id {name!r} is already at {seen[name]}; each record counts once")
        seen[name] = record.where
        read_examples([record], classes)
        yield record


def _judged(record: Record, scores: np.ndarray, label: int, classes: Sequence[str]) -> Record:
    top = best_scores(scores)
    judged = record.derive(
        label=label,
        class_name=class_name_of(record) or classes[label],
        pseudo_label=top[0][0],
        pseudo_class=classes[int(top[0][0])],
        confidence=top[0][1],
        top_scores=top,
    )
    judged.arrays = {"scores": scores.astype(np.float32)}
    return judged
