"""`--engine ray`: workers are actors of a Ray cluster, on as many nodes as there are at the moment."""

import contextlib
import logging
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from omnicli.commands.engine.pool import Died, Event
from omnicli.commands.engine.worker import GRACE_SEC, Opened, Trouble, Worker, WorkerSetup
from omnicli.commands.run.jobs import JobResult
from omnicli.errors import Interrupted, OmniError, UsageError

if TYPE_CHECKING:
    from omnicli.streams.write.output_folder import Job

MAX_CPUS = 8  # Ours: without GPUs, more threads of one process help little
ROOM_SEC = 2.0  # between two counts of the nodes of the cluster
CONNECT_SEC = 10.0
NO_ROOM_SEC = 60.0  # Ours: until a cluster without a fitting node is an error: nodes may be starting


class RayWorker:
    """An actor: a worker in a process of some node. Its methods return what ends the run instead of raising it."""

    def open(self, setup: WorkerSetup) -> "tuple[str, Opened | Trouble]":
        """Load the stage; the ID of the node, and what was loaded."""
        import ray

        node = ray.get_runtime_context().get_node_id()
        try:
            self._worker = Worker(setup)
            return node, self._worker.opened()
        except Exception as error:
            return node, Trouble.of(error)

    def run(self, job: "Job") -> "JobResult | Trouble":
        """Run a job."""
        try:
            return self._worker.run(job)
        except Exception as error:
            return Trouble.of(error)

    def stop(self) -> None:
        """End the job that runs, with its state saved."""
        self._worker.stop()


