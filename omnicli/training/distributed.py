"""Several processes as one: together they take the step that one process would take on the whole batch.

Ours: what ranks share is summed by hand, gradients in one flat buffer after the last backward pass, instead of through
torch's DistributedDataParallel. A joint step is several forward passes and one update, and Eq. 1 divides by the samples
of all ranks; DDP expects one backward for each forward, divides by the number of ranks, and waits for ever where one of
them has nothing to look at. Here every rank makes the same calls in every step, whatever it was given, so that nothing
can hang; the sum of the ranks' gradients is that of Eq. 1 by its linearity. The price: the exchange does not overlap
with the backward pass.
"""

import contextlib
import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from omnicli.errors import UsageError
from omnicli.inference.device import pick_device

T = TypeVar("T")

PATIENCE = timedelta(hours=1)  # for a rank that still reads; a rank that dies is noticed by torchrun


@dataclass(frozen=True)
class World:
    """The processes that train together; by default this one alone, for which every call is free.

    Attributes:
        rank: of this process.
        size: processes.
        device: where this process computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """True for the one process that writes."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each of the values summed over ranks, in float64."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        return tensor.tolist()

    def total(self, value: float) -> float:
        """One value summed over processes."""
        return self.sum([value])[0]

    def gather(self, item: T) -> list[T]:
        """Everyone's item, by rank."""
        if self.size == 1:
            return [item]
        items: list[T] = [item] * self.size
        distributed.all_gather_object(items, item)
        return items

    def gather_rare(self, items: Sequence[T]) -> list[T]:
        """Everyone's items, by rank; costs one small sum where nobody has any."""
        if self.size == 1 or not self.sum([len(items)])[0]:
            return list(items)
        return [item for found in self.gather(list(items)) for item in found]

    def sum_gradients(self, model: nn.Module) -> None:
        """Sum the gradients over ranks, and average what batch-norms in training have seen (Ours).

        Afterwards gradients and statistics are the same bytes on every rank, so all ranks stay one model.
        """
        if self.size == 1:
            return
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        statistics = list(_moving_statistics(model))
        tensors = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters] + statistics
        flat = torch.cat([tensor.detach().float().flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for parameter, part in zip(parameters, parts, strict=False):
            parameter.grad = part.view(parameter.shape).to(parameter.dtype)
        for statistic, part in zip(statistics, parts[len(parameters) :], strict=True):
            statistic.copy_(part.view(statistic.shape) / self.size)


def _moving_statistics(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            yield from (tensor for tensor in (module.running_mean, module.running_var) if tensor is not None)


def local_share(num_cores: int, environment: Mapping[str, str] | None = None) -> int:
    """Cores of this process where torchrun starts several on one machine.

    >>> local_share(16, {"LOCAL_WORLD_SIZE": "8"}), local_share(16, {})
    (2, 16)
    """
    found = os.environ if environment is None else environment
    return max(1, num_cores // int(found.get("LOCAL_WORLD_SIZE", "1")))


@contextlib.contextmanager
def join_world(device_name: str) -> Iterator[World]:
    """The processes that torchrun started, joined by NCCL on GPUs, one each, and by gloo on CPUs; else this one alone.

    Args:
        device_name: ``auto``, ``cpu``, ``cuda``; ``cuda:N`` for one process only.

    Raises:
        UsageError: ``cuda:N`` for several processes, or more processes than GPUs.
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
    # An optimiser imports this when it is made. Imported while there is a group, it holds on to the group, and threads
    # that outlive the group now and then abort a process that exits ("terminate called without an active exception").
    importlib.import_module("torch._dynamo")
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield World(distributed.get_rank(), size, device)
    finally:
        distributed.destroy_process_group()
