"""How strong a teacher is, as its checkpoint remembers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnicli.models.checkpoint import Checkpoint, load_any
from omnicli.models.model_files import is_model_folder, local_path

FEW_CLIPS = 50  # Ours: a teacher that learnt from fewer per class is weak (docs/studies)


@dataclass(frozen=True)
class Strength:
    """What a training found out about its model.

    Attributes:
        clips_per_class: labelled clips, median over the classes; 0 for a teacher of omni zero-shot.
        cross_val_acc: top-1 accuracy on labelled clips by classifiers that were trained without them; None if it was
            not measured.
        val_acc: top-1 accuracy on the validation records; None without them.
        is_student: it learnt from web data, too.
    """

    clips_per_class: float
    cross_val_acc: float | None = None
    val_acc: float | None = None
    is_student: bool = False

    @property
    def is_weak(self) -> bool:
        """True if the teacher learnt from few labelled clips."""
        return self.clips_per_class < FEW_CLIPS

    @property
    def accuracy(self) -> float | None:
        """The share of clips it recognises that it was not trained on; cross-validation comes first.

        None for a student: it has learnt the queries of the web data, so that it agrees with them proves nothing.
        """
        if self.is_student:
            return None
        return self.val_acc if self.cross_val_acc is None else self.cross_val_acc

    def describe(self) -> str:
        """For a line of text.

        >>> Strength(2, cross_val_acc=0.8333).describe()
        'learnt from 2 labelled clips per class, recognises 83 % of them if they are left out (cross-validation)'
        >>> Strength(0).describe()
        'knows the names of the classes, and learnt from no labelled clips'
        """
        if self.clips_per_class == 0:
            return "knows the names of the classes, and learnt from no labelled clips"
        learnt = f"learnt from {self.clips_per_class:g} labelled clip{'s' * (self.clips_per_class != 1)} per class"
        if self.is_student:
            return f"{learnt} and from web data"
        if self.accuracy is None:
            return learnt
        clips = "validation clips" if self.cross_val_acc is None else "them if they are left out (cross-validation)"
        return f"{learnt}, recognises {self.accuracy:.0%} of {clips}".replace("%", " %")

    def to_meta(self) -> dict[str, float | bool | None]:
        """As JSON; the validation accuracy is among the metrics."""
        return {
            "clips_per_class": self.clips_per_class,
            "cross_val_acc": self.cross_val_acc,
            "is_student": self.is_student,
        }


def read_strength(paths: Sequence[str | Path]) -> Strength | None:
    """The strength of an ensemble: the most clips and the mean accuracies; None if that of one model is unknown.

    Checkpoints of other programs and of earlier versions say nothing of it.

    Raises:
        ModelError: a file cannot be read.
    """
    found = [_strength_of(load_any(path)) for path in map(local_path, paths) if not is_model_folder(path)]
    known = [strength for strength in found if strength is not None]
    if not known or len(known) < len(paths):
        return None
    return Strength(
        max(strength.clips_per_class for strength in known),
        _mean([strength.cross_val_acc for strength in known]),
        _mean([strength.val_acc for strength in known]),
        any(strength.is_student for strength in known),
    )


def _strength_of(file: object) -> Strength | None:
    if not isinstance(file, Checkpoint):
        return None
    stored, metrics = file.meta.get("strength"), file.meta.get("metrics")
    clips = _number(stored, "clips_per_class")
    if clips is None or not isinstance(stored, Mapping):
        return None
    return Strength(
        clips, _number(stored, "cross_val_acc"), _number(metrics, "val_top1_acc"), stored.get("is_student") is True
    )


def _number(fields: Any, name: str) -> float | None:
    value = fields.get(name) if isinstance(fields, Mapping) else None
    return float(value) if isinstance(value, int | float) and value >= 0 else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
