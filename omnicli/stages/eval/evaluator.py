"""Metrics of one model (OmniSource Sec. 5), from the scores of one record at a time."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from omnicli.inference.metrics import mean_average_precision, predicted_classes, top_k_acc
from omnicli.stages.eval.confusion import class_accs
from omnicli.streams.temp_records import TempFile

COLUMN_BYTES = 1 << 28  # of scores in memory at once: some classes of all records
READ_BYTES = 1 << 24


class Evaluator:
    """Computes the metrics of one model on one stream. Scores are in TMPDIR, 4 bytes each: mAP ranks all records.

    Memory: 200 bytes per record, and at most 256 MiB while mAP is computed; none goes by the square of the classes.

    Attributes:
        num_records: records so far.
        is_multi_label: True once a record had several classes: then mAP is the only metric (IG-65M Sec. 3.3).
        counts: records of class i recognised as j, of those with one class.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_records = 0
        self.is_multi_label = False
        self.counts: Counter[tuple[int, int]] = Counter()
        self._num_classes = num_classes
        self._num_right = {1: 0, 5: 0}
        self._members: dict[int, list[int]] = {}  # class → its records
        self._scores = TempFile()

    def add(self, scores: np.ndarray, labels: Sequence[int]) -> bool:
        """Add one record: scores (K,) float32 and its classes; True if the first choice is its only class."""
        self._scores.write(scores.tobytes())
        for label in labels:
            self._members.setdefault(label, []).append(self.num_records)
        self.num_records += 1
        if len(labels) > 1:
            self.is_multi_label = True
            return False
        label = labels[0]
        right = {k: bool(top_k_acc(scores[None], np.array([label]), k)) for k in self._num_right}
        self._num_right = {k: count + right[k] for k, count in self._num_right.items()}
        self.counts[label, int(predicted_classes(scores[None], np.array([label]))[0])] += 1
        return right[1]

    def metrics(self) -> dict[str, float]:
        """``mean_ap``, and with one class per record ``top1_acc``, ``top5_acc`` and ``mean_class_acc``.

        Ours: with several classes per record only mAP, which the paper reports.
        """
        mean_ap = {"mean_ap": float(np.mean(list(self._average_precisions())))}
        if self.is_multi_label:
            return mean_ap
        accs = class_accs(self.counts)
        return {
            "top1_acc": self._num_right[1] / self.num_records,
            "top5_acc": self._num_right[5] / self.num_records,
            "mean_class_acc": sum(accs.values()) / len(accs),
            **mean_ap,
        }

    def confusion(self) -> list[list[int]]:
        """K x K: rows are true classes, columns predicted ones."""
        every = range(self._num_classes)
        return [[self.counts[true, predicted] for predicted in every] for true in every]

    def _average_precisions(self) -> Iterator[float]:
        """Of each class that has a record."""
        width = max(1, COLUMN_BYTES // (4 * self.num_records))
        for start in range(0, self._num_classes, width):
            yield from self._precisions_of(self._columns(start, start + width), start)

    def _precisions_of(self, columns: np.ndarray, start: int) -> Iterator[float]:
        """Of (classes, N) scores, the first being that of class ``start``."""
        for label, column in enumerate(columns, start):
            if label in self._members:
                is_there = np.zeros(len(column), bool)
                is_there[self._members[label]] = True
                yield mean_average_precision(column[:, None], is_there[:, None])

    def _columns(self, start: int, stop: int) -> np.ndarray:
        """(classes, N) float32 scores of the classes from ``start`` to ``stop``."""
        num_rows = max(1, READ_BYTES // (4 * self._num_classes))
        columns = np.empty((min(stop, self._num_classes) - start, self.num_records), np.float32)
        for first in range(0, self.num_records, num_rows):
            read = self._scores.read(4 * first * self._num_classes, 4 * num_rows * self._num_classes)
            rows = np.frombuffer(read, np.float32).reshape(-1, self._num_classes)
            columns[:, first : first + len(rows)] = rows[:, start:stop].T
        return columns
