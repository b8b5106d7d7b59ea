"""One loop over batches, for teachers and students alike; it knows neither models nor data sets."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from omnicli.engine.optim import set_lr
from omnicli.errors import OmniError

CLIP_NORM = 40.0  # CHECKPOINTS section 5


class TrainingDiverged(OmniError):
    """The loss is not finite; the message names step and records."""


class HasIds(Protocol):
    """A batch that can say whose clips it holds."""

    @property
    def ids(self) -> Sequence[str]:
        """Record ids."""


BatchT = TypeVar("BatchT", bound=HasIds)


@dataclass(frozen=True)
class StepLoss:
    """What one forward pass tells.

    Attributes:
        loss: () to be minimised.
        num_correct: clips recognised (by their heavier label under mixup).
        num_clips: clips in the batch.
    """

    loss: Tensor
    num_correct: int
    num_clips: int


@dataclass
class Progress:
    """Where training stands; all that a restart needs besides weights and optimiser.

    Attributes:
        epoch: 0-based, the one being trained.
        step: batches of it that are done.
        loss_sum: of those batches, times their clips.
        num_correct: of those batches.
        num_clips: of those batches.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    num_correct: int = 0
    num_clips: int = 0

    def next_epoch(self) -> None:
        """Turn the page."""
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum, self.num_correct, self.num_clips = 0.0, 0, 0

    def means(self) -> dict[str, float]:
        """``train_loss`` and ``train_top1_acc`` of the epoch so far."""
        count = max(self.num_clips, 1)
        return {"train_loss": self.loss_sum / count, "train_top1_acc": self.num_correct / count}

    def to_meta(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def train_epoch(
    model: nn.Module,
    batches: Iterable[BatchT],
    *,
    compute_loss: Callable[[nn.Module, BatchT], StepLoss],
    optimizer: torch.optim.Optimizer,
    lr_at: Callable[[int, int], float],
    progress: Progress,
    seed_at: Callable[[int, int], int],
    should_stop: Callable[[], bool],
    clip_norm: float = CLIP_NORM,
) -> bool:
    """Take the steps of one epoch that ``progress`` has not taken yet.

    Args:
        model: in training mode afterwards.
        batches: from step ``progress.step`` on; an empty one counts as a step and changes nothing.
        compute_loss: the method; autocast is its business.
        optimizer: its groups carry ``lr_scale``.
        lr_at: learning rate at (epoch, step).
        progress: moved on after each step.
        seed_at: seed of torch's global generator (dropout draws from it) at (epoch, step), so that no random state has
            to be kept.
        should_stop: asked after each step.
        clip_norm: largest norm of the gradient.

    Returns:
        False if it stopped before the end.

    Raises:
        TrainingDiverged: the loss is not finite; the weights are those before the step.
    """
    model.train()
    for batch in batches:
        epoch, step = progress.epoch, progress.step
        if batch.ids:
            torch.manual_seed(seed_at(epoch, step))
            set_lr(optimizer, lr_at(epoch, step))
            _take_step(model, batch, compute_loss, optimizer, progress, clip_norm)
        progress.step += 1
        if should_stop():
            return False
    return True


def _take_step(
    model: nn.Module,
    batch: BatchT,
    compute_loss: Callable[[nn.Module, BatchT], StepLoss],
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    clip_norm: float,
) -> None:
    optimizer.zero_grad(set_to_none=True)
    made = compute_loss(model, batch)
    loss = float(made.loss.detach())
    if not torch.isfinite(made.loss.detach()):
        shown = ", ".join(batch.ids[:8]) + (" ..." if len(batch.ids) > 8 else "")
        raise TrainingDiverged(
            f"the loss is {loss} at epoch {progress.epoch}, step {progress.step}, records {shown}; "
            "try a smaller --lr, or look at these records"
        )
    made.loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], clip_norm)
    optimizer.step()
    progress.loss_sum += loss * made.num_clips
    progress.num_correct += made.num_correct
    progress.num_clips += made.num_clips
