"""Views to logits, without gradients: batches of one fixed size, results in the order of the input.

Every batch is padded to the batch size, so that a view's logits depend on nothing but the view: not on its neighbours,
not on where a stream was cut into shards, not on a slow producer (DESIGN section 5).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from omnicli.media.parallel import Idle

Key = TypeVar("Key")
Forward = Callable[[Tensor], Tensor]


def predict(
    items: Iterable[tuple[Key, Sequence[np.ndarray]] | Idle],
    forwards: Sequence[Forward],
    *,
    batch_size: int,
    keep_in_flight: int = 0,
) -> Iterator[tuple[Key, list[np.ndarray]]]:
    """Run one or several models over a stream of views.

    Args:
        items: (key, views): for each model an array (V, T, H, W, 3) uint8; V = 0 passes the key through in its place.
            A ``Idle`` says that the input is quiet: what is waiting for a full batch is run now.
        forwards: each maps (B, T, H, W, 3) uint8 to outputs (B, K), on any device.
        batch_size: B, views in one forward pass.
        keep_in_flight: batches a device may still be working on while the next is filled; 0 on a CPU.

    Yields:
        (key, outputs): for each model (V, K) float32, in the order of ``items``.
    """
    waiting: deque[Key] = deque()
    lanes = [_Lane(forward, batch_size, keep_in_flight) for forward in forwards]

    def ready() -> Iterator[tuple[Key, list[np.ndarray]]]:
        while waiting and all(lane.is_next_done for lane in lanes):
            yield waiting.popleft(), [lane.pop() for lane in lanes]

    for item in items:
        if isinstance(item, Idle):
            for lane in lanes:
                lane.flush()
        else:
            key, views = item
            waiting.append(key)
            for lane, lane_views in zip(lanes, views, strict=True):
                lane.push(lane_views)
        yield from ready()
    for lane in lanes:
        lane.flush()
    yield from ready()


class _Item:
    """Outputs of one key, collected batch by batch."""

    __slots__ = ("num_views", "parts")

    def __init__(self, num_views: int) -> None:
        self.num_views = num_views
        self.parts: list[np.ndarray] = []


class _Lane:
    """One model's batch in the making, and the batches its device still works on."""

    def __init__(self, forward: Forward, batch_size: int, keep_in_flight: int) -> None:
        self._forward = forward
        self._batch_size = batch_size
        self._keep_in_flight = keep_in_flight
        self._items: deque[_Item] = deque()
        self._batch: Tensor | None = None  # (B, T, H, W, 3) uint8
        self._spans: list[tuple[_Item, int]] = []  # whose views fill the batch, in order
        self._in_flight: deque[tuple[Tensor, list[tuple[_Item, int]]]] = deque()

    @property
    def is_next_done(self) -> bool:
        item = self._items[0]
        return sum(len(part) for part in item.parts) == item.num_views

    def pop(self) -> np.ndarray:
        parts = self._items.popleft().parts
        return np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)

    def push(self, views: np.ndarray) -> None:
        item = _Item(len(views))
        self._items.append(item)
        while len(views):
            if self._batch is None or self._batch.shape[1:] != views.shape[1:]:
                self._run()
                self._batch = self._empty_batch(views.shape[1:])
            used = sum(count for _, count in self._spans)
            count = min(self._batch_size - used, len(views))
            self._batch[used : used + count] = torch.from_numpy(np.ascontiguousarray(views[:count]))
            self._spans.append((item, count))
            views = views[count:]
            if used + count == self._batch_size:
                self._run()

    def flush(self) -> None:
        self._run()
        self._collect(0)

    def _run(self) -> None:
        if self._batch is None or not self._spans:
            return
        used = sum(count for _, count in self._spans)
        self._batch[used:] = 0
        with torch.inference_mode():
            self._in_flight.append((self._forward(self._batch), self._spans))
        if self._keep_in_flight:  # the copy to the device may still be reading this one
            self._batch = self._empty_batch(self._batch.shape[1:])
        self._spans = []
        self._collect(self._keep_in_flight)

    def _collect(self, keep: int) -> None:
        while len(self._in_flight) > keep:
            outputs, spans = self._in_flight.popleft()
            rows = outputs.float().cpu().numpy()  # (B, K)
            start = 0
            for item, count in spans:
                item.parts.append(rows[start : start + count].copy())
                start += count

    def _empty_batch(self, shape: Sequence[int]) -> Tensor:
        pinned = self._keep_in_flight > 0 and torch.cuda.is_available()
        return torch.empty((self._batch_size, *shape), dtype=torch.uint8, pin_memory=pinned)
