"""The inputs of the model in training: augmented clips, or cached features of a frozen backbone."""

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
    position_of,
    read_batches,
)
from omnicli.data.example_table import take
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
    """Batches of augmented clips of every source, and their logits.

    Attributes:
        model: the model in training.
        sampler: draws the examples of each step.
        augmentation: how clips are read.
        context: where the training runs.
    """

    def __init__(
        self, model: LoadedModel, sampler: JointSampler, augmentation: Augmentation, context: TrainingContext
    ) -> None:
        self.model = model
        self.sampler = sampler
        self.augmentation = replace(augmentation, images_once=model.network.is_framewise)
        self.context = context

    def batches(self, bad: Mapping[ExampleKey, str], epoch: int, first_step: int) -> Iterator[StepBatch]:
        """The batches of an epoch, from ``first_step`` on; ``bad`` may grow meanwhile."""
        steps = self.sampler.steps(epoch)[first_step:]
        read = partial(read_training_clip, augmentation=self.augmentation, epoch=epoch)
        parts = read_batches(
            (self._drawn_examples(draws, epoch) for step in steps for draws in step),
            read=lambda record, draw: read(record, draw=draw),
            workers=self.context.workers,
            is_bad=lambda drawn: drawn.key in bad,
        )
        ready = (StepBatch(tuple(self._named(next(parts), draws) for draws in step)) for step in steps)
        yield from parallel_map(self._pinned, ready, workers=1, ahead=STEPS_AHEAD)  # while the model computes

    def to_device(self, batch: SourceBatch) -> Tensor:
        """Normalised clips (N, C, S, H, W) on the device of the model."""
        spec = self.model.spec
        return normalise(batch.clips, mean=spec.mean, std=spec.std, device=self.context.device)

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, K) float32."""
        with self.context.autocast():
            return self.model.network(inputs)  # type: ignore[no-any-return]

    def _drawn_examples(self, draws: SourceDraws, epoch: int) -> list[DrawnExample]:
        examples = self.sampler.sources[draws.source].examples
        return [
            DrawnExample(self._with_one_class(examples[row], epoch, draw), draw, (draws.source, row))
            for row, draw in zip(draws.rows.tolist(), draws.draws.tolist(), strict=True)
        ]

    def _with_one_class(self, example: Example, epoch: int, draw: int) -> Example:
        """The example with one of the classes of its queries, drawn anew each time (IG-65M Sec. 3.3)."""
        if not example.others or self.sampler.multi_label:
            return example
        seed, stage = self.augmentation.seed, self.augmentation.stage
        rng = keyed_rng(seed, f"{stage} query", example.id, epoch, draw)
        return example.with_label(int(rng.choice([example.label, *example.others])))

    def _pinned(self, step: StepBatch) -> StepBatch:
        """The batch in pinned memory, which a GPU copies asynchronously."""
        if self.context.device.type != "cuda":
            return step
        return StepBatch(tuple(replace(part, clips=part.clips.pin_memory()) for part in step.parts))

    def _named(self, batch: SourceBatch, draws: SourceDraws) -> SourceBatch:
        """The batch of a source. Ours: an image alone in it is a still clip, as batch norm cannot take one value."""
        clips = batch.clips
        if clips.dim() == 5 and clips.shape[:2] == (1, 1):
            clips = clips.repeat(1, self.augmentation.num_segments, 1, 1, 1)
        return replace(batch, clips=clips, source=self.sampler.sources[draws.source].name)


class CachedFeatureInputs(ClipInputs):
    """Batches of features of the frozen backbone.

    Ours: epoch e sees augmented view e mod 10 of every clip. The features of a view are computed once, in batches of
    fixed size, and cached up to 2 GiB; beyond that they are computed again, to the same bits.
    """

    def __init__(
        self, model: LoadedModel, sampler: JointSampler, augmentation: Augmentation, context: TrainingContext
    ) -> None:
        super().__init__(model, sampler, augmentation, context)
        self._cache: dict[tuple[int, int], dict[int, Tensor]] = {}  # (source, view) → row → (D,)
        self._unreadable: dict[ExampleKey, tuple[DrawnExample, str]] = {}

    def batches(self, bad: Mapping[ExampleKey, str], epoch: int, first_step: int) -> Iterator[StepBatch]:
        """The batches of an epoch, from ``first_step`` on; the first one reports all unreadable clips."""
        steps = self.sampler.steps(epoch)
        batches_of = [
            self._source_batches(
                source, [draws for step in steps for draws in step if draws.source == source], bad, epoch
            )
            for source in range(len(self.sampler.sources))
        ]
        new = tuple(found for key, found in self._unreadable.items() if key not in bad)
        for index, step in enumerate(steps):
            parts = [self._named(next(batches_of[draws.source]), draws) for draws in step]
            if index == first_step:
                parts[0] = replace(parts[0], bad=new)
            if index >= first_step:
                yield StepBatch(tuple(parts))

    def to_device(self, batch: SourceBatch) -> Tensor:
        """Features (N, D) on the device of the model."""
        return batch.clips.to(self.context.device)

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, K) float32."""
        return self.model.network.classify(inputs)

    def _source_batches(
        self, source: int, steps: Sequence[SourceDraws], bad: Mapping[ExampleKey, str], epoch: int
    ) -> Iterator[SourceBatch]:
        """All batches of one source in an epoch; a second draw of a clip takes another view."""
        rows = np.concatenate([np.empty(0, np.int64), *(draws.rows for draws in steps)])
        occurrences = np.concatenate([np.empty(0, np.int64), *(draws.draws for draws in steps)])
        pairs, where = np.unique(
            np.stack([(epoch + occurrences) % NUM_FROZEN_VIEWS, rows]), axis=1, return_inverse=True
        )  # by view, then by row
        views = np.unique(pairs[0]).tolist()
        computed = [self._features(source, view, pairs[1][pairs[0] == view].tolist(), bad) for view in views]
        features = torch.cat(computed) if computed else torch.empty(0, self.model.network.fc.in_features)
        ends = np.cumsum([len(draws.rows) for draws in steps])
        spans = np.split(where.reshape(-1), ends[:-1]) if steps else []
        return feature_batches(
            features,
            ((span, self._drawn_examples(draws, epoch)) for span, draws in zip(spans, steps, strict=True)),
            is_bad=lambda drawn: drawn.key in bad or drawn.key in self._unreadable,
        )

    def _features(self, source: int, view: int, rows: Sequence[int], bad: Mapping[ExampleKey, str]) -> Tensor:
        """Features (len(rows), D) of one view of these examples; 0 where media are unreadable, and in ``bad``."""
        if sum(row.nbytes for cached in self._cache.values() for row in cached.values()) >= MAX_CACHED_BYTES:
            self._cache.clear()
        cached = self._cache.setdefault((source, view), {})
        missing = [row for row in rows if row not in cached and (source, row) not in bad]
        examples = take(self.sampler.sources[source].examples, missing)
        read_row = partial(read_feature, augmentation=self.augmentation, epoch=view)
        features, unreadable = backbone_features(
            self.model, examples, partial(self._view, epoch=view), self.context, read_row,
            positions=[position_of((source, row)) for row in missing],
        )  # fmt: skip
        cached |= dict(zip(missing, features, strict=True))
        for row, why in unreadable.items():
            key = (source, missing[row])
            self._unreadable[key] = (DrawnExample(examples[row], 0, key), why)
        gap = torch.zeros(self.model.network.fc.in_features)
        return torch.stack([cached.get(row, gap) for row in rows])

    def _view(self, record: Record, epoch: int) -> np.ndarray:
        """One training clip as views (V, T, H, W, 3): each frame alone, or all frames together."""
        clip = read_training_clip(record, augmentation=self.augmentation, epoch=epoch, draw=0)  # (S, H, W, 3)
        if not self.model.network.is_framewise:
            return clip[None]
        if pairs := self.model.spec.flow_pairs:
            return clip.reshape(-1, pairs, *clip.shape[1:])
        is_still = (clip == clip[:1]).all()  # the frames of a still video are equal: one is enough
        return (clip[:1] if is_still else clip)[:, None]
