"""How a training runs as a command: processes, signals, accounting, metric lines, TensorBoard."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnicli import __version__
from omnicli.commands.options.compute import ComputeOptions
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.streams import StreamOptions, check_one_file, check_outputs_differ
from omnicli.commands.run.counters import ReadAccountant
from omnicli.commands.run.summary import print_options
from omnicli.extras import need
from omnicli.process import stopping_training

if TYPE_CHECKING:
    from omnicli.training.context import TrainingContext
    from omnicli.training.distributed import World

Metrics = Mapping[str, Any]
Train = Callable[["TrainingContext", ReadAccountant], Iterable[Metrics]]


@dataclass(frozen=True, kw_only=True)
class TrainingCommand:
    """A command that trains.

    Attributes:
        name: the subcommand.
        streams: ``-o``, ``--rejects``, ``--summary``, ``--max-bad`` and ``--root``.
        compute: device, precision and threads.
        logging: what is reported.
        options: the resolved options, for ``--dry-run`` and ``--summary``.
        tensorboard: folder for TensorBoard, or None.
        compile: compile the model with torch.compile.
        allow_overlap: train although sets share records.
        augmentations: the options given for training clips that change their pixels.
    """

    name: str
    streams: StreamOptions
    compute: ComputeOptions
    logging: LoggingOptions
    options: Mapping[str, Any]
    tensorboard: Path | None = None
    compile: bool = False
    allow_overlap: bool = False
    augmentations: tuple[str, ...] = ()

    def run(self, train: Train) -> None:
        """Train and print the metric lines. Only the first of several processes writes. Raises OmniError."""
        streams = self.streams
        check_one_file(streams.output, command=self.name, what="a checkpoint")
        check_outputs_differ({"-o": streams.output, "--rejects": streams.rejects, "--summary": streams.summary})
        if self.logging.dry_run:
            print_options({"omni": __version__, "command": self.name, **self.options})
            return
        if self.tensorboard:
            need("tensorboard", "--tensorboard")  # before the seconds of importing PyTorch
        with stopping_training() as stop:
            from omnicli.training.context import TrainingContext
            from omnicli.training.distributed import join_world

            stop.check()  # importing PyTorch takes seconds
            with (
                join_world(self.compute.device) as world,
                self._accountant(world) as accountant,
                drawing_in(self.tensorboard if world.is_first else None) as draw,
            ):
                context = TrainingContext(
                    device=world.device, root=streams.root, should_stop=lambda: stop.is_requested, world=world,
                    compile=self.compile, allow_overlap=self.allow_overlap, say=accountant.console.say,
                    augmentations=self.augmentations, **self._resolved(world),
                )  # fmt: skip
                self._print(train(context, accountant), accountant, world, draw)

    def _resolved(self, world: "World") -> dict[str, Any]:
        from omnicli.cpus import available_cores
        from omnicli.inference.device import pick_precision, prepare_cpu
        from omnicli.training.distributed import local_share

        cores = local_share(available_cores())
        prepare_cpu(cores)
        return {
            "precision": pick_precision(self.compute.precision, world.device),
            "workers": self.compute.workers or cores,
        }

    def _accountant(self, world: "World") -> ReadAccountant:
        console = self.logging.console(self.name) if world.is_first else LoggingOptions(quiet=True).console(self.name)
        streams = self.streams if world.is_first else StreamOptions()
        return ReadAccountant(console, streams, options=self.options, purpose="trained on")

    def _print(
        self, lines: Iterable[Metrics], accountant: ReadAccountant, world: "World", draw: Callable[[Metrics], None]
    ) -> None:
        """Print the metric lines as they come, and the closing line."""
        from omnicli.streams.reading import incomplete
        from omnicli.streams.record import format_record
        from omnicli.streams.write.stdout import open_stdout

        console = accountant.console
        console.detail(str(self.options))
        last: dict[str, Any] = {}
        stdout = open_stdout(live=True) if world.is_first else None
        printed = PrintedLines(Path(self.streams.output or ""))
        with console.progress(lambda: f"{accountant.num_in:,} in, {shown_metrics(last)}"):
            for number, metrics in enumerate(lines):
                line = {**metrics, "epoch": metrics["epoch"] + 1}  # people count epochs from 1
                if stdout is not None and number >= printed.count:
                    stdout.write(format_record(line))
                    printed.note(number + 1)
                if "source" in line:
                    accountant.result[line["source"]] = line
                if line.get("source", "target") == "target":
                    last.update(line)
                draw(line)
        printed.forget()
        accountant.result = accountant.result or last
        accountant.count_incomplete(world.gather_rare(incomplete.found()))
        console.say(f"{accountant.sums()}; {shown_metrics(last)} → {self.streams.output}")


class PrintedLines:
    """How many metric lines are printed, for the processes that ``torchrun --max-restarts`` starts again.

    They write to the same stdout, so each line is printed once. A run that a user starts again prints all lines, so
    that ``> metrics.jsonl`` loses none.

    Args:
        out: the checkpoint; the number lies beside it.
    """

    def __init__(self, out: Path) -> None:
        self._path = out.with_name(f".{out.name}.printed")
        restarts = (os.environ.get(f"TORCHELASTIC_{name}", "0") for name in ("MAX_RESTARTS", "RESTART_COUNT"))
        self._is_noted, is_restart = (int(number) > 0 for number in restarts)
        self.count = int(self._path.read_text()) if is_restart and self._path.exists() else 0

    def note(self, count: int) -> None:
        """Note that ``count`` lines are printed."""
        if self._is_noted:
            self._path.write_text(str(count))

    def forget(self) -> None:
        """Delete the note: training has finished."""
        if self._is_noted:
            self._path.unlink(missing_ok=True)


def shown_metrics(metrics: Metrics) -> str:
    """The metrics of an epoch for people; those of validation with the views that gave them."""
    if not metrics:
        return "no epoch yet"
    names = {"train_top1_acc": "train top-1", "val_top1_acc": "val top-1", "val_mean_ap": "val mAP"}
    shown = [f"{text} {100 * metrics[name]:.1f} %" for name, text in names.items() if name in metrics]
    view = f" ({metrics['val_view']})" if metrics.get("val_view") else ""
    return f"epoch {metrics['epoch']}, " + ", ".join(shown) + view


@contextlib.contextmanager
def drawing_in(folder: Path | None) -> Iterator[Callable[[Metrics], None]]:
    """A function that writes a metric record to TensorBoard, one curve per number and source; None writes nothing.

    A restarted training prints its lines again, and they replace what the folder holds.

    Raises:
        UsageError: the package is not installed.
    """
    if folder is None:
        yield lambda metrics: None
        return
    need("tensorboard", "--tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder, purge_step=0) as writer:

        def draw(metrics: Metrics) -> None:
            source = f"{metrics['source']}/" if "source" in metrics else ""
            for name, value in metrics.items():
                if name not in ("epoch", "source", "val_view"):
                    writer.add_scalar(f"{source}{name}", value, metrics["epoch"])
            writer.flush()

        yield draw
