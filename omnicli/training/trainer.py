"""Training that can be stopped anywhere and goes on bit for bit: what teacher-train and train have in common.

Beside ``-o tsn.pth``, which is absent until training has finished, lies ``.tsn.pth.state``: weights, optimiser, the
place in the epoch, the metric records written so far and the media found unreadable. Every draw is keyed by epoch and
record, or by epoch and step, so there is no random state to keep. Of several processes the first one writes, and all of
them read.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from omnicli.data.dataloader import Example, ExampleKey, StepBatch
from omnicli.errors import Interrupted, UsageError
from omnicli.models.checkpoint import read_torch_file, write_torch_file
from omnicli.rng import keyed_seed
from omnicli.streams.record import Record, format_record
from omnicli.training.distributed import World
from omnicli.training.loop import Progress, StepLoss, train_epoch
from omnicli.training.optim import Schedule

STATE_FORMAT = "omni-training-state"
STATE_VERSION = 4
SAVE_SEC = 5.0  # Ours: an epoch on ready features takes milliseconds, and a save two fsyncs
SAVE_INSIDE_SEC = 600.0  # Ours: what a dead machine may cost of a long epoch

Metrics = dict[str, Any]
ComputeLoss = Callable[[nn.Module, StepBatch], Iterable[StepLoss]]


@dataclass
class UnopenedMedia:
    """What could not be opened before the first step, and so has no place in any epoch.

    Also when the training is taken up again and media have come back, or others have gone: their places stay, empty.

    Attributes:
        places: of each set of examples, by name, the places in it and why.
        is_known: they come from the state of an unfinished training.
    """

    places: dict[str, dict[int, str]] = field(default_factory=dict)
    is_known: bool = False


@dataclass(kw_only=True)
class TrainingRun:
    """One training run, fresh or taken up again.

    Attributes:
        out: the finished checkpoint to be; the state lies beside it.
        model: being trained, on its device.
        optimizer: its groups carry ``lr_scale``.
        schedule: of the learning rate.
        lr: the learning rate at factor 1.
        steps_per_epoch: updates of an epoch.
        seed: of every draw.
        stage: whose draws; part of every key.
        options: all that decides the result, as JSON values; a state made with others is refused.
        should_stop: asked after every step.
        world: the processes that train together.
        averages: of the weights over steps (EMA), if they are wanted; then they are what is measured and kept.
        left_out: what could not be opened before the first step.
        progress: the place in the epoch.
        history: metric records of finished epochs.
        bad: examples whose media turned out unreadable, and why.
        best: the best value of the metric that chooses the best epoch.
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
    world: World = field(default_factory=World)
    averages: AveragedModel | None = None
    left_out: UnopenedMedia = field(default_factory=UnopenedMedia)
    progress: Progress = field(default_factory=Progress)
    history: list[Metrics] = field(default_factory=list)
    bad: dict[ExampleKey, str] = field(default_factory=dict)
    best: float = -1.0
    _saved_at: float | None = None  # None: nothing is saved, as while the classifier is probed

    @property
    def result(self) -> nn.Module:
        """The model to measure and keep."""
        return self.averages.module if self.averages is not None else self.model

    def run(
        self,
        batches_of: Callable[[int, int], Iterable[StepBatch]],
        *,
        compute_loss: ComputeLoss,
        measure: Callable[["TrainingRun"], Metrics],
        on_bad: Callable[[Example, str], None],
    ) -> Iterator[Metrics]:
        """Train to the end, beginning with the metric records of epochs that an earlier run had finished.

        Args:
            batches_of: the batches of an epoch, from a step on.
            compute_loss: of one batch.
            measure: more metrics, after each epoch; may save a best checkpoint.
            on_bad: told once of every example whose media turns out unreadable, on any rank.

        Yields:
            One metric record an epoch and source; the first source's has the measured metrics.

        Raises:
            Interrupted: ``should_stop`` said so, or who reads or measures was stopped; the state is saved.
            TrainingDiverged: the loss is not finite; the state is that of the last save.
        """
        yield from self.history
        self._saved_at = time.monotonic()
        while self.progress.epoch < self.schedule.epochs:
            started_at, epoch = time.monotonic(), self.progress.epoch
            watched = self._watch(batches_of(epoch, self.progress.step), on_bad)
            try:
                if not self.train_epoch(watched, compute_loss):
                    raise Interrupted(f"stopped in epoch {epoch}; run the same command again to go on")
                first, *others = self._lines()
                first |= {"lr": self.lr_at(epoch, 0), **measure(self)}
            except Interrupted:
                self.save()
                raise
            first["seconds"] = round(time.monotonic() - started_at, 3)
            self.history += [first, *others]
            self.progress.next_epoch()
            if time.monotonic() - self._saved_at > SAVE_SEC or self.progress.epoch == self.schedule.epochs:
                self.save()
            yield from (first, *others)

    def train_epoch(self, batches: Iterable[StepBatch], compute_loss: ComputeLoss) -> bool:
        """The rest of the current epoch; False if it was stopped before its end."""
        return train_epoch(
            self.model,
            batches,
            compute_loss=compute_loss,
            optimizer=self.optimizer,
            lr_at=self.lr_at,
            progress=self.progress,
            seed_at=self._seed_at,
            should_stop=self._stop_or_save,
            world=self.world,
            after_step=lambda: self.averages.update_parameters(self.model) if self.averages is not None else None,
        )

    def lr_at(self, epoch: int, step: int) -> float:
        """The learning rate of a step."""
        return self.lr * self.schedule.factor(epoch + step / max(self.steps_per_epoch, 1))

    def save(self) -> None:
        """Replace the state, whole or not at all."""
        self._saved_at = time.monotonic()
        if not self.world.is_first:
            return
        content = {
            "format": STATE_FORMAT,
            "version": STATE_VERSION,
            "options": dict(self.options),
            "model": self.model.state_dict(),
            "averages": self.averages.state_dict() if self.averages is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "progress": self.progress.to_meta(),
            "history": self.history,
            "bad": self.bad,
            "left_out": self.left_out.places,
            "best": self.best,
        }
        write_torch_file(state_path(self.out), content)

    def resume(self) -> bool:
        """Take up the state beside ``out``, if there is one; True if there was.

        Raises:
            ModelError: the state is damaged.
            UsageError: it was made with other options or other data; names the first that differs. Or not every process
                sees it.
        """
        path = state_path(self.out)
        if not _is_seen(path, self.world):
            return False
        content, _ = read_torch_file(path)
        _check_state(content, self.options, path)
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.averages is not None:
            self.averages.load_state_dict(content["averages"])
        self.progress = Progress.from_meta(content["progress"])
        self.history, self.bad, self.best = content["history"], content["bad"], content["best"]
        return True

    def _stop_or_save(self) -> bool:
        """Asked after each step; inside a long epoch the state is saved now and then."""
        stop = self.should_stop()
        if not stop and self._saved_at is not None and time.monotonic() - self._saved_at > SAVE_INSIDE_SEC:
            self.save()
        return stop

    def _lines(self) -> list[Metrics]:
        """One a source, of the epoch so far."""
        return [
            {"epoch": self.progress.epoch, **({"source": source} if source else {}), **tally.means()}
            | {"num_clips": tally.num_clips}
            for source, tally in self.progress.tallies.items()
        ]

    def _seed_at(self, epoch: int, step: int) -> int:
        """Ranks drop out other units."""
        rank = self.world.rank
        return keyed_seed(self.seed, self.stage, f"step {rank}" if rank else "step", epoch, step)

    def _watch(self, batches: Iterable[StepBatch], on_bad: Callable[[Example, str], None]) -> Iterator[StepBatch]:
        """The batches, noting bad media only when their batch is due, so that a restart knows the same ones."""
        for batch in batches:
            for place, why in self.world.gather_rare(batch.bad):
                if place.key not in self.bad:  # drawn twice, it may have been read ahead twice
                    self.bad[place.key] = why
                    on_bad(place.example, why)
            yield batch


