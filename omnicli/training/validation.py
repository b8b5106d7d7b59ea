"""Measuring a model on labelled records while it is trained."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from omnicli.data.dataloader import Example
from omnicli.data.training_clips import read_feature
from omnicli.errors import Interrupted, MediaError
from omnicli.inference.metrics import classification_metrics, mean_average_precision
from omnicli.inference.predictor import forward_of, predict_records
from omnicli.inference.views import ViewOptions, read_views
from omnicli.models.loading import LoadedModel
from omnicli.reasons import unreadable
from omnicli.streams.record import OnDrop, Record
from omnicli.training.context import TrainingContext
from omnicli.training.loop import TrainingDiverged
from omnicli.training.temperature import fit_temperature

READ_FRAMES = 32  # in one forward pass without gradients


Features = tuple[Tensor, dict[int, str]]  # (M, D); rows whose media are unreadable, and why


class Validator:
    """Measures M on labelled records as ``eval --num-clips 1`` would: middle frames, centre crop.

    Ranks share the records between them.
    """

    def __init__(
        self, teacher: LoadedModel, examples: Sequence[Example], setting: TrainingContext, on_drop: OnDrop
    ) -> None:
        self._teacher = teacher
        self._examples = list(examples)[setting.world.rank :: setting.world.size]
        self._setting = setting
        self._on_drop = on_drop
        self._features: Features | None = None

    def metrics(self, *, multi_label: bool = False) -> dict[str, float]:
        """``top1_acc``, ``top5_acc`` and ``mean_class_acc``, or ``mean_ap``; nothing without a record."""
        logits, labels = self._logits()
        if not len(labels):
            return {}
        if multi_label:
            return {"mean_ap": mean_average_precision(logits, labels)}
        return classification_metrics(logits, labels.argmax(axis=1))

    def temperature(self) -> float | None:
        """What makes M's scores honest on these records."""
        logits, labels = self._logits()
        return fit_temperature(logits, labels.argmax(axis=1)) if len(labels) else None

    def _logits(self) -> tuple[np.ndarray, np.ndarray]:
        """(M, K) logits and (M, K) labels, 1 where true, of what is readable, from all ranks.

        The classified mean of features is the mean of logits. Raises TrainingDiverged: they are not finite.
        """
        model = self._teacher.network
        if self._features is None or model.frozen != "backbone":
            self._features = backbone_features(self._teacher, self._examples, self._read, self._setting)
            self._forget_unreadable()
        features, _ = self._features
        model.eval()
        with torch.inference_mode():
            logits = model.classify(features.to(self._setting.device)).cpu().numpy()
        labels = np.zeros(logits.shape, np.int64)
        for row, example in enumerate(self._examples):
            labels[row, [example.label, *example.others]] = 1
        everyone = self._setting.world.gather((logits, labels))
        logits, labels = (np.concatenate(parts) for parts in zip(*everyone, strict=True))
        if not np.isfinite(logits).all():
            raise TrainingDiverged("scores of held-out records are not finite after this epoch; try a smaller --lr")
        return logits, labels

    def _read(self, record: Record) -> np.ndarray:
        views = ViewOptions(num_clips=1, root=self._setting.root)
        return read_views(record, models=[self._teacher], views=views)[0]

    def _forget_unreadable(self) -> None:
        features, failed = self._features or (torch.empty(0), {})
        gone = [(self._examples[row].record, why) for row, why in failed.items()]
        for record, why in self._setting.world.gather_rare(gone):
            self._on_drop(record, unreadable(why))
        kept = [row for row in range(len(self._examples)) if row not in failed]
        self._examples = [self._examples[row] for row in kept]
        self._features = (features[kept], {})


def num_frames_per_view(teacher: LoadedModel) -> int:
    """Frames that M looks at together: 1 for TSN, the segments of a TSM, the frames of a clip for a 3D model."""
    if teacher.network.is_framewise:
        return 1
    return teacher.spec.num_segments * teacher.spec.num_frames


def backbone_features(
    teacher: LoadedModel, examples: Sequence[Example], read: Callable[[Record], np.ndarray], setting: TrainingContext,
    read_row: Callable[..., np.ndarray] = read_feature,
) -> Features:  # fmt: skip
    """Features averaged over the views that ``read`` gives, (V, T, H, W, 3) uint8; in order, without gradients.

    Batches have one size, so that a row depends on nothing but its clip; rows of unreadable media are 0. ``read_row``
    takes what a shard holds ready.
    """
    unreadable: dict[int, str] = {}
    features: dict[int, Tensor] = {}
    places: list[Record] = []
    for row, example in enumerate(examples):
        if example.record.get("media") != "features":
            places.append(Record(example.record, position=row))
            continue
        try:
            features[row] = torch.from_numpy(read_row(example.record, teacher.network.fc.in_features, setting.root))
        except MediaError as error:
            unreadable[row] = str(error)
    was_training = teacher.network.training
    teacher.network.eval()
    with setting.autocast():
        for record, outputs in predict_records(
            places,
            read=lambda record: [read(record)],
            forwards=[forward_of(teacher.network.features, teacher)],
            batch_size=max(1, READ_FRAMES // num_frames_per_view(teacher)),
            workers=setting.workers,
            on_drop=lambda record, why: unreadable.update({record.position: why.partition(": ")[2]}),
        ):
            if setting.should_stop():
                raise Interrupted("stopped while reading; run the same command again to go on")
            features[record.position] = torch.from_numpy((outputs or [])[0]).mean(dim=0)
    teacher.network.train(was_training)  # views are computed while an epoch runs, and its dropout must go on
    gap = torch.zeros(teacher.network.fc.in_features)
    rows = [features.get(row, gap) for row in range(len(examples))]
    return torch.stack(rows) if rows else gap.new_empty(0, len(gap)), unreadable
