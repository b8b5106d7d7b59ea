"""Options of `--engine`: which processes run the jobs of ``-o DIR/``."""

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from omnicli.commands.options.groups import COMPUTE, RARE
from omnicli.errors import UsageError
from omnicli.extras import need

Engine = Literal["local", "ray"]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Where the jobs of ``-o DIR/`` run. Raises UsageError: Ray is not installed."""

    engine: Annotated[
        Engine | None,
        typer.Option("--engine", help="With -o DIR/: run a job per input file in several processes of this machine "
                     "(local) or of a Ray cluster (ray). Default: in this process, one after another.",
                     show_default=False, rich_help_panel=COMPUTE), RARE,
    ] = None  # fmt: skip
    processes: Annotated[
        int | None,
        typer.Option("--processes", metavar="N", min=1, help="--engine local: number of processes, which share GPUs "
                     "and cores.", show_default="for a model one per GPU, else 1", rich_help_panel=COMPUTE), RARE,
    ] = None  # fmt: skip
    ray_address: Annotated[
        str | None,
        typer.Option("--ray-address", metavar="HOST:PORT", help="--engine ray: the cluster.",
                     show_default="a cluster that runs on this machine, else a new one on all its GPUs and cores",
                     rich_help_panel=COMPUTE), RARE,
    ] = None  # fmt: skip
    gpus_per_worker: Annotated[
        float | None,
        typer.Option("--gpus-per-worker", metavar="G", min=0, help="--engine ray: GPUs, or share of one, per worker.",
                     show_default="1 for a model if a node has GPUs, else 0", rich_help_panel=COMPUTE), RARE,
    ] = None  # fmt: skip
    cpus_per_worker: Annotated[
        int | None,
        typer.Option("--cpus-per-worker", metavar="C", min=1, help="--engine ray: cores per worker.",
                     show_default="cores per GPU of a node, else up to 8", rich_help_panel=COMPUTE), RARE,
    ] = None  # fmt: skip

    def __post_init__(self) -> None:
        if self.engine == "ray":
            need("ray", "--engine ray")

    def check_engine(self, *, to_folder: bool) -> None:
        """Refuse options that do nothing beside the others. Raises UsageError."""
        if self.engine and not to_folder:
            raise UsageError("--engine runs one job per input file: give -o DIR/")
        if self.processes and self.engine != "local":
            raise UsageError("--processes needs --engine local")
        for option, value in {
            "--ray-address": self.ray_address,
            "--gpus-per-worker": self.gpus_per_worker,
            "--cpus-per-worker": self.cpus_per_worker,
        }.items():
            if value is not None and self.engine != "ray":
                raise UsageError(f"{option} needs --engine ray")
