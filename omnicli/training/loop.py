"""One loop over batches, for teachers and students alike; it knows neither models nor data sets."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from omnicli.errors import OmniError
from omnicli.training.distributed import World
from omnicli.training.optim import set_lr

CLIP_NORM = 40.0  # CHECKPOINTS section 5


class TrainingDiverged(OmniError):
    """The loss, its gradient or M's scores are not finite; the message names what and where."""


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
        loss: (), the mean over its clips.
        num_correct: clips recognised (by their heavier label under mixup).
        num_clips: clips of this pass.
        source: whose clips these are, where there are several sources.
        ids: of these clips, for messages.
    """

    loss: Tensor
    num_correct: int
    num_clips: int
    source: str = ""
    ids: Sequence[str] = ()


@dataclass
class SourceMetrics:
    """Sums over clips."""

    loss_sum: float = 0.0
    num_correct: int = 0
    num_clips: int = 0

    def add(self, loss_sum: float, num_correct: float, num_clips: float) -> None:
        """Count more clips."""
        self.loss_sum += loss_sum
        self.num_correct += int(num_correct)
        self.num_clips += int(num_clips)

    def means(self) -> dict[str, float]:
        """``train_loss`` and ``train_top1_acc``."""
        count = max(self.num_clips, 1)
        return {"train_loss": self.loss_sum / count, "train_top1_acc": self.num_correct / count}


@dataclass
class Progress:
    """Where training stands; all that a restart needs besides weights and optimiser.

    Attributes:
        epoch: 0-based, the one being trained.
        step: batches of it that are done.
        tallies: of those batches, by source; "" where there is but one.
    """

    epoch: int = 0
    step: int = 0
    tallies: dict[str, SourceMetrics] = field(default_factory=lambda: {"": SourceMetrics()})

    def next_epoch(self) -> None:
        """Turn the page."""
        self.epoch, self.step = self.epoch + 1, 0
        self.tallies = {source: SourceMetrics() for source in self.tallies}

    def to_meta(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_meta(cls, meta: dict[str, Any]) -> "Progress":
        """From ``to_meta``'s data."""
        tallies = {source: SourceMetrics(**tally) for source, tally in meta["tallies"].items()}
        return cls(meta["epoch"], meta["step"], tallies)


def train_epoch(
    model: nn.Module,
    batches: Iterable[BatchT],
    *,
    compute_loss: Callable[[nn.Module, BatchT], Iterable[StepLoss]],
    optimizer: torch.optim.Optimizer,
    lr_at: Callable[[int, int], float],
    progress: Progress,
    seed_at: Callable[[int, int], int],
    should_stop: Callable[[], bool],
    clip_norm: float = CLIP_NORM,
    world: World | None = None,
    after_step: Callable[[], None] = lambda: None,
) -> bool:
    """Take the steps of one epoch that ``progress`` has not taken yet.

    Args:
        model: in training mode afterwards.
        batches: from step ``progress.step`` on; an empty one counts as a step and changes nothing.
        compute_loss: the method, one ``StepLoss`` a forward pass; each is forgotten before the next is asked for, so
            that no more than one is held in memory. Autocast is its business.
        optimizer: its groups carry ``lr_scale``.
        lr_at: learning rate at (epoch, step).
        progress: moved on after each step.
        seed_at: seed of torch's global generator (dropout draws from it) at (epoch, step), so that no random state has
            to be kept.
        should_stop: asked after each step; ranks stop together.
        clip_norm: largest norm of the gradient.
        world: the processes that take each step together; every rank brings as many batches.
        after_step: called when the weights have moved.

    Returns:
        False if it stopped before the end.

    Raises:
        TrainingDiverged: the loss or its gradient is not finite; the weights are those before the step.
    """
    world = world or World()
    model.train()
    for batch in batches:
        epoch, step = progress.epoch, progress.step
        [num_clips] = world.sum([len(batch.ids)])
        if num_clips:
            torch.manual_seed(seed_at(epoch, step))
            set_lr(optimizer, lr_at(epoch, step))
            optimizer.zero_grad(set_to_none=True)
            _descend(model, batch, compute_loss, num_clips, progress, world)
            world.sum_gradients(model)
            norm = nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], clip_norm)
            if not math.isfinite(norm):  # the same on every rank
                raise TrainingDiverged(_diverged("the norm of the gradient", float(norm), progress, batch.ids))
            optimizer.step()
            after_step()
        progress.step += 1
        if world.sum([should_stop()])[0]:
            return False
    return True


def _descend(
    model: nn.Module,
    batch: BatchT,
    compute_loss: Callable[[nn.Module, BatchT], Iterable[StepLoss]],
    num_clips: float,
    progress: Progress,
    world: World,
) -> None:
    """Gradients of the mean loss over the ``num_clips`` clips of all ranks, pass by pass, and the tallies."""
    seen = {source: SourceMetrics() for source in progress.tallies}
    problem = ""
    for made in compute_loss(model, batch) if batch.ids else ():
        loss = float(made.loss.detach())
        if not math.isfinite(loss):
            name = f"the loss of {made.source}" if made.source else "the loss"
            problem = _diverged(name, loss, progress, made.ids or batch.ids)
            break
        (made.loss * (made.num_clips / num_clips)).backward()  # type: ignore[no-untyped-call]
        seen[made.source].add(loss * made.num_clips, made.num_correct, made.num_clips)
    sums = [(tally.loss_sum, tally.num_correct, tally.num_clips) for tally in seen.values()]
    num_problems, *flat = world.sum([bool(problem), *chain.from_iterable(sums)])
    if num_problems:
        raise TrainingDiverged(problem or "the loss of another process is not finite; its own message says more")
    for place, tally in enumerate(progress.tallies.values()):
        tally.add(*flat[3 * place : 3 * place + 3])


def _diverged(name: str, value: float, progress: Progress, ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:8]) + (" ..." if len(ids) > 8 else "")
    return (
        f"{name} is {value} at epoch {progress.epoch}, step {progress.step}, records {shown}; "
        "try a smaller --lr, or look at these records"
    )