def state_path(out: Path) -> Path:
    """``tsn.pth`` → ``.tsn.pth.state``, a name that readers of folders pass over."""
    return out.with_name(f".{out.name}.state")


def forget_state(out: Path) -> None:
    """Take the state away: training has finished, or starts over."""
    state_path(out).unlink(missing_ok=True)


def left_out_before(out: Path, world: World, data: str) -> UnopenedMedia:
    """What an unfinished training of ``out`` on ``data`` left out at its beginning; nothing, and not known, if there is
    none: a state of another version, or of other data, is refused when it is taken up.

    Raises:
        ModelError: the state is damaged.
        UsageError: not every process sees it.
    """
    path = state_path(out)
    content = read_torch_file(path)[0] if _is_seen(path, world) else None
    if not isinstance(content, dict) or content.get("version") != STATE_VERSION:
        return UnopenedMedia()
    if content.get("options", {}).get("data") != data:
        return UnopenedMedia()
    return UnopenedMedia(content["left_out"], is_known=True)


def digest_of_records(records: Iterable[Record]) -> str:
    """What a data set is, for comparing: SHA-256 of its lines, hex."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(format_record(record))
    return digest.hexdigest()


def _is_seen(path: Path, world: World) -> bool:
    """Whether the state is there. Raises UsageError: for some processes only."""
    found = world.gather(path.exists())
    if any(found) and not all(found):
        raise UsageError(f"{path}: process {found.index(False)} does not see it; -o must lie on a shared disk")
    return all(found)


def _check_state(content: Any, options: Mapping[str, Any], path: Path) -> None:
    shown = os.fspath(path)
    if not isinstance(content, dict) or content.get("format") != STATE_FORMAT:
        raise UsageError(f"{shown}: not a training state; start over with --no-resume")
    before = content["options"]
    if content.get("version") != STATE_VERSION or before.get("omni") != options.get("omni"):
        raise UsageError(f"{shown}: made by another version of omni; start over with --no-resume")
    for name in options:
        if before.get(name) != options[name]:
            raise UsageError(
                f"{shown}: the unfinished training had {name} = {before.get(name)!r}, now {options[name]!r}; "
                "use the same, or start over with --no-resume"
            )
