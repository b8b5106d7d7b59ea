"""Training that can be stopped anywhere and goes on bit for bit: what teacher-train and train have in common.

Beside ``-o tsn.pth``, which is absent until training has finished, lies ``.tsn.pth.state``: weights, optimiser, the
place in the epoch, the metric records written so far and the media found unreadable. Every draw is keyed by epoch and
record, or by epoch and step, so there is no random state to keep.
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

from omnicli.data.keyed_random import keyed_seed
from omnicli.data.loaders import Batch, Example
from omnicli.engine.fit import Progress, StepLoss, train_epoch
from omnicli.engine.optim import Schedule
from omnicli.errors import Interrupted, UsageError
from omnicli.models.checkpoint import read_whole, write_whole
from omnicli.streams.records import Record, format_record

STATE_FORMAT = "omni-training-state"
STATE_VERSION = 1
SAVE_SEC = 5.0  # Ours: an epoch on ready features takes milliseconds, and a save two fsyncs

Metrics = dict[str, Any]


@dataclass(kw_only=True)
class Training:
    """One training run, fresh or taken up again.

    Attributes:
        out: the finished checkpoint to be; the state lies beside it.
        model: being trained, on its device.
        optimizer: its groups carry ``lr_scale``.
        schedule: of the learning rate.
        lr: the learning rate at factor 1.
        steps_per_epoch: batches of an epoch.
        seed: of every draw.
        stage: whose draws; part of every key.
        options: all that decides the result, as JSON values; a state made with others is refused.
        should_stop: asked after every step.
        progress: the place in the epoch.
        history: metric records of finished epochs.
        bad: ids of examples whose media turned out unreadable, and why.
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
    progress: Progress = field(default_factory=Progress)
    history: list[Metrics] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)
    best: float = -1.0

    def run(
        self,
        batches_of: Callable[[int, int], Iterable[Batch]],
        *,
        compute_loss: Callable[[nn.Module, Batch], StepLoss],
        measure: Callable[["Training"], Metrics],
        on_bad: Callable[[Example, str], None],
    ) -> Iterator[Metrics]:
        """Train to the end, beginning with the metric records of epochs that an earlier run had finished.

        Args:
            batches_of: the batches of an epoch, from a step on.
            compute_loss: of one batch.
            measure: more metrics, after each epoch; may save a best checkpoint.
            on_bad: told once of every example whose media turns out unreadable.

        Yields:
            One metric record an epoch.

        Raises:
            Interrupted: ``should_stop`` said so, or who reads or measures was stopped; the state is saved.
            TrainingDiverged: the loss is not finite; the state is that of the last save.
        """
        yield from self.history
        saved_at = time.monotonic()
        while self.progress.epoch < self.schedule.epochs:
            started_at, epoch = time.monotonic(), self.progress.epoch
            watched = self._watch(batches_of(epoch, self.progress.step), on_bad)
            try:
                if not self.train_epoch(watched, compute_loss):
                    raise Interrupted(f"stopped in epoch {epoch}; run the same command again to go on")
                metrics: Metrics = {"epoch": epoch, "lr": self.lr_at(epoch, 0), **self.progress.means()}
                metrics |= {"num_clips": self.progress.num_clips, **measure(self)}
            except Interrupted:
                self.save()
                raise
            metrics["seconds"] = round(time.monotonic() - started_at, 3)
            self.history.append(metrics)
            self.progress.next_epoch()
            if time.monotonic() - saved_at > SAVE_SEC or self.progress.epoch == self.schedule.epochs:
                self.save()
                saved_at = time.monotonic()
            yield metrics

    def train_epoch(self, batches: Iterable[Batch], compute_loss: Callable[[nn.Module, Batch], StepLoss]) -> bool:
        """The rest of the current epoch; False if it was stopped before its end."""
        return train_epoch(
            self.model,
            batches,
            compute_loss=compute_loss,
            optimizer=self.optimizer,
            lr_at=self.lr_at,
            progress=self.progress,
            seed_at=lambda epoch, step: keyed_seed(self.seed, self.stage, "step", epoch, step),
            should_stop=self.should_stop,
        )

    def lr_at(self, epoch: int, step: int) -> float:
        """The learning rate of a step."""
        return self.lr * self.schedule.factor(epoch + step / max(self.steps_per_epoch, 1))

    def save(self) -> None:
        """Replace the state, whole or not at all."""
        content = {
            "format": STATE_FORMAT,
            "version": STATE_VERSION,
            "options": dict(self.options),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": self.progress.to_meta(),
            "history": self.history,
            "bad": self.bad,
            "best": self.best,
        }
        write_whole(state_path(self.out), content)

    def resume(self) -> bool:
        """Take up the state beside ``out``, if there is one; True if there was.

        Raises:
            ModelError: the state is damaged.
            UsageError: it was made with other options or other data; names the first that differs.
        """
        path = state_path(self.out)
        if not path.exists():
            return False
        content, _ = read_whole(path)
        _check_state(content, self.options, path)
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.progress = Progress(**content["progress"])
        self.history, self.bad, self.best = content["history"], content["bad"], content["best"]
        return True

    def _watch(self, batches: Iterable[Batch], on_bad: Callable[[Example, str], None]) -> Iterator[Batch]:
        """The batches, noting bad media only when their batch is due, so that a restart knows the same ones."""
        for batch in batches:
            for example, why in batch.bad:
                self.bad[str(example.record.get("id"))] = why
                on_bad(example, why)
            yield batch


def state_path(out: Path) -> Path:
    """``tsn.pth`` → ``.tsn.pth.state``, a name that readers of folders pass over."""
    return out.with_name(f".{out.name}.state")


def forget_state(out: Path) -> None:
    """Take the state away: training has finished, or starts over."""
    state_path(out).unlink(missing_ok=True)


def digest_of_records(records: Iterable[Record]) -> str:
    """What a data set is, for comparing: SHA-256 of its lines, hex."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(format_record(record))
    return digest.hexdigest()


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
