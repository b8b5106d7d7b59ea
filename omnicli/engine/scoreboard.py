"""What one model got right: every metric of Sec. 5, from the scores of one record at a time."""

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import numpy as np

from omnicli.engine.confusion import class_accs
from omnicli.engine.metrics import mean_average_precision, top_k_acc
from omnicli.errors import OutputError

CLASSES_AT_ONCE = 64  # columns of scores in memory


class Scoreboard:
    """The judge of one model on one stream. Scores wait in TMPDIR, 4 bytes each, since mAP ranks all records.

    Memory: 400 bytes a record while mAP is computed, and less before; none goes by the number of classes.

    Attributes:
        num_records: judged so far.
        is_multi_label: True once a record had several classes: such a stream is judged by mAP alone (IG-65M, Sec. 3.3).
        counts: records of class i recognised as j, of those with one class.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_records = 0
        self.is_multi_label = False
        self.counts: Counter[tuple[int, int]] = Counter()
        self._num_classes = num_classes
        self._num_right = {1: 0, 5: 0}
        self._members: dict[int, list[int]] = {}  # class → its records
        # No name: it is gone when the process is, however it ends.
        self._scores = tempfile.TemporaryFile(prefix="omni-scores-")  # noqa: SIM115 (lives as long as the object)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # what could not be written is not needed any more
            self._scores.close()

    def add(self, scores: np.ndarray, labels: Sequence[int]) -> bool:
        """Judge one record: scores (K,) float32 and its classes; True if the first choice is its only class."""
        with _full_disk():
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
        self.counts[label, int(scores.argmax())] += 1
        return right[1]

    def metrics(self) -> dict[str, float]:
        """``mean_ap``, and with one class a record ``top1_acc``, ``top5_acc`` and ``mean_class_acc``.

        Ours: with several classes a record only mAP, which the paper reports; what a first choice is worth is then
        anyone's guess.
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
        with _full_disk():
            self._scores.flush()
        table = np.memmap(self._scores, np.float32, "r", shape=(self.num_records, self._num_classes))
        for start in range(0, self._num_classes, CLASSES_AT_ONCE):
            columns = np.array(table[:, start : start + CLASSES_AT_ONCE].T, order="C")  # (64, N)
            for label, column in enumerate(columns, start):
                if label in self._members:
                    is_there = np.zeros(len(column), bool)
                    is_there[self._members[label]] = True
                    yield mean_average_precision(column[:, None], is_there[:, None])


@contextlib.contextmanager
def _full_disk() -> Iterator[None]:
    """Errors of writing as OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{tempfile.gettempdir()}: cannot put scores aside: {error.strerror}; TMPDIR may name another folder"
        ) from None
