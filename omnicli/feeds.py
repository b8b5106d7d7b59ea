"""What M is fed in training and how it is measured: augmented clips, or the features of a frozen trunk, kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from omnicli.cores import available_cores
from omnicli.data.dataset import Augmentation, read_training_clip
from omnicli.data.loaders import Batch, Example, epoch_order, feature_batches, iterate_batches
from omnicli.data.transforms import normalise
from omnicli.engine.calibration import fit_temperature
from omnicli.engine.metrics import classification_metrics
from omnicli.errors import Interrupted
from omnicli.models.teacher import Teacher
from omnicli.scoring import forward_of, predict_records
from omnicli.streams.records import OnDrop, Record
from omnicli.viewing import ViewOptions, read_views

NUM_FROZEN_VIEWS = 10
MAX_CACHED_BYTES = 2 << 30
READ_FRAMES = 32  # in one forward pass without gradients

Features = tuple[Tensor, list[tuple[Example, str]]]  # (M, D); whose media are unreadable, and why


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and how a training runs; nothing in it changes what is learnt, apart from rounding.

    Attributes:
        device: of the model.
        precision: dtype of the forward pass; weights stay float32.
        workers: threads that read and decode.
        root: folder that relative paths start from.
        should_stop: asked after every step and while media are read.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: torch.dtype = torch.float32
    workers: int = field(default_factory=available_cores)
    root: str | None = None
    should_stop: Callable[[], bool] = lambda: False

    def autocast(self) -> torch.autocast:
        """The forward pass in ``precision``."""
        return torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision != torch.float32)


class ClipFeed:
    """Batches of augmented clips, and M's logits of them."""

    def __init__(
        self,
        teacher: Teacher,
        examples: Sequence[Example],
        look: Augmentation,
        batch_size: int,
        setting: Setting,
    ) -> None:
        self.teacher = teacher
        self.examples = examples
        self.look = look
        self.batch_size = batch_size
        self.setting = setting
        self._passes: dict[int, Features] = {}  # by view; a frozen trunk's

    def batches(self, bad: Mapping[str, str], epoch: int, first_step: int) -> Iterator[Batch]:
        """The batches of an epoch from ``first_step`` on."""
        return iterate_batches(
            self.examples,
            self._order(epoch),
            read=partial(read_training_clip, look=self.look, epoch=epoch),
            batch_size=self.batch_size,
            workers=self.setting.workers,
            is_bad=lambda example: str(example.record.get("id")) in bad,
            first_step=first_step,
        )

    def inputs(self, batch: Batch) -> Tensor:
        """What can be mixed: clips (N, C, S, H, W), normalised."""
        spec = self.teacher.spec
        return normalise(batch.clips, mean=spec.mean, std=spec.std, device=self.setting.device)

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, K) float32 of ``inputs``."""
        with self.setting.autocast():
            return self.teacher.model(inputs)  # type: ignore[no-any-return]

    def _order(self, epoch: int) -> np.ndarray:
        return epoch_order(len(self.examples), seed=self.look.seed, stage=self.look.stage, epoch=epoch)


class FrozenFeed(ClipFeed):
    """Batches of the frozen trunk's features: each of ten augmented views of a clip is computed once."""

    def batches(self, bad: Mapping[str, str], epoch: int, first_step: int) -> Iterator[Batch]:
        """The batches of an epoch from ``first_step`` on; unreadable clips come with the first of them."""
        features, unreadable = self._features(epoch % NUM_FROZEN_VIEWS)
        fresh = tuple((example, why) for example, why in unreadable if str(example.record.get("id")) not in bad)
        yield from feature_batches(
            features,
            self.examples,
            self._order(epoch),
            batch_size=self.batch_size,
            is_bad=lambda example: str(example.record.get("id")) in bad,
            first_step=first_step,
            bad=fresh,
        )

    def inputs(self, batch: Batch) -> Tensor:
        """What can be mixed: features (N, D)."""
        return batch.clips.to(self.setting.device)

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, K) float32 of ``inputs``."""
        return self.teacher.model.classify(inputs)

    def _features(self, view: int) -> Features:
        """Features (M, D) of one view of every clip, in fixed order, and whose media are unreadable."""
        if view not in self._passes:
            if self._passes and sum(made.nbytes for made, _ in self._passes.values()) >= MAX_CACHED_BYTES:
                self._passes.clear()
            self._passes[view] = trunk_features(
                self.teacher, self.examples, partial(self._view, epoch=view), self.setting
            )
        return self._passes[view]

    def _view(self, record: Record, epoch: int) -> np.ndarray:
        """One training clip as views (V, T, H, W, 3): each frame alone, or all of them together."""
        clip = read_training_clip(record, self.look, epoch=epoch)  # (S, H, W, 3)
        return clip[:, None] if self.teacher.model.is_framewise else clip[None]


class Judge:
    """Measures M on labelled records as ``eval --num-clips 1`` would: middle frames, centre crop."""

    def __init__(self, teacher: Teacher, examples: Sequence[Example], setting: Setting, on_drop: OnDrop) -> None:
        self._teacher = teacher
        self._examples = list(examples)
        self._setting = setting
        self._on_drop = on_drop
        self._features: Features | None = None

    def metrics(self) -> dict[str, float]:
        """``top1_acc``, ``top5_acc`` and ``mean_class_acc``; nothing without a record."""
        logits, labels = self._logits()
        return classification_metrics(logits, labels) if len(labels) else {}

    def temperature(self) -> float | None:
        """What makes M's scores honest on these records."""
        logits, labels = self._logits()
        return fit_temperature(logits, labels) if len(labels) else None

    def _logits(self) -> tuple[np.ndarray, np.ndarray]:
        """(M, K) and (M,) of what is readable; the classified mean of features is the mean of logits."""
        model = self._teacher.model
        if self._features is None or model.frozen != "backbone":
            self._features = trunk_features(self._teacher, self._examples, self._read, self._setting)
            self._forget_unreadable()
        features, _ = self._features
        model.eval()
        with torch.inference_mode():
            logits = model.classify(features.to(self._setting.device)).cpu().numpy()
        return logits, np.array([example.label for example in self._examples], dtype=np.int64)

    def _read(self, record: Record) -> np.ndarray:
        views = ViewOptions(num_clips=1, root=self._setting.root)
        return read_views(record, teachers=[self._teacher], views=views)[0]

    def _forget_unreadable(self) -> None:
        features, unreadable = self._features or (torch.empty(0), [])
        for example, why in unreadable:
            self._on_drop(example.record, f"unreadable: {why}")
        gone = {id(example) for example, _ in unreadable}
        kept = [row for row, example in enumerate(self._examples) if id(example) not in gone]
        self._examples = [self._examples[row] for row in kept]
        self._features = (features[kept], [])


