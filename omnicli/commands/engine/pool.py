"""The interface between the driver and a pool of workers: what it asks, and the events that come back."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from omnicli.commands.engine.worker import Opened, Trouble
from omnicli.commands.run.jobs import JobResult

if TYPE_CHECKING:
    from omnicli.streams.write.output_folder import Job


@dataclass(frozen=True)
class Died:
    """A worker is gone.

    Attributes:
        how: for people, such as "killed by SIGKILL".
        with_node: its machine is gone, so that the job that it ran is not to blame.
    """

    how: str
    with_node: bool = False


@dataclass(frozen=True)
class Event:
    """What a worker reports, or what has become of it."""

    worker: Hashable
    news: Opened | JobResult | Trouble | Died


class Pool(Protocol):
    """Workers that come and go. Each has one stage, loaded, and runs one job at a time."""

    def idle(self, num_wanted: int) -> Sequence[Hashable]:
        """Workers that wait for a job; starts more if fewer than ``num_wanted`` are idle and there is room."""

    def give(self, worker: Hashable, job: "Job") -> None:
        """Send a job to an idle worker."""

    def wait(self, timeout_sec: float) -> Sequence[Event]:
        """What has happened; nothing after the time-out."""

    def close(self) -> None:
        """Stop all workers; those that run a job save its state."""
