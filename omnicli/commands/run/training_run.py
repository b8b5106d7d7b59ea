"""How a training runs as a command: stopped by signals, shown while it runs, drawn by TensorBoard."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from omnicli.errors import UsageError

Metrics = Mapping[str, Any]


@contextlib.contextmanager
def stopping_when_asked() -> Iterator[Any]:
    """SIGTERM and SIGUSR1 (what Slurm sends before the end) are noted, and training stops after the step.

    Yields:
        A function that tells whether one came.
    """
    asked = threading.Event()
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def shown_metrics(metrics: Metrics) -> str:
    """The metrics people want to see."""
    if not metrics:
        return "no epoch yet"
    names = {"train_top1_acc": "train top-1", "val_top1_acc": "val top-1", "val_mean_ap": "val mAP"}
    shown = [f"{text} {100 * metrics[name]:.1f} %" for name, text in names.items() if name in metrics]
    return f"epoch {metrics['epoch'] + 1}, " + ", ".join(shown)


@contextlib.contextmanager
def drawing(folder: Path | None) -> Iterator[Callable[[Metrics], None]]:
    """A function that draws a metric record in TensorBoard, one curve a number and source; None draws nothing.

    A restarted training prints its lines again, and what the folder held of them is replaced.

    Raises:
        UsageError: the package is not installed.
    """
    if folder is None:
        yield lambda metrics: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError("--tensorboard: not installed; pip install 'omnicli[tensorboard]'") from None
    with SummaryWriter(folder, purge_step=0) as writer:

        def draw(metrics: Metrics) -> None:
            source = f"{metrics['source']}/" if "source" in metrics else ""
            for name, value in metrics.items():
                if name not in ("epoch", "source"):
                    writer.add_scalar(f"{source}{name}", value, metrics["epoch"])
            writer.flush()

        yield draw
