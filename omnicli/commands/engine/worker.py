"""A worker process of an engine: loads the stage of a command line once, and runs the jobs that the driver sends."""

import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from omnicli import __version__, cpus
from omnicli.commands.run.jobs import EXIT_INTERNAL, JobResult, open_stage, run_job
from omnicli.errors import Interrupted, OmniError, is_out_of_memory
from omnicli.process import crash_log
from omnicli.streams.write.claims import work_for

if TYPE_CHECKING:
    from omnicli.streams.write.output_folder import Job

GRACE_SEC = 10.0  # Ours: for the record that is being read when the worker is stopped


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What a worker is made from; picklable.

    Attributes:
        argv: the words after ``omni``.
        folder: the working directory of the driver, from which relative paths start.
        environment: variables of the driver that decide, such as OMNI_BATCH_SIZE.
        cores: that this worker may use; None: all that it has.
        driver: a name that no other driver has.
    """

    argv: Sequence[str]
    folder: str
    environment: Mapping[str, str] = field(default_factory=dict)
    cores: int | None = None
    driver: str = ""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a worker reports when its stage is loaded: where it is, and what the closing lines need to know."""

    where: str
    version: str = __version__
    classes: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class Trouble:
    """An error that ends the run: the message, and the exit code of the command."""

    message: str
    exit_code: int

    @classmethod
    def of(cls, error: BaseException) -> "Trouble":
        """The error as the command line reports it."""
        if isinstance(error, OmniError):
            return cls(str(error), error.exit_code)
        if is_out_of_memory(error):
            return cls("out of memory; try a smaller --batch-size or fewer --workers", 1)
        crash_log.add(error, "engine")
        where = crash_log.path or "no file: TMPDIR cannot be written"
        return cls(f"internal error: {type(error).__name__}: {error}; the traceback is in {where}", EXIT_INTERNAL)


class Worker:
    """A stage that is loaded in this process. Raises OmniError: it cannot be loaded."""

    def __init__(self, setup: WorkerSetup) -> None:
        try:
            os.chdir(setup.folder)
        except OSError as error:
            raise OmniError(f"{setup.folder}: {error.strerror}; the folder must exist on every node") from None
        os.environ.update(setup.environment)
        cpus.limit_cores(setup.cores)
        work_for(setup.driver)
        self._stop = threading.Event()
        self._stage = open_stage(setup.argv)

    def opened(self) -> Opened:
        """What the driver has to know of the stage."""
        spec = self._stage.spec
        return Opened(
            where=f"{socket.gethostname()}, process {os.getpid()}",
            classes=list(spec.classes),
            facts=dict(spec.facts),
            lines=self._stage.lines,
        )

    def run(self, job: "Job") -> JobResult:
        """Run a job. Raises Interrupted: the driver has stopped this worker; and what ``run_job`` raises."""
        return run_job(self._stage, job, should_stop=self._stop.is_set)

    def stop(self) -> None:
        """End the job that runs, with its state saved. From any thread."""
        self._stop.set()


def serve(connection: Connection) -> None:
    """Answer the driver at the other end of a connection, until it closes it: a local worker process.

    Receives a WorkerSetup, and answers Opened; then receives Jobs, and answers each with a JobResult. A Trouble
    instead of an answer ends the worker.
    """
    try:
        worker = Worker(connection.recv())
        connection.send(worker.opened())
        for job in iter(_received(connection, worker).get, None):
            connection.send(worker.run(job))
    except (Interrupted, EOFError, BrokenPipeError):
        pass
    except Exception as error:
        connection.send(Trouble.of(error))


def _received(connection: Connection, worker: Worker) -> "queue.SimpleQueue[Job | None]":
    """The jobs of the driver; None when it has closed the connection, or died."""
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def receive() -> None:
        try:
            while True:
                jobs.put(connection.recv())
        except (EOFError, OSError):
            worker.stop()
            jobs.put(None)
            time.sleep(GRACE_SEC)
            os._exit(Interrupted.exit_code)  # in the middle of a long record

    threading.Thread(target=receive, daemon=True).start()
    return jobs


def main() -> None:
    """Entry point of a local worker process: the argument is the descriptor of its connection."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the driver decides when a worker stops
        signal.signal(number, signal.SIG_IGN)
    serve(Connection(int(sys.argv[1])))
    os._exit(0)  # threads of libraries may wait for ever
