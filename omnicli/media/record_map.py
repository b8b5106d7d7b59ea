"""Map records in threads; records that a stage rejects keep their position in the stream."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from omnicli.errors import MediaError
from omnicli.media.parallel import parallel_map
from omnicli.reasons import unreadable
from omnicli.streams.reading import reading
from omnicli.streams.record import OnDrop, Record

S = TypeVar("S")
R = TypeVar("R")


class Dropped(NamedTuple):
    """A rejected record, and its reason."""

    record: Record
    reason: str


def map_records(
    function: Callable[[Record], R],
    records: Iterable[Record | Dropped],
    *,
    workers: int,
    ahead: int = 2,
    on_drop: OnDrop,
) -> Iterator[R]:
    """Yield ``function(record)`` for each record, in order; a record whose media cannot be read is dropped.

    Args:
        function: MediaError drops the record as ``unreadable: ...``, an exception that nobody expects as
            ``internal error: ...``.
        records: a ``Dropped`` among them is passed to ``on_drop``.
        workers: threads that call ``function``; 0 calls it in the consumer's thread, without reading ahead.
        ahead: records per worker that are read ahead.
        on_drop: called in the consumer's thread, in the order of the records.
    """

    def try_map(record: Record | Dropped) -> tuple[R] | Dropped:
        if isinstance(record, Dropped):
            return record
        try:
            with reading(record):
                return (function(record),)
        except MediaError as error:
            return Dropped(record, unreadable(error))

    results = (
        parallel_map(try_map, records, workers=workers, ahead=workers * ahead) if workers else map(try_map, records)
    )
    for result in results:
        if isinstance(result, Dropped):
            on_drop(*result)
        else:
            yield result[0]


def keep_drops(stage: Callable[[Iterator[S], OnDrop], Iterator[R]], records: Iterable[S]) -> Iterator[R | Dropped]:
    """Yield what a stage yields and, at their positions, the records that it drops."""
    dropped: list[Dropped] = []
    for result in stage(iter(records), lambda record, reason: dropped.append(Dropped(record, reason))):
        yield from dropped
        dropped.clear()
        yield result
    yield from dropped
