"""Views of many records through one model, in batches of one fixed size, and the outputs back to their records."""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

Forward = Callable[[Tensor], Tensor]
"""Maps a batch of views (B, T, H, W, 3) uint8 on the host to outputs (B, D) on any device."""


class _Outputs:
    """Outputs of one key, collected batch by batch."""

    __slots__ = ("num_views", "parts")

    def __init__(self, num_views: int) -> None:
        self.num_views = num_views
        self.parts: list[np.ndarray] = []


class _HostCopy:
    """Outputs on their way to the host.

    The copy is queued right after the forward pass: queued later, it would wait for the next forward pass too.
    """

    def __init__(self, outputs: Tensor) -> None:
        self._rows = outputs.float().to("cpu", non_blocking=True)  # into pinned memory
        self._done: torch.cuda.Event | None = None
        if outputs.is_cuda:
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record(torch.cuda.current_stream(outputs.device))

    def rows(self) -> np.ndarray:
        """(B, D) float32, after the copy has finished."""
        if self._done is not None:
            self._done.synchronize()
        return self._rows.numpy()


class Batcher:
    """One model's incomplete batch, and the batches that its device still computes.

    Args:
        forward: the model.
        batch_size: B; a batch that runs with fewer views is filled up with zeros.
        keep_in_flight: batches that the device may still compute while the next one is filled.
    """

    def __init__(self, forward: Forward, batch_size: int, keep_in_flight: int) -> None:
        self._forward = forward
        self._batch_size = batch_size
        self._keep_in_flight = keep_in_flight
        self._items: deque[_Outputs] = deque()
        self._batch: Tensor | None = None  # (B, T, H, W, 3) uint8
        self._spans: list[tuple[_Outputs, int]] = []  # owners of the batch's views, in order
        self._in_flight: deque[tuple[_HostCopy, list[tuple[_Outputs, int]]]] = deque()

    @property
    def is_next_done(self) -> bool:
        """Whether all outputs of the first array of ``push`` that is not popped are there."""
        item = self._items[0]
        return sum(len(part) for part in item.parts) == item.num_views

    def pop(self) -> np.ndarray:
        """(V, D) float32, the outputs of the first array of ``push`` that is not popped."""
        parts = self._items.popleft().parts
        return np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)

    def push(self, views: np.ndarray) -> None:
        """Take in the views (V, T, H, W, 3) uint8 of one record; full batches run."""
        item = _Outputs(len(views))
        self._items.append(item)
        while len(views):
            if self._batch is None or self._batch.shape[1:] != views.shape[1:]:
                self._run()
                self._batch = self._empty_batch(views.shape[1:])
            used = sum(count for _, count in self._spans)
            count = min(self._batch_size - used, len(views))
            self._batch.numpy()[used : used + count] = views[:count]  # PyTorch would wake threads for each view
            self._spans.append((item, count))
            views = views[count:]
            if used + count == self._batch_size:
                self._run()

    def flush(self) -> None:
        """Run the incomplete batch and wait for all outputs."""
        self._run()
        self._collect(0)

    def _run(self) -> None:
        if self._batch is None or not self._spans:
            return
        used = sum(count for _, count in self._spans)
        self._batch[used:] = 0
        with torch.inference_mode():
            self._in_flight.append((_HostCopy(self._forward(self._batch)), self._spans))
        if self._keep_in_flight:  # the copy to the device may still be reading this one
            self._batch = self._empty_batch(self._batch.shape[1:])
        self._spans = []
        self._collect(self._keep_in_flight)

    def _collect(self, keep: int) -> None:
        while len(self._in_flight) > keep:
            outputs, spans = self._in_flight.popleft()
            rows = outputs.rows()
            start = 0
            for item, count in spans:
                item.parts.append(rows[start : start + count].copy())
                start += count

    def _empty_batch(self, shape: Sequence[int]) -> Tensor:
        pinned = self._keep_in_flight > 0 and torch.cuda.is_available()
        return torch.empty((self._batch_size, *shape), dtype=torch.uint8, pin_memory=pinned)
