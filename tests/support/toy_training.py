"""A training on points: ready tensors in place of media."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from omnicli.data.dataloader import DrawnExample, Example, ExampleKey, SourceBatch, StepBatch
from omnicli.streams.record import Record
from omnicli.training.optim import ParameterGroup, Schedule, make_sgd
from omnicli.training.trainer import Progress, SourceMetrics, TrainingRun


class PointInputs:
    """Gives the batches of ``steps_of(epoch)`` to the model and keeps what it was shown."""

    def __init__(self, model: nn.Module, steps_of: Callable[[int], Iterable[StepBatch]] = lambda epoch: ()) -> None:
        self.model = model
        self.steps_of = steps_of
        self.seen: list[Tensor] = []

    def batches(self, bad: Mapping[ExampleKey, str], epoch: int, first_step: int) -> Iterator[StepBatch]:
        yield from list(self.steps_of(epoch))[first_step:]

    def to_device(self, batch: SourceBatch) -> Tensor:
        return batch.clips

    def logits(self, inputs: Tensor) -> Tensor:
        self.seen.append(inputs)
        logits: Tensor = self.model(inputs)
        return logits


def step_of(
    points: Tensor, labels: Tensor, ids: Sequence[str], *, bad: tuple[tuple[DrawnExample, str], ...] = ()
) -> StepBatch:
    examples = tuple(Example(Record({"id": name}), int(label)) for name, label in zip(ids, labels, strict=True))
    return StepBatch((SourceBatch(points, labels, examples, bad),))


def make_run(
    model: nn.Module,
    out: Path = Path("a.pth"),
    *,
    sources: Sequence[str] = ("",),
    weight_decay: float = 0.0,
    **fields: Any,
) -> TrainingRun:
    defaults: dict[str, Any] = {
        "optimizer": make_sgd([ParameterGroup(list(model.parameters()), 1.0, weight_decay)]),
        "schedule": Schedule("constant", 100), "lr": 0.1, "steps_per_epoch": 5, "seed": 0, "stage": "train",
        "options": {}, "should_stop": lambda: False,
        "progress": Progress(tallies={source: SourceMetrics() for source in sources}),
    }  # fmt: skip
    return TrainingRun(out=out, model=model, **defaults | fields)
