"""Views to outputs, without gradients: media decoded in threads, batches of one fixed size, results in input order.

Every batch is padded to the batch size, so that the outputs of a view depend on that view alone: not on its neighbours,
on the cut of a stream into parts, or on the speed of the producer.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from torch import Tensor

from omnicli.cpus import available_cores
from omnicli.data.transforms import normalise
from omnicli.errors import MediaError, OmniError
from omnicli.inference.batcher import Batcher, Forward
from omnicli.inference.protocols import ReadViews, RecordTest
from omnicli.inference.rescoring import Again, SecondPass
from omnicli.inference.switching import Compiled, SwitchedBatcher
from omnicli.media.parallel import IDLE_SEC, Idle, parallel_map
from omnicli.models.loading import LoadedModel
from omnicli.models.recogniser import ClipFunction
from omnicli.reasons import unreadable
from omnicli.streams.reading import reading
from omnicli.streams.record import OnDrop, Record

READ_AHEAD = 4  # records per worker that may wait for the model

Key = TypeVar("Key")


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
    again: Again[PendingRecord] | None = None,
    compiled: Compiled[PendingRecord] | None = None,
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
        again: see ``predict``.
        compiled: see ``predict``.

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
    predicted = predict(
        items, forwards, batch_size=batch_size, keep_in_flight=keep_in_flight, again=again, compiled=compiled
    )
    for pending, outputs in predicted:
        if not pending.is_dropped(on_drop):
            yield pending.record, None if pending.is_skipped else outputs


def no_views(num_models: int) -> list[np.ndarray]:
    """Views of a record that no model sees."""
    return [np.empty((0, 0, 0, 0, 0), dtype=np.uint8)] * num_models


def forward_of(function: ClipFunction, model: LoadedModel) -> Forward:
    """``function`` of normalised clips (N, C, T, H, W), applied to views with the model's normalisation and device."""

    def forward(views: Tensor) -> Tensor:
        spec = model.spec
        return function(normalise(views, mean=spec.mean, std=spec.std, dtype=model.precision, device=model.device))

    return forward


def compiled_forwards(
    models: Sequence[LoadedModel],
    forwards: Sequence[Forward],
    function_of: Callable[[LoadedModel], ClipFunction],
    record_of: Callable[[Key], Record],
) -> Compiled[Key] | None:
    """``forwards`` as programs, those of models without a compiler as they are; None if no model has one."""
    compilers = [model.compiler for model in models]
    if not any(compilers):
        return None
    first_position = max(compiler.first_position for compiler in compilers if compiler)
    programs = [
        forward if compiler is None else forward_of(compiler(function_of(model)), model)
        for model, forward, compiler in zip(models, forwards, compilers, strict=True)
    ]
    return Compiled(programs, lambda key: record_of(key).position >= first_position)


def exact_forwards(
    models: Sequence[LoadedModel], forwards: Sequence[Forward], function_of: Callable[[LoadedModel], ClipFunction]
) -> list[Forward] | None:
    """``forwards`` in float32, that of a model in float32 itself; None if no model has an ``exact``."""
    if all(model.exact is None for model in models):
        return None
    return [
        forward if model.exact is None else forward_of(function_of(model.exact), model.exact)
        for model, forward in zip(models, forwards, strict=True)
    ]


def predict(
    items: Iterable[tuple[Key, Sequence[np.ndarray]] | Idle],
    forwards: Sequence[Forward],
    *,
    batch_size: int,
    keep_in_flight: int = 0,
    again: Again[Key] | None = None,
    compiled: Compiled[Key] | None = None,
) -> Iterator[tuple[Key, list[np.ndarray]]]:
    """Run models over a stream of views.

    Args:
        items: (key, views), views being one array (V, T, H, W, 3) uint8 per model; with V = 0 the outputs are empty.
            ``Idle`` says that the input pauses, so incomplete batches run at once.
        forwards: one per model.
        batch_size: B, views in one forward pass.
        keep_in_flight: batches that a device may still compute while the next one is filled; 0 on a CPU.
        again: views that other models run over once more, whose outputs replace the first ones.
        compiled: the models as programs; None: none of them is compiled.

    Yields:
        (key, outputs) in the order of ``items``: (V, D) float32 per model.
    """
    waiting: deque[tuple[Key, Sequence[np.ndarray]]] = deque()
    programs = [None] * len(forwards) if compiled is None else compiled.forwards
    batchers = [
        SwitchedBatcher(
            Batcher(forward, batch_size, keep_in_flight),
            None if program in (None, forward) else Batcher(program, batch_size, keep_in_flight),
            batch_size,
        )
        for forward, program in zip(forwards, programs, strict=True)
    ]
    second = None if again is None else SecondPass(again, batch_size, keep_in_flight)

    def ready() -> Iterator[tuple[Key, list[np.ndarray]]]:
        while waiting and all(batcher.is_next_done for batcher in batchers):
            key, views = waiting.popleft()
            outputs = [batcher.pop() for batcher in batchers]
            if second is None:
                yield key, outputs
            else:
                second.push(key, outputs, views)
                yield from second.ready()

    def flush() -> Iterator[tuple[Key, list[np.ndarray]]]:
        for batcher in batchers:
            batcher.flush()
        yield from ready()
        if second is not None:
            second.flush()
            yield from second.ready()

    for item in items:
        if isinstance(item, Idle):
            yield from flush()
            continue
        key, views = item
        waiting.append((key, () if second is None else views))
        is_compiled = compiled is not None and compiled.holds(key)
        for batcher, own_views in zip(batchers, views, strict=True):
            batcher.push(own_views, is_compiled=is_compiled)
        yield from ready()
    yield from flush()
