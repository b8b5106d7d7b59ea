"""Work ahead of the consumer in threads, in order, without holding back what is ready."""

import enum
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

STOP_TICK_SEC = 0.1
JOIN_SEC = 5.0  # a decoder that hangs on a dead network disk must not hang the exit


class Idle(enum.Enum):
    """The type of ``IDLE``, so that a type checker can tell it from a result."""

    IDLE = "idle"


IDLE: Final = Idle.IDLE


def parallel_map(
    function: Callable[[T], R], items: Iterable[T], *, workers: int, ahead: int, idle_sec: float = 0.2
) -> Iterator[R | Idle]:
    """``function`` of each item, computed in threads, yielded in the order of the items.

    Items are read in a thread of their own, so an iterable that waits for a pipe does not hold back results that are
    ready. Nothing starts before the first ``next``. Decoders leave the interpreter lock, so threads do scale.

    Args:
        function: called from several threads at once.
        items: read by one thread only.
        workers: threads that call ``function``.
        ahead: items read and not yet yielded, at most.
        idle_sec: quiet time after which ``IDLE`` is yielded.

    Yields:
        Results in order, and ``IDLE`` once a quiet spell: everything read so far has been yielded and no item came for
        ``idle_sec``, so a batcher should run the batch it has. A spell ends with the next result.

    Raises:
        Exception: what ``function`` or the iterable raised, at its place: all results before it have been yielded.
    """
    if workers < 1 or ahead < 1:
        raise ValueError(f"workers and ahead must be at least 1, got {workers} and {ahead}")
    crew = _Crew(function, items, workers, ahead)
    try:
        yield from crew.results(idle_sec)
    finally:
        crew.stop()


class _Slot(Generic[T, R]):
    """One item on its way: waiting, done, or failed."""

    __slots__ = ("done", "error", "item", "result")

    def __init__(self, item: T) -> None:
        self.item = item
        self.done = threading.Event()
        self.error: BaseException | None = None
        self.result: R

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.done.set()


class _Crew(Generic[T, R]):
    """The reader, the workers, and the two queues between them and the consumer."""

    def __init__(self, function: Callable[[T], R], items: Iterable[T], workers: int, ahead: int) -> None:
        self.function = function
        self.ordered: queue.SimpleQueue[_Slot[T, R] | None] = queue.SimpleQueue()  # None: the items have ended
        self.waiting: queue.SimpleQueue[_Slot[T, R] | None] = queue.SimpleQueue()  # None: go home
        self.room = threading.Semaphore(ahead)
        self.stopped = False
        # Daemons: a reader that is blocked in a pipe could not be joined when the program ends.
        self.workers = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for worker in self.workers:
            worker.start()
        threading.Thread(target=self._read, args=(items,), daemon=True).start()

    def results(self, idle_sec: float) -> Iterator[R | Idle]:
        is_quiet = True  # nothing to run before the first result
        while True:
            try:
                slot = self.ordered.get(timeout=None if is_quiet else idle_sec)
            except queue.Empty:
                is_quiet = True
                yield IDLE
                continue
            if slot is None:
                return
            slot.done.wait()
            if slot.error is not None:
                raise slot.error
            is_quiet = False
            self.room.release()
            yield slot.result

    def stop(self) -> None:
        """Ends the threads; waits for calls in progress, since a thread that is inside a codec must not outlive us."""
        self.stopped = True
        self.room.release()
        for _ in self.workers:
            self.waiting.put(None)
        for worker in self.workers:
            worker.join(JOIN_SEC)

    def _read(self, items: Iterable[T]) -> None:
        iterator = iter(items)
        try:
            while True:
                self.room.acquire()
                if self.stopped:
                    break
                try:
                    slot: _Slot[T, R] = _Slot(next(iterator))
                except StopIteration:
                    break
                self.ordered.put(slot)
                self.waiting.put(slot)
        except BaseException as error:  # handed over: the consumer raises it
            failed: _Slot[Any, R] = _Slot(None)
            failed.fail(error)
            self.ordered.put(failed)
        finally:
            self.ordered.put(None)
            close = getattr(iterator, "close", None)
            if self.stopped and close is not None:
                close()

    def _work(self) -> None:
        while (slot := self.waiting.get()) is not None and not self.stopped:
            try:
                slot.result = self.function(slot.item)
            except BaseException as error:  # handed over: the consumer raises it
                slot.fail(error)
            else:
                slot.done.set()


def parallel_interleave(
    function: Callable[[T], Iterator[R]], items: Iterable[T], *, workers: int, ahead: int, idle_sec: float = 0.2
) -> Iterator[R | Idle]:
    """What ``function`` yields for each item; the results of one item in order, those of several items mixed.

    Nothing starts before the first ``next``. A worker takes the next item when it has finished one.

    Args:
        function: called from several threads at once.
        items: read by one thread at a time.
        workers: items in progress, each in a thread of its own.
        ahead: results that wait for the consumer, at most; then workers wait.
        idle_sec: quiet time after which ``IDLE`` is yielded, once a quiet spell.

    Raises:
        Exception: what ``function`` or the iterable raised, after the results before it.
    """
    if workers < 1 or ahead < 1:
        raise ValueError(f"workers and ahead must be at least 1, got {workers} and {ahead}")
    crew = _StreamCrew(function, items, workers, ahead)
    try:
        yield from crew.results(idle_sec)
    finally:
        crew.stop()


class _StreamCrew(Generic[T, R]):
    """The workers and the one queue between them and the consumer."""

    def __init__(self, function: Callable[[T], Iterator[R]], items: Iterable[T], workers: int, ahead: int) -> None:
        self.function = function
        self.items = iter(items)
        self.taking = threading.Lock()
        self.done: queue.Queue[tuple[R] | BaseException | None] = queue.Queue(maxsize=ahead)  # None: a worker went home
        self.stopped = False
        self.busy: set[threading.Thread] = set()
        # Daemons: a worker that waits in a pipe for the next item could not be joined when the program ends.
        self.workers = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for worker in self.workers:
            worker.start()

    def results(self, idle_sec: float) -> Iterator[R | Idle]:
        is_quiet = True  # nothing to run before the first result
        at_work = len(self.workers)
        while at_work:
            try:
                result = self.done.get(timeout=None if is_quiet else idle_sec)
            except queue.Empty:
                is_quiet = True
                yield IDLE
                continue
            if result is None:
                at_work -= 1
            elif isinstance(result, BaseException):
                raise result
            else:
                is_quiet = False
                yield result[0]

    def stop(self) -> None:
        """Ends the threads; one that is inside a codec must not outlive us, one that waits for an item may."""
        self.stopped = True
        for worker in self.busy.copy():
            worker.join(JOIN_SEC)

    def _work(self) -> None:
        try:
            while not self.stopped:
                with self.taking:
                    try:
                        item = next(self.items)
                    except StopIteration:
                        break
                self.busy.add(threading.current_thread())
                for result in self.function(item):
                    self._put((result,))
                    if self.stopped:
                        break
                self.busy.discard(threading.current_thread())
        except BaseException as error:  # handed over: the consumer raises it
            self._put(error)
        finally:
            self._put(None)

    def _put(self, result: tuple[R] | BaseException | None) -> None:
        while not self.stopped:
            try:
                self.done.put(result, timeout=STOP_TICK_SEC)
            except queue.Full:
                continue
            return
