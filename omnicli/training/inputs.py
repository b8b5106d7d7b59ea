"""Inputs of training: augmented clips, or cached features of a frozen backbone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from omnicli.data.dataloader import (
    DrawnExample,
    Example,
    ExampleKey,
    SourceBatch,
    StepBatch,
    feature_batches,
    read_batches,
)
from omnicli.data.training_clips import Augmentation, read_feature, read_training_clip
from omnicli.data.transforms import normalise
from omnicli.media.parallel import parallel_map
from omnicli.models.loading import LoadedModel
from omnicli.rng import keyed_rng
from omnicli.streams.record import Record
from omnicli.training.batch_sampler import JointSampler, SourceDraws
from omnicli.training.context import TrainingContext
from omnicli.training.validation import backbone_features

NUM_FROZEN_VIEWS = 10
MAX_CACHED_BYTES = 2 << 30
STEPS_AHEAD = 2


class ClipInputs:
    """Batches of augmented clips of every source, and M's logits of them."""

    def __init__(self, teacher: LoadedModel, plan: JointSampler, look: Augmentation, setting: TrainingContext) -> None:
        self.teacher = teacher
        self.plan = plan
        self.look = look
        self.setting = setting

    def batches(self, bad: Mapping[ExampleKey, str], epoch: int, first_step: int) -> Iterator[StepBatch]:
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
        yield from parallel_map(self._pinned, ready, workers=1, ahead=STEPS_AHEAD)  # stacked while the model works

    def inputs(self, batch: SourceBatch) -> Tensor:
        """What can be mixed: clips (N, C, S, H, W), normalised."""
        spec = self.teacher.spec
        return normalise(batch.clips, mean=spec.mean, std=spec.std, device=self.setting.device)

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, K) float32 of ``inputs``."""
        with self.setting.autocast():
            return self.teacher.network(inputs)  # type: ignore[no-any-return]

    def _places(self, portion: SourceDraws, epoch: int) -> list[DrawnExample]:
        examples = self.plan.sources[portion.source].examples
        return [
            DrawnExample(self._taught(examples[row], epoch, draw), draw, (portion.source, row))
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

    def _named(self, batch: SourceBatch, portion: SourceDraws) -> SourceBatch:
        return replace(batch, source=self.plan.sources[portion.source].name)


class CachedFeatureInputs(ClipInputs):
    """Batches of the frozen backbone's features: each of ten augmented views of a clip is computed once."""

    def __init__(self, teacher: LoadedModel, plan: JointSampler, look: Augmentation, setting: TrainingContext) -> None:
        super().__init__(teacher, plan, look, setting)
        self._kept: dict[tuple[int, int], dict[int, Tensor]] = {}  # (source, view) → row → (D,)
        self._unreadable: dict[ExampleKey, tuple[DrawnExample, str]] = {}

    def batches(self, bad: Mapping[ExampleKey, str], epoch: int, first_step: int) -> Iterator[StepBatch]:
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

    def inputs(self, batch: SourceBatch) -> Tensor:
        """What can be mixed: features (N, D)."""
        return batch.clips.to(self.setting.device)

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, K) float32 of ``inputs``."""
        return self.teacher.network.classify(inputs)

    def _source_batches(
        self, number: int, portions: Sequence[SourceDraws], bad: Mapping[ExampleKey, str], epoch: int
    ) -> Iterator[SourceBatch]:
        """All batches of one source in an epoch; a second draw of a clip takes another view."""
        rows = np.concatenate([np.empty(0, np.int64), *(portion.rows for portion in portions)])
        draws = np.concatenate([np.empty(0, np.int64), *(portion.draws for portion in portions)])
        pairs, where = np.unique(
            np.stack([(epoch + draws) % NUM_FROZEN_VIEWS, rows]), axis=1, return_inverse=True
        )  # by view, then by row
        views = np.unique(pairs[0]).tolist()
        made = [self._features(number, view, pairs[1][pairs[0] == view].tolist()) for view in views]
        features = torch.cat(made) if made else torch.empty(0, self.teacher.network.fc.in_features)
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
        features, unreadable = backbone_features(self.teacher, examples, read, self.setting, read_row)
        kept |= dict(zip(missing, features, strict=True))
        for row, why in unreadable.items():
            key = (number, missing[row])
            self._unreadable[key] = (DrawnExample(examples[row], 0, key), why)
        return torch.stack([kept[row] for row in rows])

    def _view(self, record: Record, epoch: int) -> np.ndarray:
        """One training clip as views (V, T, H, W, 3): each frame alone, or all of them together."""
        clip = read_training_clip(record, look=self.look, epoch=epoch, draw=0)  # (S, H, W, 3)
        if not self.teacher.network.is_framewise:
            return clip[None]
        is_still = (clip == clip[:1]).all()  # an image, repeated: one look is enough
        return (clip[:1] if is_still else clip)[:, None]
