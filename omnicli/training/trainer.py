"""A training run that can be stopped after any step and resumed bit for bit.

Beside ``-o tsn.pth``, which is absent until training has finished, lies ``.tsn.pth.state``: weights, optimizer, the
position in the epoch, the metric records written so far and the media found unreadable. Every draw is keyed by epoch
and record, or by epoch and step, so there is no random state to store. The first of several processes writes the state,
and all of them read it.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from omnicli.data.dataloader import ExampleKey
from omnicli.models.checkpoint import read_torch_file, write_torch_file
from omnicli.rng import keyed_rng, keyed_seed
from omnicli.training.distributed import World
from omnicli.training.optim import Schedule, set_lr
from omnicli.training.saved_state import STATE_FORMAT, STATE_VERSION, check_state, is_seen, state_path

SAVE_SEC = 5.0  # Ours: an epoch on stored features takes milliseconds, and a save two fsyncs
SAVE_INSIDE_SEC = 600.0  # Ours: the most that a crash may cost of a long epoch

Metrics = dict[str, Any]  # one output record


@dataclass
class SourceMetrics:
    """Sums over the clips of one source."""

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
    """The position of a training run.

    Attributes:
        epoch: the current one, from 0.
        step: finished steps of it.
        tallies: sums over those steps by source; the source of a training with only one is "".
    """

    epoch: int = 0
    step: int = 0
    tallies: dict[str, SourceMetrics] = field(default_factory=lambda: {"": SourceMetrics()})

    def next_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch, self.step = self.epoch + 1, 0
        self.tallies = {source: SourceMetrics() for source in self.tallies}

    def metrics(self) -> list[Metrics]:
        """One metric record per source, of the epoch so far."""
        return [
            {"epoch": self.epoch, **({"source": source} if source else {}), **sums.means(), "num_clips": sums.num_clips}
            for source, sums in self.tallies.items()
        ]

    @classmethod
    def from_meta(cls, meta: dict[str, Any]) -> "Progress":
        """The inverse of ``dataclasses.asdict``."""
        tallies = {source: SourceMetrics(**sums) for source, sums in meta["tallies"].items()}
        return cls(meta["epoch"], meta["step"], tallies)


@dataclass
class UnopenedMedia:
    """Media that could not be opened before the first step; they are in no epoch.

    A resumed run leaves out the same examples, whatever can be opened by then.

    Attributes:
        rows: by name of each set of examples, the rows in it and why.
        is_known: they come from the state of an unfinished run.
    """

    rows: dict[str, dict[int, str]] = field(default_factory=dict)
    is_known: bool = False


@dataclass(kw_only=True)
class TrainingRun:
    """One training run, fresh or resumed.

    Attributes:
        out: path of the finished checkpoint; the state lies beside it.
        model: in training, on its device.
        optimizer: its groups have ``lr_scale``.
        schedule: of the learning rate.
        lr: the learning rate at factor 1.
        steps_per_epoch: updates per epoch.
        seed: of every draw.
        stage: part of the key of every draw.
        clip_norm: largest norm of the gradient.
        options: everything that determines the result, as JSON values; a state of other options is refused.
        labels: digest of the classes, and of the labels in each set of examples; a state of others is refused.
        should_stop: called after every step.
        world: the processes that train together.
        averages: of the weights over steps (EMA); if set, they are measured and saved instead of the weights.
        left_out: media that could not be opened before the first step.
        trained_on: what the checkpoint remembers of the data (``data.trained_on``).
        strength: what it remembers of how far the model can be trusted (``models.strength``).
        progress: the position.
        history: metric records of finished epochs.
        bad: examples whose media turned out to be unreadable, and why.
        best: the best value of the metric that selects the best epoch.
    """

    out: Path
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    lr: float
    steps_per_epoch: int
    seed: int
    stage: str
    options: Mapping[str, Any]
    should_stop: Callable[[], bool]
    labels: str = ""
    world: World = field(default_factory=World)
    clip_norm: float = 40.0
    averages: AveragedModel | None = None
    left_out: UnopenedMedia = field(default_factory=UnopenedMedia)
    trained_on: Mapping[str, Any] = field(default_factory=dict)
    strength: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    history: list[Metrics] = field(default_factory=list)
    bad: dict[ExampleKey, str] = field(default_factory=dict)
    best: float = -1.0
    _is_in_step: bool = False
    _saved_at: float | None = None  # None: nothing is saved

    @property
    def result(self) -> nn.Module:
        """The model to measure and save."""
        return self.averages.module if self.averages is not None else self.model

    @property
    def examples_key(self) -> str:
        """A few hex digits of all that decides which example has which ``ExampleKey``."""
        chosen = [self.options.get(name) for name in ("data", "seed", "calibrate", "multi_label")]
        left_out = sorted(self.left_out.rows.get("target", {}))
        return digest_of_lines([repr((chosen, self.labels, left_out)).encode()])[:8]

    @property
    def trained_parameters(self) -> list[nn.Parameter]:
        """Parameters that are not frozen."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def lr_at(self, epoch: int, step: int) -> float:
        """The learning rate of a step."""
        return self.lr * self.schedule.factor(epoch + step / max(self.steps_per_epoch, 1))

    def begin_step(self) -> None:
        """Seed dropout, set the learning rate and clear the gradients."""
        epoch, step, rank = self.progress.epoch, self.progress.step, self.world.rank
        self._is_in_step = True  # the forward passes change batch statistics and metrics
        torch.manual_seed(keyed_seed(self.seed, self.stage, f"step {rank}" if rank else "step", epoch, step))
        set_lr(self.optimizer, self.lr_at(epoch, step))
        self.optimizer.zero_grad(set_to_none=True)

    def update_weights(self) -> None:
        """Take the step of the optimizer, and of the averages."""
        self.optimizer.step()
        if self.averages is not None:
            self.averages.update_parameters(self.model)

    def finish_step(self) -> None:
        """Go on to the next step, between which the state can be saved."""
        self.progress.step += 1
        self._is_in_step = False

    def mixup_rng(self, source: str) -> np.random.Generator:
        """Generator of the mixup draws of the current step, for a source or for "cross"."""
        draw = self.progress.step * self.world.size + self.world.rank
        return keyed_rng(self.seed, self.stage, f"mixup {source}", self.progress.epoch, draw)

    def finish_epoch(self, metrics: Sequence[Metrics]) -> None:
        """Store the metric records of the epoch, go on to the next, and save the state if it is due."""
        self.history += metrics
        self.progress.next_epoch()
        is_last = self.progress.epoch == self.schedule.epochs
        if is_last or time.monotonic() - (self._saved_at or 0.0) > SAVE_SEC:
            self.save()

    def start_saving(self) -> None:
        """Save the state from now on."""
        self._saved_at = time.monotonic()

    def stop_or_save(self) -> bool:
        """Whether to stop after this step; saves the state now and then inside a long epoch."""
        stop = self.should_stop()
        if not stop and self._saved_at is not None and time.monotonic() - self._saved_at > SAVE_INSIDE_SEC:
            self.save()
        return stop

    def save_if_between_steps(self) -> None:
        """``save``, except after half a step: a run that goes on would take that half twice."""
        if not self._is_in_step:
            self.save()

    def save(self) -> None:
        """Replace the state atomically."""
        self._saved_at = time.monotonic()
        if not self.world.is_first:
            return
        content = {
            "format": STATE_FORMAT,
            "version": STATE_VERSION,
            "options": dict(self.options),
            "labels": self.labels,
            "model": self.model.state_dict(),
            "averages": self.averages.state_dict() if self.averages is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
            "history": self.history,
            "bad": self.bad,
            "left_out": self.left_out.rows,
            "trained_on": dict(self.trained_on),
            "strength": dict(self.strength),
            "best": self.best,
        }
        write_torch_file(state_path(self.out), content)

    def resume(self) -> bool:
        """Load the state beside ``out``; returns False if there is none.

        Raises:
            ModelError: the state is damaged.
            UsageError: it was made by the other command, or with other options, data or labels (names the first
                difference), or not every process sees it.
        """
        path = state_path(self.out)
        if not is_seen(path, self.world):
            return False
        content, _ = read_torch_file(path)
        check_state(content, self.options, path, labels=self.labels)
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.averages is not None:
            self.averages.load_state_dict(content["averages"])
        self.progress = Progress.from_meta(content["progress"])
        self.history, self.bad, self.best = content["history"], content["bad"], content["best"]
        self.trained_on = content.get("trained_on", self.trained_on)  # media may have vanished since
        self.strength = content.get("strength", self.strength)
        return True


def left_out_before(out: Path, world: World, data: str, labels: str = "") -> UnopenedMedia:
    """The media that an unfinished run of ``out`` on ``data`` left out; empty and not known if there is no such run.

    A state of another version, of other data or labels is ignored here and refused by ``TrainingRun.resume``.

    Raises:
        ModelError: the state is damaged.
        UsageError: not every process sees it.
    """
    path = state_path(out)
    content = read_torch_file(path)[0] if is_seen(path, world) else None
    if not isinstance(content, dict) or content.get("version") != STATE_VERSION:
        return UnopenedMedia()
    if (content.get("options", {}).get("data"), content.get("labels", labels)) != (data, labels):
        return UnopenedMedia()
    return UnopenedMedia(content["left_out"], is_known=True)


def digest_of_lines(lines: Iterable[bytes]) -> str:
    """SHA-256 of the lines of a data set, hex."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()
