"""Where and how a training runs."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from omnicli.cpus import available_cores
from omnicli.training.distributed import World


@dataclass(frozen=True, kw_only=True)
class TrainingContext:
    """Where and how a training runs; changes the result by rounding at most.

    Attributes:
        device: of the model.
        precision: dtype of the forward pass; weights stay float32.
        workers: threads that read and decode.
        root: folder that relative paths start from.
        should_stop: called after every step and while media are read.
        world: the processes that train together.
        compile: compile the model with torch.compile.
        allow_overlap: train although sets share records.
        say: takes a line for people.
        augmentations: options that the user gave for training clips, which rows of features do not have.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: torch.dtype = torch.float32
    workers: int = field(default_factory=available_cores)
    root: str | None = None
    should_stop: Callable[[], bool] = lambda: False
    world: World = field(default_factory=World)
    compile: bool = False
    allow_overlap: bool = False
    say: Callable[[str], None] = lambda line: None
    augmentations: tuple[str, ...] = ()

    def autocast(self) -> torch.autocast:
        """The context of a forward pass in ``precision``."""
        return torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision != torch.float32)
