"""The cross-entropy terms of OmniSource Eq. 1, with mixup (OmniSource Sec. 3.6); ``loop.train_epoch`` adds them up."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from torch import Tensor

from omnicli.data.dataloader import SourceBatch, StepBatch
from omnicli.data.labels import class_probabilities
from omnicli.data.mixup import cutmix_within, mixup_across, mixup_within
from omnicli.training.batch_sampler import TARGET
from omnicli.training.losses import binary_cross_entropy, cross_entropy

RngFor = Callable[[str], np.random.Generator]  # from the name of a source, or "cross"


@dataclass(frozen=True)
class Samples:
    """The samples of one forward pass.

    Attributes:
        inputs: (N, ...) float, normalised clips or features.
        labels: (N,) class indices, or (N, K) probabilities if labels are soft, mixed or several.
        source: name of their source.
        batch: the batch that they are from, for messages.
    """

    inputs: Tensor
    labels: Tensor
    source: str = ""
    batch: SourceBatch | None = None


@dataclass(frozen=True)
class SourceLoss:
    """The loss of one forward pass.

    Attributes:
        mean: (), the mean over its samples.
        num_correct: samples whose best class is their label (under mixup, their heavier label).
        num_clips: samples.
        source: name of their source.
        batch: the batch that they are from, for messages.
    """

    mean: Tensor
    num_correct: int
    num_clips: int
    source: str = ""
    batch: SourceBatch | None = None

    @property
    def ids(self) -> list[str]:
        """Record ids, for messages."""
        return self.batch.ids if self.batch else []

    @cached_property
    def value(self) -> float:
        """The mean as a number."""
        return float(self.mean.detach())


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The loss of one source, and how samples are mixed before.

    Attributes:
        num_classes: K.
        label_smoothing: share of a label that is spread evenly over all classes.
        mixup_alpha: λ ~ Beta(α, α); 0 disables mixup.
        cutmix_alpha: of CutMix within each source, which takes turns with mixup at random where both are set (timm); 0
            disables it.
        is_cross: mix target samples with auxiliary samples, and the other way round, instead of within each source.
        multi_label: one sigmoid per class instead of one softmax.
        num_passes: forward passes per source batch; more passes need less memory and give the same step, except that
            batch statistics are those of each pass.
    """

    num_classes: int
    label_smoothing: float = 0.0
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    is_cross: bool = False
    multi_label: bool = False
    num_passes: int = 1

    @property
    def is_mixing(self) -> bool:
        """Whether samples are mixed."""
        return bool(self.mixup_alpha or self.cutmix_alpha)

    def __call__(self, model: Callable[[Tensor], Tensor], samples: Samples) -> SourceLoss:
        """Cross-entropy of the samples; ``model`` maps inputs (N, ...) to logits (N, K)."""
        logits = model(samples.inputs)  # (N, K)
        if self.multi_label:
            mean = binary_cross_entropy(logits, samples.labels)
        else:
            mean = cross_entropy(logits, samples.labels, label_smoothing=self.label_smoothing)
        num_correct = _num_correct(logits.detach(), samples.labels)
        return SourceLoss(mean, num_correct, len(samples.inputs), samples.source, samples.batch)

    def parts(self, batch: StepBatch, to_inputs: Callable[[SourceBatch], Tensor], rng_for: RngFor) -> Iterator[Samples]:
        """The samples of each forward pass of a step: one per source and ``num_passes``, in the order of the batch.

        Args:
            batch: sources without a readable clip give no samples.
            to_inputs: moves the clips of a source to the device and normalises them.
            rng_for: generator of the mixup draws.
        """
        whole = (self._samples(part, to_inputs(part)) for part in batch.parts if part.examples)
        for samples in self.mix(whole, rng_for):
            count = min(self.num_passes, len(samples.inputs))
            cuts = zip(samples.inputs.tensor_split(count), samples.labels.tensor_split(count), strict=True)
            yield from (replace(samples, inputs=inputs, labels=labels) for inputs, labels in cuts)

    def mix(self, sources: Iterable[Samples], rng_for: RngFor) -> Iterator[Samples]:
        """The samples of each source after mixup; labels must be probabilities unless ``is_mixing`` is false."""
        if self.is_cross:
            own = with_equal_frames(list(sources))
            pairs = [(samples.inputs, samples.labels) for samples in own]
            is_target = [samples.source == TARGET for samples in own]
            mixed = mixup_across(pairs, is_target, alpha=self.mixup_alpha, rng=rng_for("cross"))
            for samples, (inputs, labels) in zip(own, mixed, strict=True):
                yield replace(samples, inputs=inputs, labels=labels)
            return
        for samples in sources:
            if not self.is_mixing:
                yield samples
                continue
            rng = rng_for(samples.source)
            cuts = self.cutmix_alpha and (not self.mixup_alpha or rng.random() < 0.5)
            within, alpha = (cutmix_within, self.cutmix_alpha) if cuts else (mixup_within, self.mixup_alpha)
            inputs, labels = within(samples.inputs, samples.labels, alpha=alpha, rng=rng)
            yield replace(samples, inputs=inputs, labels=labels)

    def _samples(self, part: SourceBatch, inputs: Tensor) -> Samples:
        labels = part.labels
        if self.is_mixing or self.multi_label or any(example.scores for example in part.examples):
            labels = class_probabilities(part.examples, self.num_classes, multi_label=self.multi_label)
        return Samples(inputs, labels.to(inputs.device), part.source, part)


def with_equal_frames(sources: Sequence[Samples]) -> list[Samples]:
    """The samples with images repeated to the number of segments of videos, so that they can be mixed."""
    num_frames = max((samples.inputs.shape[2] for samples in sources if samples.inputs.dim() == 5), default=1)
    return [
        replace(samples, inputs=samples.inputs.expand(-1, -1, num_frames, -1, -1))
        if samples.inputs.dim() == 5
        else samples
        for samples in sources
    ]


def _num_correct(logits: Tensor, labels: Tensor) -> int:
    """Samples whose best class is their label, or one of their heaviest labels."""
    best = logits.argmax(dim=1)
    if labels.dim() == 1:
        return int((best == labels).sum())
    return int((labels.gather(1, best[:, None])[:, 0] == labels.amax(dim=1)).sum())
