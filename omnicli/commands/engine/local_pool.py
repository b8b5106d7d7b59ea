"""`--engine local`: worker processes of this machine, each with its GPU and its share of the cores.

They are new Python processes, never forks: CUDA and the threads of PyTorch do not survive one.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Hashable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, cast

import omnicli
from omnicli.commands.engine.pool import Died, Event
from omnicli.commands.engine.worker import GRACE_SEC, Opened, WorkerSetup
from omnicli.cpus import available_cores

if TYPE_CHECKING:
    from omnicli.streams.write.output_folder import Job

START = "from omnicli.commands.engine.worker import main; main()"
PACKAGES = str(Path(omnicli.__file__).parents[1])


class LocalPool:
    """A fixed number of worker processes; one that dies is replaced.

    Args:
        setup: of the workers.
        num_processes: how many.
        gpus: values of CUDA_VISIBLE_DEVICES, given to the workers in turn; empty: the workers see what this process
            sees.
    """

    def __init__(self, setup: WorkerSetup, num_processes: int, gpus: Sequence[str]) -> None:
        self._setup = replace(setup, cores=max(1, available_cores() // num_processes))
        self._gpus = gpus
        self._num_processes = num_processes
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._connections: dict[int, Connection] = {}
        self._idle: set[int] = set()
        self._busy: set[int] = set()

    def idle(self, num_wanted: int) -> Sequence[Hashable]:
        """Workers that wait for a job."""
        free = len(self._processes) - len(self._busy)
        for slot in range(self._num_processes):
            if slot not in self._processes and free < num_wanted:
                self._start(slot)
                free += 1
        return sorted(self._idle)

    def give(self, worker: Hashable, job: "Job") -> None:
        """Send a job; if the worker has just died, ``wait`` reports it."""
        slot = cast(int, worker)
        self._idle.discard(slot)
        self._busy.add(slot)
        with contextlib.suppress(OSError):
            self._connections[slot].send(job)

    def wait(self, timeout_sec: float) -> Sequence[Event]:
        """What has happened; nothing after the time-out."""
        ready = wait(list(self._connections.values()), timeout_sec)
        slots = [slot for slot, connection in self._connections.items() if connection in ready]
        return [self._event(slot) for slot in slots]

    def close(self) -> None:
        """Stop all workers: first with their state saved, then at once."""
        for connection in self._connections.values():
            connection.close()
        deadline = time.monotonic() + GRACE_SEC + 1
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._connections.clear()
        self._processes.clear()

    def _start(self, slot: int) -> None:
        ours, theirs = socket.socketpair()
        paths = [PACKAGES, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "OMP_NUM_THREADS": str(self._setup.cores), "PYTHONPATH": os.pathsep.join(paths)}
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpus[slot % len(self._gpus)]
        with theirs:
            command = [sys.executable, "-P", "-c", START, str(theirs.fileno())]
            self._processes[slot] = subprocess.Popen(
                command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
        self._connections[slot] = Connection(ours.detach())
        self._connections[slot].send(self._setup)

    def _event(self, slot: int) -> Event:
        try:
            news = self._connections[slot].recv()
        except (EOFError, OSError):
            return Event(slot, Died(self._bury(slot)))
        self._busy.discard(slot)
        self._idle.add(slot)
        return Event(slot, replace(news, where=f"process {slot}") if isinstance(news, Opened) else news)

    def _bury(self, slot: int) -> str:
        """How a process ended that has closed its connection."""
        self._connections.pop(slot).close()
        self._idle.discard(slot)
        self._busy.discard(slot)
        code = self._processes.pop(slot).wait()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def visible_gpus() -> list[str]:
    """The GPUs of this process, each as a value of CUDA_VISIBLE_DEVICES; without loading PyTorch."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name.strip() not in ("", "-1")]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=False).stdout
    return [str(index) for index in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]
