"""Views to outputs, without gradients: media decoded in threads, batches of one fixed size, results in input order.

Every batch is padded to the batch size, so that the outputs of a view depend on that view alone: not on its neighbours,
on the cut of a stream into parts, or on the speed of the producer.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from omnicli.cpus import available_cores
from omnicli.data.transforms import normalise
from omnicli.errors import MediaError, OmniError
from omnicli.inference.protocols import ReadViews, RecordTest
from omnicli.media.parallel import IDLE_SEC, Idle, parallel_map
from omnicli.models.loading import LoadedModel
from omnicli.reasons import unreadable
from omnicli.streams.reading import reading
from omnicli.streams.record import OnDrop, Record

READ_AHEAD = 4  # records per worker that may wait for the model

Key = TypeVar("Key")
Forward = Callable[[Tensor], Tensor]
"""Maps a batch of views (B, T, H, W, 3) uint8 on the host to outputs (B, D) on any device."""


@dataclass
class PendingRecord:
    """A record between its reader and its outputs.

    Attributes:
        record: as read from the input.
        is_skipped: the record is neither read nor scored.
        error: why its media cannot be read.
    """

    record: Record
    is_skipped: bool = False
    error: OmniError | None = None

    def is_dropped(self, on_drop: OnDrop) -> bool:
        """True if the media are unreadable, which ``on_drop`` receives. Raises any other error of the reader."""
        if isinstance(self.error, MediaError):
            on_drop(self.record, unreadable(self.error))
        elif self.error:
            raise self.error
        return self.error is not None


def predict_records(
    records: Iterable[Record],
    *,
    read: ReadViews,
    forwards: Sequence[Forward],
    batch_size: int,
    workers: int | None = None,
    skip: RecordTest | None = None,
    on_drop: OnDrop,
    keep_in_flight: int = 0,
) -> Iterator[tuple[Record, list[np.ndarray] | None]]:
    """Read records in threads and run models over their views.

    Args:
        records: media.
        read: gives one array of views per model.
        forwards: one per model.
        batch_size: views in one forward pass.
        workers: threads that read; default all cores.
        skip: records to yield unread.
        on_drop: receives records with unreadable media.
        keep_in_flight: see ``predict``.

    Yields:
        (record, outputs) in input order: (V, D) float32 per model; None where ``skip`` is true.
    """
    num_workers = workers or available_cores()
    nothing = no_views(len(forwards))

    def try_read(record: Record) -> tuple[PendingRecord, Sequence[np.ndarray]]:
        pending = PendingRecord(record, is_skipped=skip is not None and skip(record))
        try:
            with reading(record):
                return pending, nothing if pending.is_skipped else read(record)
        except MediaError as error:
            pending.error = error
            return pending, nothing

    items: Iterator[tuple[PendingRecord, Sequence[np.ndarray]] | Idle] = parallel_map(
        try_read, records, workers=num_workers, ahead=READ_AHEAD * num_workers, idle_sec=IDLE_SEC
    )
    for pending, outputs in predict(items, forwards, batch_size=batch_size, keep_in_flight=keep_in_flight):
        if not pending.is_dropped(on_drop):
            yield pending.record, None if pending.is_skipped else outputs


def no_views(num_models: int) -> list[np.ndarray]:
    """Views of a record that no model sees."""
    return [np.empty((0, 0, 0, 0, 0), dtype=np.uint8)] * num_models


def forward_of(function: Callable[[Tensor], Tensor], model: LoadedModel) -> Forward:
    """``function`` of normalised clips (N, C, T, H, W), applied to views with the model's normalisation and device."""

    def forward(views: Tensor) -> Tensor:
        spec = model.spec
        return function(normalise(views, mean=spec.mean, std=spec.std, dtype=model.precision, device=model.device))

    return forward


def predict(
    items: Iterable[tuple[Key, Sequence[np.ndarray]] | Idle],
    forwards: Sequence[Forward],
    *,
    batch_size: int,
    keep_in_flight: int = 0,
) -> Iterator[tuple[Key, list[np.ndarray]]]:
    """Run models over a stream of views.

    Args:
        items: (key, views), views being one array (V, T, H, W, 3) uint8 per model; with V = 0 the outputs are empty.
            ``Idle`` says that the input pauses, so incomplete batches run at once.
        forwards: one per model.
        batch_size: B, views in one forward pass.
        keep_in_flight: batches that a device may still compute while the next one is filled; 0 on a CPU.

    Yields:
        (key, outputs) in the order of ``items``: (V, D) float32 per model.
    """
    waiting: deque[Key] = deque()
    batchers = [_Batcher(forward, batch_size, keep_in_flight) for forward in forwards]

    def ready() -> Iterator[tuple[Key, list[np.ndarray]]]:
        while waiting and all(batcher.is_next_done for batcher in batchers):
            yield waiting.popleft(), [batcher.pop() for batcher in batchers]

    for item in items:
        if isinstance(item, Idle):
            for batcher in batchers:
                batcher.flush()
        else:
            key, views = item
            waiting.append(key)
            for batcher, own_views in zip(batchers, views, strict=True):
                batcher.push(own_views)
        yield from ready()
    for batcher in batchers:
        batcher.flush()
    yield from ready()


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


class _Batcher:
    """One model's incomplete batch, and the batches that its device still computes."""

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
        item = self._items[0]
        return sum(len(part) for part in item.parts) == item.num_views

    def pop(self) -> np.ndarray:
        parts = self._items.popleft().parts
        return np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)

    def push(self, views: np.ndarray) -> None:
        item = _Outputs(len(views))
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