def frames_of_a_view(teacher: Teacher) -> int:
    """Frames that M looks at together: 1 for TSN, the segments of a TSM, the frames of a clip for a 3D model."""
    if teacher.model.is_framewise:
        return 1
    return teacher.spec.num_segments * teacher.spec.num_frames


def trunk_features(
    teacher: Teacher, examples: Sequence[Example], read: Callable[[Record], np.ndarray], setting: Setting
) -> Features:
    """Features averaged over the views that ``read`` gives, (V, T, H, W, 3) uint8; in order, without gradients.

    Batches have one size, so that a row depends on nothing but its clip; rows of unreadable media are 0.
    """
    places = [Record(example.record, position=row) for row, example in enumerate(examples)]
    unreadable: list[tuple[Example, str]] = []
    features: dict[int, Tensor] = {}
    was_training = teacher.model.training
    teacher.model.eval()
    with setting.autocast():
        for record, outputs in predict_records(
            places,
            read=lambda record: [read(record)],
            forwards=[forward_of(teacher.model.features, teacher)],
            batch_size=max(1, READ_FRAMES // frames_of_a_view(teacher)),
            workers=setting.workers,
            on_drop=lambda record, why: unreadable.append((examples[record.position], why.partition(": ")[2])),
        ):
            if setting.should_stop():
                raise Interrupted("stopped while reading; run the same command again to go on")
            features[record.position] = torch.from_numpy((outputs or [])[0]).mean(dim=0)
    teacher.model.train(was_training)  # views are computed while an epoch runs, and its dropout must go on
    width = teacher.model.fc.in_features
    gap = torch.zeros(width)
    rows = [features.get(row, gap) for row in range(len(examples))]
    return (torch.stack(rows) if rows else torch.empty(0, width)), unreadable
