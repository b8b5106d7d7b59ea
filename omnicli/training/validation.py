"""Metrics and temperature of a model in training, on labelled records."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omnicli.data.dataloader import Example
from omnicli.data.example_table import take
from omnicli.data.training_clips import read_feature
from omnicli.errors import Interrupted, MediaError
from omnicli.inference.metrics import classification_metrics, mean_average_precision
from omnicli.inference.predictor import forward_of, predict_records
from omnicli.inference.view_names import SeenViews
from omnicli.inference.views import ViewOptions, read_views
from omnicli.models.loading import LoadedModel, inference_copy
from omnicli.reasons import UNREADABLE, unreadable
from omnicli.streams.reading import reading
from omnicli.streams.record import OnDrop, Record
from omnicli.training.context import TrainingContext
from omnicli.training.loop import TrainingDiverged
from omnicli.training.temperature import fit_temperature

READ_FRAMES = 32  # per forward pass without gradients

Features = tuple[Tensor, dict[int, str]]  # (M, D); rows whose media are unreadable, and why
ReadRow = Callable[[Record, int, str | None], np.ndarray]  # record, number of features, root → (D,) float32


class Validator:
    """Measures a model on labelled records as ``eval --num-clips 1`` does: middle frames, centre crop, same precision.

    The backbone runs as in a loaded checkpoint, so that eval gives the same numbers. The processes of a training share
    the records.
    """

    def __init__(
        self, model: LoadedModel, examples: Sequence[Example], context: TrainingContext, on_drop: OnDrop
    ) -> None:
        self._model = model
        self._examples = examples[context.world.rank :: context.world.size]
        self._context = context
        self._on_drop = on_drop
        self._features: Tensor | None = None
        self._views = ViewOptions(num_clips=1, root=context.root)

    def metrics(self, *, multi_label: bool = False) -> dict[str, Any]:
        """``top1_acc``, ``top5_acc``, ``mean_class_acc`` or ``mean_ap``, and their ``view``; empty without a record."""
        logits, labels, first = self._logits()
        if not len(labels):
            return {}
        if multi_label:
            return {"mean_ap": mean_average_precision(logits, labels), "view": self._view()}
        return {**classification_metrics(logits, first), "view": self._view()}

    def temperature(self) -> float | None:
        """The temperature that calibrates the scores on these records; None without a record."""
        logits, _, first = self._logits()
        return fit_temperature(logits, first) if len(first) else None

    def _logits(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits and labels of the readable records of all processes.

        Ours: the class of a record with several queries is that of the first one, whatever the order of the classes.
        The classifier is linear, so the logits of mean features are the mean logits.

        Returns:
            (M, K) logits; (M, K) labels, 1 where true; (M,) the first label of each.

        Raises:
            TrainingDiverged: the logits are not finite.
        """
        model = self._model.network
        if self._features is None or model.frozen != "backbone":
            self._features = self._readable_features()
        model.eval()
        with torch.inference_mode():
            logits = model.classify(self._features.to(self._context.device)).cpu().numpy()
        labels = np.zeros(logits.shape, np.int64)
        for row, example in enumerate(self._examples):
            labels[row, [example.label, *example.others]] = 1
        first = np.array([example.label for example in self._examples], np.int64)
        gathered = self._context.world.gather((logits, labels, first))
        logits, labels, first = (np.concatenate(parts) for parts in zip(*gathered, strict=True))
        if not np.isfinite(logits).all():
            raise TrainingDiverged("scores of held-out records are not finite after this epoch; try a smaller --lr")
        return logits, labels, first

    def _readable_features(self) -> Tensor:
        """(M, D); unreadable records are dropped, here and from then on."""
        model = inference_copy(self._model, self._context.precision)
        features, failed = backbone_features(model, self._examples, self._read, self._context)
        dropped = [(self._examples[row].record, why) for row, why in failed.items()]
        for record, why in self._context.world.gather_rare(dropped):
            self._on_drop(record, unreadable(why))
        kept = [row for row in range(len(self._examples)) if row not in failed]
        self._examples = take(self._examples, kept)
        return features[kept]

    def _view(self) -> str:
        """What the model is shown, in a few words."""
        seen = SeenViews(replace(self._model, precision=self._context.precision), self._views)
        for example in self._examples:
            seen.note(example.record)
        return str(seen)

    def _read(self, record: Record) -> np.ndarray:
        return read_views(record, models=[self._model], views=self._views)[0]


def num_frames_per_view(model: LoadedModel) -> int:
    """Frames of one input: 1 for TSN (flow: the pairs), the segments of a TSM, the frames of a clip for a 3D model."""
    if model.network.is_framewise:
        return max(model.spec.flow_pairs, 1)
    return model.spec.num_segments * model.spec.num_frames


def backbone_features(
    model: LoadedModel,
    examples: Sequence[Example],
    read: Callable[[Record], np.ndarray],
    context: TrainingContext,
    read_row: ReadRow = read_feature,
    positions: Sequence[int] | None = None,
) -> Features:
    """Features averaged over the views of each example, in order, without gradients.

    Batches have a fixed size, so that a row depends on nothing but its clip.

    Args:
        model: its mode stays as it is.
        examples: M of them.
        read: gives the views of a record, (V, T, H, W, 3) uint8.
        context: where the training runs.
        read_row: reads the features of a record of a feature shard.
        positions: by which the examples are noted while they are read (``saved_state.noting_in_flight``); default
            their rows, by which none is known again.

    Returns:
        (M, D) float32, 0 where media are unreadable; the rows whose media are unreadable, and why.
    """
    unreadable_rows: dict[int, str] = {}
    features: dict[int, Tensor] = {}
    to_compute: list[Record] = []
    num_features = model.network.fc.in_features
    numbers = range(len(examples)) if positions is None else positions
    row_of = {number: row for row, number in enumerate(numbers)}
    for row, example in enumerate(examples):
        if example.record.get("media") != "features":
            to_compute.append(Record(example.record, position=numbers[row]))
            continue
        try:
            with reading(example.record, numbers[row]):
                features[row] = torch.from_numpy(read_row(example.record, num_features, context.root))
        except MediaError as error:
            unreadable_rows[row] = str(error)
    was_training = model.network.training
    model.network.eval()
    with context.autocast() if model.precision == torch.float32 else contextlib.nullcontext():
        for record, outputs in predict_records(
            to_compute,
            read=lambda record: [read(record)],
            forwards=[forward_of(model.network.features, model)],
            batch_size=max(1, READ_FRAMES // num_frames_per_view(model)),
            workers=context.workers,
            on_drop=lambda record, why: unreadable_rows.update(
                {row_of[record.position]: why.removeprefix(f"{UNREADABLE}: ")}
            ),
        ):
            if context.should_stop():
                raise Interrupted("stopped while reading; run the same command again to go on")
            features[row_of[record.position]] = torch.from_numpy((outputs or [])[0]).mean(dim=0)
    model.network.train(was_training)  # views are computed inside an epoch, whose dropout must go on
    gap = torch.zeros(num_features)
    rows = [features.get(row, gap) for row in range(len(examples))]
    return torch.stack(rows) if rows else gap.new_empty(0, len(gap)), unreadable_rows
