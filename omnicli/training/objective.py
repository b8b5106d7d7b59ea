"""What a step minimises: Eq. 1 over the target and every web source, with mixup inside or across them (Sec. 3.6)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from omnicli.data.dataloader import SourceBatch, StepBatch
from omnicli.data.labels import class_probabilities
from omnicli.data.mixup import draw_cross_partners, draw_mixup, mix, mix_across
from omnicli.rng import keyed_rng
from omnicli.training.inputs import ClipInputs
from omnicli.training.loop import StepLoss
from omnicli.training.losses import binary_cross_entropy, cross_entropy
from omnicli.training.trainer import TrainingRun

Samples = tuple[SourceBatch, Tensor, Tensor]  # whose; inputs (N, ...); classes (N,) or probabilities (N, K)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a step minimises.

    Attributes:
        num_classes: K.
        label_smoothing: share of a label that is spread over all classes.
        mixup_alpha: λ ~ Beta(α, α); 0 is no mixup.
        is_cross: partners come from the other side, web data for the target and the target for web data (Sec. 3.6).
        multi_label: a sigmoid for each class instead of one softmax.
        num_passes: forward passes that a batch is cut into; less memory, the same step.
    """

    num_classes: int
    label_smoothing: float = 0.0
    mixup_alpha: float = 0.0
    is_cross: bool = False
    multi_label: bool = False
    num_passes: int = 1


def step_losses(
    model: nn.Module, batch: StepBatch, *, feed: ClipInputs, training: TrainingRun, objective: Objective
) -> Iterator[StepLoss]:
    """Eq. 1: cross-entropy over B_T and every B_A,i, one forward pass a source, so each has its own batch statistics.

    Every pass gives the mean over its samples; ``engine.fit`` weighs it with their number and divides by that of all
    sources and ranks (Ours: the paper writes a plain sum, which is the same for a learning rate that is scaled with the
    number of samples).
    """
    parts = [part for part in batch.parts if part.ids]
    samples = _cross_mixed if objective.is_cross else _mixed
    for part, inputs, wanted in samples(parts, feed, training, objective):
        cuts = [tensor.tensor_split(min(objective.num_passes, len(inputs))) for tensor in (inputs, wanted)]
        for cut_inputs, cut_wanted in zip(*cuts, strict=True):
            logits = feed.logits(cut_inputs)  # (N, K)
            if objective.multi_label:
                loss = binary_cross_entropy(logits, cut_wanted)
            else:
                loss = cross_entropy(logits, cut_wanted, label_smoothing=objective.label_smoothing)
            num_correct = _num_correct(logits.detach(), cut_wanted)
            yield StepLoss(loss, num_correct, len(cut_inputs), part.source, part.ids)


def _mixed(
    parts: Sequence[SourceBatch], feed: ClipInputs, training: TrainingRun, objective: Objective
) -> Iterator[Samples]:
    """Intra-dataset mixup, λ x_i + (1 - λ) x_j, labels likewise; samples as they are where none is asked for."""
    for part in parts:
        inputs, wanted = feed.inputs(part), _wanted(part, feed, objective)
        if objective.mixup_alpha:
            rng = _mixup_rng(training, part.source)
            lam, partners = draw_mixup(len(inputs), alpha=objective.mixup_alpha, rng=rng)
            inputs, wanted = mix(inputs, lam, partners), mix(wanted, lam, partners)
        yield part, inputs, wanted


def _cross_mixed(
    parts: Sequence[SourceBatch], feed: ClipInputs, training: TrainingRun, objective: Objective
) -> Iterator[Samples]:
    """Cross-dataset mixup: "the two pairs are samples randomly chosen from both datasets".

    Ours: every sample takes a partner from the other side and keeps the larger weight, max(λ, 1 - λ), so that it stays
    a sample of its own source and the batch sizes of Eq. 1 stay. A side that lost all its media leaves the other as is.
    """
    own = [(feed.inputs(part), _wanted(part, feed, objective)) for part in parts]
    target = feed.plan.sources[0].name
    rng = _mixup_rng(training, "cross")
    lam = float(rng.beta(objective.mixup_alpha, objective.mixup_alpha))
    lam = max(lam, 1 - lam)
    for part, (inputs, wanted) in zip(parts, own, strict=True):
        other_side = [
            sample
            for other, sample in zip(parts, own, strict=True)
            if (other.source == target) != (part.source == target)
        ]
        if other_side:
            other_inputs, other_wanted = (torch.cat(tensors) for tensors in zip(*other_side, strict=True))
            partners = draw_cross_partners(len(inputs), len(other_inputs), rng=rng)
            inputs = mix_across(inputs, other_inputs, lam, partners)
            wanted = mix_across(wanted, other_wanted, lam, partners)
        yield part, inputs, wanted


def _mixup_rng(training: TrainingRun, name: str) -> np.random.Generator:
    progress, world = training.progress, training.world
    return keyed_rng(
        training.seed, training.stage, f"mixup {name}", progress.epoch, progress.step * world.size + world.rank
    )


def _wanted(part: SourceBatch, feed: ClipInputs, objective: Objective) -> Tensor:
    """What is taught: classes (N,), or probabilities (N, K) where classes are soft, mixed or several."""
    if objective.mixup_alpha or objective.multi_label or any(example.scores for example in part.examples):
        wanted = class_probabilities(part.examples, objective.num_classes, multi_label=objective.multi_label)
        return wanted.to(feed.setting.device)
    return part.labels.to(feed.setting.device)


def _num_correct(logits: Tensor, wanted: Tensor) -> int:
    """Samples whose best class is the wanted one, or one of the heaviest."""
    best = logits.argmax(dim=1)
    if wanted.dim() == 1:
        return int((best == wanted).sum())
    return int((wanted.gather(1, best[:, None])[:, 0] == wanted.amax(dim=1)).sum())
