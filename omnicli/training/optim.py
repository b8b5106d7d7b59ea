"""SGD and AdamW with parameter groups, and learning rate schedules."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from omnicli.models.blocks import find_blocks, layer_numbers
from omnicli.training.recipe_fields import ScheduleName

MOMENTUM = 0.9
COLD = 0.001  # of the learning rate, where a warm-up begins before a cosine: 1e-6 of 1e-3
NUM_HALVINGS = 13  # IG-65M Sec. 3.3: "divided by 2 at equal steps such that the total number of ... reductions is 13"


@dataclass(frozen=True)
class Schedule:
    """A factor on the learning rate over the epochs, as in mmcv, by which the papers' models were trained.

    A cosine runs over all epochs, and the warm-up multiplies it. Those of pySlowFast and VideoMAE begin after a warm-up
    from near 0: ``cosine-after-warmup``.

    Attributes:
        kind: ``step`` (x 0.1 at each milestone), ``cosine`` (from 1 to 0 over all epochs), ``cosine-after-warmup``
            (over those after it), ``halving`` (x 0.5 at 13 equal steps, IG-65M Sec. 3.3), or ``constant``.
        epochs: of the whole training, including the warm-up.
        milestones: epochs, for ``step``.
        warmup_epochs: length of the linear warm-up.
        warmup_from: factor at its start; 0.001 before ``cosine-after-warmup``.
    """

    kind: ScheduleName
    epochs: int
    milestones: tuple[float, ...] = ()
    warmup_epochs: float = 0.0
    warmup_from: float = 0.1

    def factor(self, epoch: float) -> float:
        """The factor at ``epoch`` (a fraction inside an epoch), in [0, 1].

        >>> Schedule("step", 100, milestones=(40, 80)).factor(40)
        0.1
        """
        warmup = 1.0
        if epoch < self.warmup_epochs:
            start = COLD if self.kind == "cosine-after-warmup" else self.warmup_from
            warmup = start + (1 - start) * epoch / self.warmup_epochs
        if self.kind == "cosine-after-warmup":
            done = max(epoch - self.warmup_epochs, 0.0) / max(self.epochs - self.warmup_epochs, 1e-9)
            return warmup * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        if self.kind == "cosine":
            return warmup * 0.5 * (1 + math.cos(math.pi * min(epoch / self.epochs, 1.0)))
        if self.kind == "halving":
            return float(warmup * 0.5 ** min(math.floor(epoch * (NUM_HALVINGS + 1) / self.epochs), NUM_HALVINGS))
        if self.kind == "step":
            return float(warmup * 10.0 ** -sum(epoch >= milestone for milestone in self.milestones))
        return warmup


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a weight decay and a factor on the learning rate."""

    parameters: Sequence[nn.Parameter]
    lr_scale: float
    weight_decay: float


def make_sgd(groups: Sequence[ParameterGroup]) -> torch.optim.SGD:
    """SGD with momentum 0.9; omits parameters that need no gradient, and then empty groups."""
    return torch.optim.SGD(_rows(groups), lr=0.0, momentum=MOMENTUM)


def make_adamw(groups: Sequence[ParameterGroup]) -> torch.optim.AdamW:
    """AdamW with betas 0.9 and 0.999, as VideoMAE is fine-tuned; vectors (norms, biases) have no weight decay."""
    matrices = [replace(group, parameters=[p for p in group.parameters if p.ndim > 1]) for group in groups]
    vectors = [
        replace(group, parameters=[p for p in group.parameters if p.ndim <= 1], weight_decay=0.0) for group in groups
    ]
    return torch.optim.AdamW(_rows([*matrices, *vectors]), lr=0.0, betas=(0.9, 0.999))


def layer_groups(
    module: nn.Module, *, lr_scale: float, weight_decay: float, layer_decay: float
) -> list[ParameterGroup]:
    """Parameters by block; the learning rate falls by ``layer_decay`` from each block to the one before it.

    What follows the blocks has the rate of the classifier, as in BEiT and VideoMAE: factor 1, and ``layer_decay`` in
    the last block.
    """
    numbers = layer_numbers(module)
    last = max(numbers.values(), default=0)
    head = len(find_blocks(module)) + 1
    parameters = dict(module.named_parameters())
    return [
        ParameterGroup(
            [parameters[name] for name, number in numbers.items() if number == layer],
            lr_scale * layer_decay ** (head - layer),
            weight_decay,
        )
        for layer in range(last + 1)
    ]


def _rows(groups: Sequence[ParameterGroup]) -> list[dict[str, Any]]:
    """Groups as optimizers take them, without frozen parameters and without empty groups."""
    rows = [
        {
            "params": [parameter for parameter in group.parameters if parameter.requires_grad],
            "lr_scale": group.lr_scale,
            "weight_decay": group.weight_decay,
        }
        for group in groups
    ]
    return [row for row in rows if row["params"]]


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group, times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def scaled_lr(lr: float, *, batch_size: int, reference_batch_size: int) -> float:
    """The learning rate for another batch size, by linear scaling.

    >>> scaled_lr(0.01, batch_size=32, reference_batch_size=256)
    0.00125
    """
    return lr * batch_size / reference_batch_size