class RayPool:
    """Actors on all nodes that have room for them; nodes may join and leave.

    Args:
        setup: of the workers.
        address: of the cluster; None: as ``ray.init`` finds or starts one.
        gpus: per worker; None: 1 if ``uses_gpu`` and a node has GPUs.
        cpus: per worker; None: the cores of a node, shared by its GPUs.
        uses_gpu: the stage has a model whose device may be a GPU.

    Raises:
        OmniError: there is no cluster at the address.
    """

    def __init__(
        self, setup: WorkerSetup, *, address: str | None, gpus: float | None, cpus: int | None, uses_gpu: bool
    ) -> None:
        self._stack = contextlib.ExitStack()
        # Ray prints there what becomes of its processes
        nowhere = self._stack.enter_context(open(os.devnull, "w"))  # noqa: PTH123, SIM115
        self._stack.enter_context(contextlib.redirect_stdout(nowhere))
        self._ray = _connect(address)
        nodes = self._nodes()
        has_gpus = any(node.get("GPU", 0) for node in nodes.values())
        self._gpus = gpus if gpus is not None else float(uses_gpu and has_gpus)
        self._cpus = cpus or _cpus_per_worker(list(nodes.values()), self._gpus)
        self._setup = replace(setup, cores=self._cpus)
        self._actors: dict[str, Any] = {}
        self._node_of: dict[str, str] = {}
        self._waiting_for: dict[Any, str] = {}  # reference of an answer: worker
        self._idle: list[str] = []
        self._num_started = 0
        self._room = 0
        self._looked_at = float("-inf")
        self._had_room_at = time.monotonic()

    def idle(self, num_wanted: int) -> Sequence[Hashable]:
        """Workers that wait for a job; starts more if there is room. Raises OmniError: no node has any."""
        starting = sum(worker not in self._node_of for worker in self._actors)
        num_more = num_wanted - len(self._idle) - starting
        for _ in range(min(num_more, self._find_room() - len(self._actors))):
            self._start()
        return list(self._idle)

    def give(self, worker: Hashable, job: "Job") -> None:
        """Send a job."""
        name = str(worker)
        self._idle.remove(name)
        self._waiting_for[self._actors[name].run.remote(job)] = name

    def wait(self, timeout_sec: float) -> Sequence[Event]:
        """What has happened; nothing after the time-out."""
        references = list(self._waiting_for)
        if not references:
            time.sleep(timeout_sec)
            return []
        self._ray.wait(references, timeout=timeout_sec)
        ready, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        return [self._event(reference) for reference in ready]

    def close(self) -> None:
        """Stop all workers: first with their state saved, then at once; a cluster of our own ends."""
        with contextlib.suppress(Exception):  # the cluster may be gone
            running = [reference for reference, name in self._waiting_for.items() if name in self._node_of]
            for reference in running:
                self._actors[self._waiting_for[reference]].stop.options(concurrency_group="control").remote()
            if running:
                self._ray.wait(running, num_returns=len(running), timeout=GRACE_SEC)
            for actor in self._actors.values():
                self._ray.kill(actor)
        self._ray.shutdown()
        self._stack.close()

    def _start(self) -> None:
        name = f"worker {self._num_started}"
        self._num_started += 1
        make = self._ray.remote(
            num_cpus=self._cpus, num_gpus=self._gpus, max_restarts=0, concurrency_groups={"control": 1}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of coming versions of Ray
            self._actors[name] = make(RayWorker).remote()
        self._waiting_for[self._actors[name].open.remote(self._setup)] = name

    def _event(self, reference: Any) -> Event:
        name = self._waiting_for.pop(reference)
        try:
            news = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:  # of Ray itself: ours are answers
            return Event(name, Trouble.of(error))
        except self._ray.exceptions.RayError as error:
            return Event(name, self._bury(name, error))
        if isinstance(news, tuple):
            self._node_of[name], news = news
        self._idle.append(name)
        return Event(name, news)

    def _bury(self, name: str, error: Exception) -> Died:
        """How an actor ended."""
        with contextlib.suppress(Exception):
            self._ray.kill(self._actors[name])  # one that cannot be reached may live
        del self._actors[name]
        node = self._node_of.pop(name, None)
        self._looked_at = float("-inf")
        if isinstance(error, self._ray.exceptions.OutOfMemoryError):
            return Died("the memory of its node was used up")
        is_gone = "node" in str(error).lower() and node is not None and node not in self._nodes()
        if is_gone or isinstance(error, self._ray.exceptions.NodeDiedError):
            return Died("its node is gone", with_node=True)
        text = str(error).strip()
        crashed = "unexpectedly exits" in text or "killed" in text
        return Died("its process was killed or crashed" if crashed else text.splitlines()[-1][:200])

    def _nodes(self) -> dict[str, dict[str, float]]:
        """Resources of the nodes that are there, by ID."""
        return {node["NodeID"]: node["Resources"] for node in self._ray.nodes() if node["Alive"]}

    def _find_room(self) -> int:
        """How many workers fit on the nodes that are there."""
        now = time.monotonic()
        if now - self._looked_at > ROOM_SEC:
            self._looked_at = now
            self._room = sum(self._fits(node) for node in self._nodes().values())
        if self._room:
            self._had_room_at = now
        elif now - self._had_room_at > NO_ROOM_SEC:
            raise OmniError(
                f"no node of the Ray cluster has {self._cpus} CPUs and {self._gpus:g} GPUs for a worker; "
                "see --cpus-per-worker and --gpus-per-worker"
            )
        return self._room

    def _fits(self, node: dict[str, float]) -> int:
        by_gpus = node.get("GPU", 0) / self._gpus if self._gpus else float("inf")
        return int(min(node.get("CPU", 0) // self._cpus, by_gpus))


def _cpus_per_worker(nodes: Sequence[dict[str, float]], gpus: float) -> int:
    """Cores of the smallest node that can hold a worker, shared by as many as its GPUs allow."""
    if gpus:
        shares = [node.get("CPU", 0) / max(1.0, node["GPU"] / gpus) for node in nodes if node.get("GPU", 0) >= gpus]
    else:
        shares = [min(MAX_CPUS, node.get("CPU", 0)) for node in nodes if node.get("CPU", 0) >= 1]
    return max(1, int(min(shares, default=1)))


def _connect(address: str | None) -> Any:
    """Ray, connected; it must not take our signals. Raises OmniError: there is no cluster at the address."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    if address:
        _check_address(address)
    with _own_signals(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray

        try:
            ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except Interrupted:
            raise
        except Exception as error:
            what = " ".join(str(error).split())
            raise OmniError(f"--ray-address {address or 'of this machine'}: cannot connect: {what[:300]}") from None
    return ray


def _check_address(address: str) -> None:
    """Ray itself tries for minutes. Raises OmniError: nobody answers at the address."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal() and "/" not in host):
        raise UsageError(f"--ray-address {address}: expected HOST:PORT of the head node, such as node1:6379")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SEC).close()
    except OSError as error:
        raise OmniError(f"--ray-address {address}: cannot connect: {error.strerror or error}") from None


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
