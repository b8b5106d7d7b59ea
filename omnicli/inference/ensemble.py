"""From the logits of a teacher's views to its scores, and from the scores of several teachers to their vote."""

from collections.abc import Sequence

import numpy as np

from omnicli.errors import ModelError
from omnicli.models.loading import LoadedModel
from omnicli.streams.record import Record


def mean_scores(outputs: Sequence[np.ndarray], teachers: Sequence[LoadedModel], record: Record) -> np.ndarray:
    """The teachers' vote (Sec. 3.4): the mean of their scores.

    Args:
        outputs: of each teacher, the logits (V, K) of its views.
        teachers: in the same order.
        record: what was looked at.

    Returns:
        (K,) float64.

    Raises:
        ModelError: it is not finite.
    """
    each = [teacher_scores(logits, teacher) for logits, teacher in zip(outputs, teachers, strict=True)]
    return _vote(each, teachers, record)


def moment_scores(outputs: Sequence[np.ndarray], teachers: Sequence[LoadedModel], record: Record) -> np.ndarray:
    """(M, K) scores of the moments of one chunk: each frame by itself, or all clips of the one piece together."""
    each = [
        _scores_of(logits.astype(np.float64) / teacher.temperature, teacher)
        if teacher.model.is_2d
        else teacher_scores(logits, teacher)[None]
        for logits, teacher in zip(outputs, teachers, strict=True)
    ]
    return _vote(each, teachers, record)


def teacher_scores(logits: np.ndarray, teacher: LoadedModel) -> np.ndarray:
    """Scores (K,) float64 of one teacher from the logits (V, K) of its views, at its temperature.

    2D: logits are averaged over views, then the softmax; 3D: softmax of each view, then the mean (CHECKPOINTS 4).
    A model of several labels has a sigmoid for each class instead, and its scores do not sum to 1.
    """
    wide = logits.astype(np.float64) / teacher.temperature
    if teacher.model.average_views == "logits":
        return _scores_of(wide.mean(axis=0), teacher)
    return _scores_of(wide, teacher).mean(axis=0)  # type: ignore[no-any-return]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Scores in (0, 1), each class for itself; same shape."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Scores that sum to 1 along the last axis; same shape."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)  # type: ignore[no-any-return]


def align_classes(teachers: Sequence[LoadedModel]) -> tuple[str, ...]:
    """The classes of all teachers.

    Raises:
        ModelError: two teachers do not share the same class names in the same order.
    """
    first = teachers[0]
    for other in teachers[1:]:
        if other.classes != first.classes:
            pairs = zip(first.classes, other.classes, strict=False)
            index = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first.classes), len(other.classes)))
            ours, theirs = ((*classes, "nothing")[index] for classes in (first.classes, other.classes))
            raise ModelError(f"{other.name}: class {index} is {theirs!r}, but {ours!r} in {first.name}")
    return first.classes


def _scores_of(logits: np.ndarray, teacher: LoadedModel) -> np.ndarray:
    return sigmoid(logits) if teacher.spec.multi_label else softmax(logits)


def _vote(each: Sequence[np.ndarray], teachers: Sequence[LoadedModel], record: Record) -> np.ndarray:
    """The mean over teachers. Raises ModelError where it is not finite."""
    scores: np.ndarray = np.mean(each, axis=0)
    if not np.isfinite(scores).all():
        raise ModelError(f"{teachers[0].name}: the scores of {record.where} are not finite; is the checkpoint damaged?")
    return scores
