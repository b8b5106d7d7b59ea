"""What a model is fed in training and how it is measured: augmented clips, or the features of a frozen trunk, kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from omnicli.cpus import available_cores
from omnicli.data.dataloader import Batch, Example, Key, Place, StepBatch, feature_batches, read_batches
from omnicli.data.training_clips import Augmentation, read_feature, read_training_clip
from omnicli.data.transforms import normalise
from omnicli.errors import Interrupted, MediaError
from omnicli.inference.metrics import classification_metrics, mean_average_precision
from omnicli.inference.scorer import forward_of, predict_records
from omnicli.inference.views import ViewOptions, read_views
from omnicli.media.parallel import Lull, map_ahead
from omnicli.models.loading import Teacher
from omnicli.rng import keyed_rng
from omnicli.streams.record import OnDrop, Record
from omnicli.training.batch_sampler import Plan, Portion
from omnicli.training.distributed import World
from omnicli.training.loop import TrainingDiverged
from omnicli.training.temperature import fit_temperature

NUM_FROZEN_VIEWS = 10
MAX_CACHED_BYTES = 2 << 30
STEPS_AHEAD = 2
READ_FRAMES = 32  # in one forward pass without gradients

Features = tuple[Tensor, dict[int, str]]  # (M, D); rows whose media are unreadable, and why


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and how a training runs; nothing in it changes what is learnt, apart from rounding.

    Attributes:
        device: of the model.
        precision: dtype of the forward pass; weights stay float32.
        workers: threads that read and decode.
        root: folder that relative paths start from.
        should_stop: asked after every step and while media are read.
        world: the processes that train together.
        compile: translate the model with torch.compile first.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: torch.dtype = torch.float32
    workers: int = field(default_factory=available_cores)
    root: str | None = None
    should_stop: Callable[[], bool] = lambda: False
    world: World = field(default_factory=World)
    compile: bool = False

    def autocast(self) -> torch.autocast:
        """The forward pass in ``precision``."""
        return torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision != torch.float32)


class ClipFeed:
    """Batches of augmented clips of every source, and M's logits of them."""

    def __init__(self, teacher: Teacher, plan: Plan, look: Augmentation, setting: Setting) -> None:
        self.teacher = teacher
        self.plan = plan
        self.look = look
        self.setting = setting

    def batches(self, bad: Mapping[Key, str], epoch: int, first_step: int) -> Iterator[StepBatch]:
        """What each step of an epoch learns from, from ``first_step`` on; ``bad`` may grow meanwhile."""
        steps = self.plan.steps(epoch)[first_step:]
        read = partial(read_training_clip, look=self.look, epoch=epoch)
        parts = read_batches(
            [self._places(portion, epoch) for step in steps for portion in step],
            read=lambda record, draw: read(record, draw=draw),
            workers=self.setting.workers,
            is_bad=lambda place: place.key in bad,
        )
        ready = (StepBatch(tuple(self._named(next(parts), portion) for portion in step)) for step in steps)
        for item in map_ahead(self._pinned, ready, workers=1, ahead=STEPS_AHEAD):  # stacked while the model works
            if not isinstance(item, Lull):
                yield item

    def inputs(self, batch: Batch) -> Tensor:
        """What can be mixed: clips (N, C, S, H, W), normalised."""
        spec = self.teacher.spec
        return normalise(batch.clips, mean=spec.mean, std=spec.std, device=self.setting.device)

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, K) float32 of ``inputs``."""
        with self.setting.autocast():
            return self.teacher.model(inputs)  # type: ignore[no-any-return]

    def _places(self, portion: Portion, epoch: int) -> list[Place]:
        examples = self.plan.sources[portion.source].examples
        return [
            Place(self._taught(examples[row], epoch, draw), draw, (portion.source, row))
            for row, draw in zip(portion.rows.tolist(), portion.draws.tolist(), strict=True)
        ]

    def _taught(self, example: Example, epoch: int, draw: int) -> Example:
        """With one of its classes, where it has several queries: drawn anew every time (IG-65M Sec. 3.3)."""
        if not example.others or self.plan.multi_label:
            return example
        rng = keyed_rng(self.look.seed, f"{self.look.stage} query", example.id, epoch, draw)
        return replace(example, label=int(rng.choice([example.label, *example.others])), others=())

    def _pinned(self, step: StepBatch) -> StepBatch:
        """Where a GPU can fetch it by itself."""
        if self.setting.device.type != "cuda":
            return step
        return StepBatch(tuple(replace(part, clips=part.clips.pin_memory()) for part in step.parts))

    def _named(self, batch: Batch, portion: Portion) -> Batch:
        return replace(batch, source=self.plan.sources[portion.source].name)


class FrozenFeed(ClipFeed):
    """Batches of the frozen trunk's features: each of ten augmented views of a clip is computed once."""

    def __init__(self, teacher: Teacher, plan: Plan, look: Augmentation, setting: Setting) -> None:
        super().__init__(teacher, plan, look, setting)
        self._kept: dict[tuple[int, int], dict[int, Tensor]] = {}  # (source, view) → row → (D,)
        self._unreadable: dict[Key, tuple[Place, str]] = {}

    def batches(self, bad: Mapping[Key, str], epoch: int, first_step: int) -> Iterator[StepBatch]:
        """What each step learns from, from ``first_step`` on; unreadable clips come with the first of them."""
        steps = self.plan.steps(epoch)
        batches_of = [
            self._source_batches(number, [p for step in steps for p in step if p.source == number], bad, epoch)
            for number in range(len(self.plan.sources))
        ]
        fresh = tuple(found for key, found in self._unreadable.items() if key not in bad)
        for place, step in enumerate(steps):
            parts = [self._named(next(batches_of[portion.source]), portion) for portion in step]
            if place == first_step:
                parts[0] = replace(parts[0], bad=fresh)
            if place >= first_step:
                yield StepBatch(tuple(parts))

    def inputs(self, batch: Batch) -> Tensor:
        """What can be mixed: features (N, D)."""
        return batch.clips.to(self.setting.device)

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, K) float32 of ``inputs``."""
        return self.teacher.model.classify(inputs)

    def _source_batches(
        self, number: int, portions: Sequence[Portion], bad: Mapping[Key, str], epoch: int
    ) -> Iterator[Batch]:
        """All batches of one source in an epoch; a second draw of a clip takes another view."""
        rows = np.concatenate([np.empty(0, np.int64), *(portion.rows for portion in portions)])
        draws = np.concatenate([np.empty(0, np.int64), *(portion.draws for portion in portions)])
        pairs, where = np.unique(
            np.stack([(epoch + draws) % NUM_FROZEN_VIEWS, rows]), axis=1, return_inverse=True
        )  # by view, then by row
        views = np.unique(pairs[0]).tolist()
        made = [self._features(number, view, pairs[1][pairs[0] == view].tolist()) for view in views]
        features = torch.cat(made) if made else torch.empty(0, self.teacher.model.fc.in_features)
        ends = np.cumsum([len(portion.rows) for portion in portions])
        spans = np.split(where.reshape(-1), ends[:-1]) if portions else []
        return feature_batches(
            features,
            [(span, self._places(portion, epoch)) for span, portion in zip(spans, portions, strict=True)],
            is_bad=lambda place: place.key in bad or place.key in self._unreadable,
        )

    def _features(self, number: int, view: int, rows: Sequence[int]) -> Tensor:
        """Features (len(rows), D) of one view of these examples; those of unreadable media are 0."""
        if sum(row.nbytes for kept in self._kept.values() for row in kept.values()) >= MAX_CACHED_BYTES:
            self._kept.clear()
        kept = self._kept.setdefault((number, view), {})
        missing = [row for row in rows if row not in kept]
        examples = [self.plan.sources[number].examples[row] for row in missing]
        read, read_row = partial(self._view, epoch=view), partial(read_feature, look=self.look, epoch=view)
        features, unreadable = trunk_features(self.teacher, examples, read, self.setting, read_row)
        kept |= dict(zip(missing, features, strict=True))
        for row, why in unreadable.items():
            key = (number, missing[row])
            self._unreadable[key] = (Place(examples[row], 0, key), why)
        return torch.stack([kept[row] for row in rows])

    def _view(self, record: Record, epoch: int) -> np.ndarray:
        """One training clip as views (V, T, H, W, 3): each frame alone, or all of them together."""
        clip = read_training_clip(record, look=self.look, epoch=epoch, draw=0)  # (S, H, W, 3)
        if not self.teacher.model.is_framewise:
            return clip[None]
        is_still = (clip == clip[:1]).all()  # a picture, repeated: one look is enough
        return (clip[:1] if is_still else clip)[:, None]


class Judge:
    """Measures M on labelled records as ``eval --num-clips 1`` would: middle frames, centre crop.

    Ranks share the records between them.
    """

    def __init__(self, teacher: Teacher, examples: Sequence[Example], setting: Setting, on_drop: OnDrop) -> None:
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
        model = self._teacher.model
        if self._features is None or model.frozen != "backbone":
            self._features = trunk_features(self._teacher, self._examples, self._read, self._setting)
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
        return read_views(record, teachers=[self._teacher], views=views)[0]

    def _forget_unreadable(self) -> None:
        features, unreadable = self._features or (torch.empty(0), {})
        gone = [(self._examples[row].record, why) for row, why in unreadable.items()]
        for record, why in self._setting.world.gather_rare(gone):
            self._on_drop(record, f"unreadable: {why}")
        kept = [row for row in range(len(self._examples)) if row not in unreadable]
        self._examples = [self._examples[row] for row in kept]
        self._features = (features[kept], {})


def frames_of_a_view(teacher: Teacher) -> int:
    """Frames that M looks at together: 1 for TSN, the segments of a TSM, the frames of a clip for a 3D model."""
    if teacher.model.is_framewise:
        return 1
    return teacher.spec.num_segments * teacher.spec.num_frames


def trunk_features(
    teacher: Teacher, examples: Sequence[Example], read: Callable[[Record], np.ndarray], setting: Setting,
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
            features[row] = torch.from_numpy(read_row(example.record, teacher.model.fc.in_features, setting.root))
        except MediaError as error:
            unreadable[row] = str(error)
    was_training = teacher.model.training
    teacher.model.eval()
    with setting.autocast():
        for record, outputs in predict_records(
            places,
            read=lambda record: [read(record)],
            forwards=[forward_of(teacher.model.features, teacher)],
            batch_size=max(1, READ_FRAMES // frames_of_a_view(teacher)),
            workers=setting.workers,
            on_drop=lambda record, why: unreadable.update({record.position: why.partition(": ")[2]}),
        ):
            if setting.should_stop():
                raise Interrupted("stopped while reading; run the same command again to go on")
            features[record.position] = torch.from_numpy((outputs or [])[0]).mean(dim=0)
    teacher.model.train(was_training)  # views are computed while an epoch runs, and its dropout must go on
    gap = torch.zeros(teacher.model.fc.in_features)
    rows = [features.get(row, gap) for row in range(len(examples))]
    return torch.stack(rows) if rows else gap.new_empty(0, len(gap)), unreadable
