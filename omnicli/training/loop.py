"""The training loop of teachers and students; the step in ``train_epoch`` minimises OmniSource Eq. 1."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Protocol

from torch import Tensor, nn

from omnicli.data.dataloader import Example, ExampleKey, SourceBatch, StepBatch
from omnicli.errors import Interrupted, OmniError
from omnicli.training.objective import Objective, SourceLoss
from omnicli.training.trainer import Metrics, SourceMetrics, TrainingRun


class TrainingDiverged(OmniError):
    """The loss, its gradient or the scores are not finite; the message names which, and where."""


class Inputs(Protocol):
    """Supplies batches to the loop and runs the model on them; ``inputs.ClipInputs`` implements it."""

    def batches(self, bad: Mapping[ExampleKey, str], epoch: int, first_step: int) -> Iterator[StepBatch]:
        """The batches of an epoch, from ``first_step`` on; examples in ``bad`` are left out."""

    def to_device(self, batch: SourceBatch) -> Tensor:
        """(N, ...) float, the inputs of the model."""

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, K) of the model."""


def train_epochs(
    run: TrainingRun,
    inputs: Inputs,
    objective: Objective,
    *,
    measure: Callable[[TrainingRun], Metrics],
    on_bad: Callable[[Example, str], None],
) -> Iterator[Metrics]:
    """Train to the end, beginning with the metric records of epochs that an earlier run finished.

    Args:
        run: fresh or resumed.
        inputs: of the model.
        objective: the loss.
        measure: gives more metrics after each epoch; may save the best checkpoint.
        on_bad: called once per example whose media turn out to be unreadable, on any process.

    Yields:
        One metric record per epoch and source; that of the first source has the measured metrics.

    Raises:
        Interrupted: ``run.should_stop`` returned True, or reading or measuring was stopped; the state is saved. Or
            another process died inside a step; the state is that of the last save.
        TrainingDiverged: the loss is not finite; the state is that of the last save.
    """
    yield from run.history
    run.start_saving()
    while run.progress.epoch < run.schedule.epochs:
        started_at, epoch = time.monotonic(), run.progress.epoch
        batches = _report_bad(run, inputs.batches(run.bad, epoch, run.progress.step), on_bad)
        try:
            if not train_epoch(run, batches, inputs, objective):
                raise Interrupted(f"stopped in epoch {epoch + 1}; run the same command again to go on")
            first, *others = run.progress.metrics()
            first |= {"lr": run.lr_at(epoch, 0), **measure(run)}
        except Interrupted:
            run.save_if_between_steps()
            raise
        first["seconds"] = round(time.monotonic() - started_at, 3)
        run.finish_epoch([first, *others])
        yield from (first, *others)


def train_epoch(run: TrainingRun, batches: Iterable[StepBatch], inputs: Inputs, objective: Objective) -> bool:
    """Take the remaining steps of the current epoch.

    OmniSource Eq. 1 is the cross-entropy summed over B_T and every B_A,i, and one update minimises it. Ours: it is
    divided by the number of samples, and the learning rate is scaled with that number. The gradient then moves the
    weights as that of the sum does at a fixed learning rate, but weight decay is scaled too, and what is clipped
    is the gradient of a mean, as in the released configurations. (The released runner does not minimise Eq. 1: it takes
    an update per source batch, ``--joint alternate``.)

    One forward pass per source, so each has its own batch statistics, as in the released runner; a backward pass after
    each (Ours), so the activations of only one pass are in memory.

    Args:
        run: its model is in training mode afterwards.
        batches: from step ``run.progress.step`` on; an empty one counts as a step and changes nothing. Every process
            brings equally many.
        inputs: of the model.
        objective: the loss of one source.

    Returns:
        False if it stopped before the end; all processes stop together.

    Raises:
        TrainingDiverged: the loss or its gradient is not finite; the weights are those before the step.
    """
    model, world = run.model, run.world
    model.train()
    for batch in batches:
        num_clips = world.total(batch.num_clips)  # |B_T| + |B_A,1| + ..., of all processes
        if num_clips:
            run.begin_step()
            losses: list[SourceLoss] = []
            for part in objective.parts(batch, inputs.to_device, run.mixup_rng):
                losses.append(loss := objective(inputs.logits, part))  # one forward pass per source
                if not math.isfinite(loss.value):
                    break
                share = loss.num_clips / num_clips  # OmniSource Eq. 1 sums over samples; Ours: divided by their number
                (loss.mean * share).backward()  # type: ignore[no-untyped-call]
            _count(run, losses)
            world.sum_gradients(model)
            _check_norm(nn.utils.clip_grad_norm_(run.trained_parameters, run.clip_norm), run, batch)
            run.update_weights()
        run.finish_step()
        if world.total(run.stop_or_save()):
            return False
    return True


def _count(run: TrainingRun, losses: Sequence[SourceLoss]) -> None:
    """Add the losses of all processes to the metrics of the epoch. Raises TrainingDiverged on every process."""
    sums, problem = {source: SourceMetrics() for source in run.progress.tallies}, ""
    for loss in losses:
        if not math.isfinite(loss.value):
            name = f"the loss of {loss.source}" if loss.source else "the loss"
            problem = _diverged(name, loss.value, run, loss.ids)
        else:
            sums[loss.source].add(loss.value * loss.num_clips, loss.num_correct, loss.num_clips)
    flat = chain.from_iterable((one.loss_sum, one.num_correct, one.num_clips) for one in sums.values())
    num_problems, *totals = run.world.sum([bool(problem), *flat])
    if num_problems:
        raise TrainingDiverged(problem or "the loss of another process is not finite; see the message of that process")
    for index, tally in enumerate(run.progress.tallies.values()):
        tally.add(*totals[3 * index : 3 * index + 3])


def _check_norm(norm: Tensor, run: TrainingRun, batch: StepBatch) -> None:
    if not math.isfinite(norm):  # the same on every process
        raise TrainingDiverged(_diverged("the norm of the gradient", float(norm), run, batch.ids))


def _diverged(name: str, value: float, run: TrainingRun, ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:8]) + (" ..." if len(ids) > 8 else "")
    return (
        f"{name} is {value} at epoch {run.progress.epoch + 1}, step {run.progress.step + 1}, records {shown}; "
        "try a smaller --lr, or look at these records"
    )


def _report_bad(
    run: TrainingRun, batches: Iterable[StepBatch], on_bad: Callable[[Example, str], None]
) -> Iterator[StepBatch]:
    """The batches; unreadable media are reported only when their batch is due, so that a resumed run knows the same."""
    for batch in batches:
        for drawn, why in run.world.gather_rare(batch.bad):
            if drawn.key not in run.bad:  # drawn twice, an example may have been read ahead twice
                run.bad[drawn.key] = why
                on_bad(drawn.example, why)
        yield batch
