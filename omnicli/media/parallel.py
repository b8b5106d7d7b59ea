"""Run a function in threads ahead of the consumer."""

import enum
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeAlias, TypeVar, overload

T = TypeVar("T")
R = TypeVar("R")

IDLE_SEC = 0.2  # for a consumer that runs incomplete batches when the input pauses
STOP_TICK_SEC = 0.1
JOIN_SEC = 5.0  # a decoder that hangs on a dead network disk must not block the exit


class Idle(enum.Enum):
    """The type of ``IDLE``, so that a type checker distinguishes it from a result."""

    IDLE = "idle"


IDLE: Final = Idle.IDLE


@overload
def parallel_map(
    function: Callable[[T], R], items: Iterable[T], *, workers: int, ahead: int, idle_sec: None = None
) -> Iterator[R]: ...
@overload
def parallel_map(
    function: Callable[[T], R], items: Iterable[T], *, workers: int, ahead: int, idle_sec: float
) -> Iterator[R | Idle]: ...
def parallel_map(
    function: Callable[[T], R], items: Iterable[T], *, workers: int, ahead: int, idle_sec: float | None = None
) -> Iterator[R | Idle]:
    """Yield ``function(item)`` for each item, computed in threads, in the order of the items.

    A separate thread reads the items, so an iterable that waits for a pipe does not hold back finished results.
    Nothing starts before the first ``next``. Decoders release the interpreter lock, so threads scale.

    Args:
        function: called from several threads at once.
        items: read by one thread only.
        workers: threads that call ``function``.
        ahead: maximum number of items that are read and not yet yielded.
        idle_sec: time without a new item after which ``IDLE`` is yielded, once per pause; None: never.

    Raises:
        Exception: what ``function`` or the iterable raised, after all results before it.
    """
    pool = _ThreadPool(lambda item: (function(item),), items, workers, max_items=ahead, max_results=0)
    finished: dict[int, tuple[R] | BaseException] = {}
    next_index = 0
    try:
        for result in pool.results(idle_sec):
            if isinstance(result, Idle):
                yield result
                continue
            index, finished[index] = result
            while next_index in finished:
                value = _value_of(finished.pop(next_index))
                next_index += 1
                pool.free_items.release()
                yield value
    finally:
        pool.stop()


def parallel_interleave(
    function: Callable[[T], Iterable[R]], items: Iterable[T], *, workers: int, ahead: int, idle_sec: float
) -> Iterator[R | Idle]:
    """Yield what ``function`` yields for each item: results of one item in order, those of several items mixed.

    Args:
        function: called from several threads at once.
        items: read by one thread only; at most ``workers + ahead`` of them are in progress.
        workers: threads that iterate over ``function(item)``.
        ahead: maximum number of results that wait for the consumer; then the workers pause.
        idle_sec: time without a result after which ``IDLE`` is yielded, once per pause of the input.

    Raises:
        Exception: what ``function`` or the iterable raised, after the results before it.
    """
    pool = _ThreadPool(function, items, workers, max_items=workers + ahead, max_results=ahead)
    try:
        for result in pool.results(idle_sec, frees_items=True):
            yield result if isinstance(result, Idle) else _value_of(result[1])
    finally:
        pool.stop()


# (index of the item, one result in a tuple or the error); None: no more results of this item
_Result: TypeAlias = tuple[int, tuple[R] | BaseException]
_Event: TypeAlias = tuple[int, tuple[R] | BaseException | None]


def _value_of(outcome: tuple[R] | BaseException) -> R:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome[0]


class _ThreadPool(Generic[T, R]):
    """One reader, several workers, and the two queues between them and the consumer.

    Attributes:
        free_items: how many more items the reader may read.
    """

    def __init__(
        self,
        function: Callable[[T], Iterable[R]],
        items: Iterable[T],
        workers: int,
        *,
        max_items: int,
        max_results: int,
    ) -> None:
        if workers < 1 or max_items < 1:
            raise ValueError(f"workers and ahead must be at least 1, got {workers} and {max_items}")
        self.free_items = threading.Semaphore(max_items)
        self._function = function
        self._num_read = 0
        self._todo: queue.SimpleQueue[tuple[int, tuple[T] | BaseException] | None] = queue.SimpleQueue()  # None: end
        self._events: queue.Queue[_Event[R] | None] = queue.Queue(max_results)  # None: all items are read
        self._is_stopped = False
        # Daemons: a reader that is blocked in a pipe cannot be joined when the program ends.
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for worker in self._workers:
            worker.start()
        threading.Thread(target=self._read, args=(items,), daemon=True).start()

    def results(self, idle_sec: float | None, *, frees_items: bool = False) -> Iterator[_Result[R] | Idle]:
        """Yield results as they come; with ``frees_items`` the reader replaces each finished item by a new one."""
        is_idle = True  # before the first result there is nothing to flush
        is_read = False
        num_finished = 0
        while not (is_read and num_finished == self._num_read):
            try:
                event = self._events.get(timeout=None if is_idle else idle_sec)
            except queue.Empty:
                if num_finished == self._num_read:  # otherwise a worker is busy, and its result follows
                    is_idle = True
                    yield IDLE
                continue
            if event is None:
                is_read = True
                continue
            index, outcome = event
            if outcome is not None:
                is_idle = False
                yield index, outcome
                continue
            num_finished += 1
            if frees_items:
                self.free_items.release()

    def stop(self) -> None:
        """End the threads; wait for calls in progress, since a thread inside a codec must not outlive the program."""
        self._is_stopped = True
        self.free_items.release()
        for _ in self._workers:
            self._todo.put(None)
        for worker in self._workers:
            worker.join(JOIN_SEC)

    def _read(self, items: Iterable[T]) -> None:
        iterator = iter(items)
        try:
            while True:
                self.free_items.acquire()
                if self._is_stopped:
                    break
                try:
                    item = next(iterator)
                except StopIteration:
                    break
                self._hand_out((item,))
        except BaseException as error:  # the consumer raises it
            self._hand_out(error)
        finally:
            self._put(None)
            close = getattr(iterator, "close", None)
            if self._is_stopped and close is not None:
                close()

    def _hand_out(self, item: tuple[T] | BaseException) -> None:
        self._num_read += 1
        self._todo.put((self._num_read - 1, item))

    def _work(self) -> None:
        while (todo := self._todo.get()) is not None and not self._is_stopped:
            index, item = todo
            try:
                for result in self._function(_value_of(item)):
                    self._put((index, (result,)))
                    if self._is_stopped:
                        break
            except BaseException as error:  # the consumer raises it
                self._put((index, error))
            self._put((index, None))

    def _put(self, event: _Event[R] | None) -> None:
        while not self._is_stopped:
            try:
                self._events.put(event, timeout=STOP_TICK_SEC)
            except queue.Full:
                continue
            return
