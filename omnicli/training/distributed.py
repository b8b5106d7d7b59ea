"""Data-parallel training: several processes take the step that one process would take on the whole batch.

Ours: gradients are summed in one flat buffer after the last backward pass, not by torch's DistributedDataParallel. A
joint step has several forward passes and one update, and OmniSource Eq. 1 is divided by the samples of all processes;
DDP expects one backward pass per forward pass, divides by the number of processes, and hangs if one of them has no
sample. Here every process makes the same calls in every step. The exchange does not overlap with the backward pass.
"""

import contextlib
import importlib
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from omnicli.errors import Interrupted, UsageError
from omnicli.inference.device import pick_device
from omnicli.process import started_at

T = TypeVar("T")

Peer = tuple[str, int]  # host, process ID

PATIENCE = timedelta(hours=1)  # for a process that still reads; torchrun notices one that dies


@dataclass(frozen=True)
class World:
    """The processes that train together; by default this one alone, for which every call costs nothing.

    Attributes:
        rank: of this process.
        size: processes.
        device: where this process computes.
        peers: host and process ID of each, by rank.

    Every exchange raises ``Interrupted`` if another process has died.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    peers: Sequence[Peer] = ()

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each value summed over processes, in float64."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        with self._exchanging():
            distributed.all_reduce(tensor)
        return tensor.tolist()

    def total(self, value: float) -> float:
        """One value summed over processes."""
        return self.sum([value])[0]

    def gather(self, item: T) -> list[T]:
        """The items of all processes, by rank."""
        if self.size == 1:
            return [item]
        items: list[T] = [item] * self.size
        with self._exchanging():
            distributed.all_gather_object(items, item)
        return items

    def gather_rare(self, items: Sequence[T]) -> list[T]:
        """The items of all processes, by rank; costs one small sum if there are none."""
        if self.size == 1 or not self.sum([len(items)])[0]:
            return list(items)
        return [item for found in self.gather(list(items)) for item in found]

    def sum_gradients(self, model: nn.Module) -> None:
        """Sum the gradients over processes, and average the running statistics of batch norms in training (Ours).

        Afterwards both are the same bytes on every process, so all processes keep the same model.
        """
        if self.size == 1:
            return
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        statistics = list(_running_statistics(model))
        tensors = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters] + statistics
        flat = torch.cat([tensor.detach().float().flatten() for tensor in tensors])
        with self._exchanging():
            distributed.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for parameter, part in zip(parameters, parts, strict=False):
            parameter.grad = part.view(parameter.shape).to(parameter.dtype)
        for statistic, part in zip(statistics, parts[len(parameters) :], strict=True):
            statistic.copy_(part.view(statistic.shape) / self.size)

    @contextlib.contextmanager
    def _exchanging(self) -> Iterator[None]:
        """Raises Interrupted: a process is gone, which the others notice by a lost connection."""
        try:
            yield
        except RuntimeError as error:
            dead = [rank for rank, peer in enumerate(self.peers) if not _is_alive(peer)]
            who = f"process {', '.join(map(str, dead))} is gone" if dead else "another process is gone"
            why = str(error).splitlines()[0][:200]
            raise Interrupted(f"{who} ({why}); run the same command again to go on from the last saved state") from None


def _is_alive(peer: Peer) -> bool:
    """Whether a process runs; one of another machine counts as alive, because nobody here can know."""
    host, process = peer
    is_known = host == socket.gethostname() and bool(started_at(os.getpid()))  # "" without Linux
    return not is_known or bool(started_at(process))


def _running_statistics(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            yield from (tensor for tensor in (module.running_mean, module.running_var) if tensor is not None)


def local_share(num_cores: int, environment: Mapping[str, str] | None = None) -> int:
    """Cores per process if torchrun starts several processes on one machine.

    >>> local_share(16, {"LOCAL_WORLD_SIZE": "8"}), local_share(16, {})
    (2, 16)
    """
    found = os.environ if environment is None else environment
    return max(1, num_cores // int(found.get("LOCAL_WORLD_SIZE", "1")))


@contextlib.contextmanager
def join_world(device_name: str) -> Iterator[World]:
    """Join the processes that torchrun started, by NCCL with one GPU each or by gloo on CPUs; else use this one alone.

    Args:
        device_name: ``auto``, ``cpu``, ``cuda``; ``cuda:N`` for one process only.

    Raises:
        UsageError: ``cuda:N`` for several processes, or more processes than GPUs.
        Interrupted: the processes did not find each other.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(device=pick_device(device_name))
        return
    if ":" in device_name:
        raise UsageError(f"--device {device_name}: {size} processes take a GPU each; give --device cuda")
    device = pick_device(device_name)
    if device.type == "cuda":
        device = pick_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    # The first optimizer imports this. If a process group exists by then, its threads outlive the group and sometimes
    # abort a process that exits ("terminate called without an active exception").
    importlib.import_module("torch._dynamo")
    try:
        store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
        # torchrun keeps its store over restarts: without a prefix, a process would wait at the address of a dead one
        store = PrefixStore(f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        distributed.init_process_group(backend, timeout=PATIENCE, store=store, rank=rank, world_size=size)
    except RuntimeError as error:  # after a restart, a process may still be missing
        why = str(error).splitlines()[0][:200]
        raise Interrupted(f"the {size} processes did not find each other ({why}); run the same command again") from None
    try:
        world = World(distributed.get_rank(), size, device)
        yield replace(world, peers=world.gather((socket.gethostname(), os.getpid())))
    finally:
        distributed.destroy_process_group()
