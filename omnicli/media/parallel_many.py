"""Many results of each item, computed in threads, as they come: for media too long to be read in one piece."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from omnicli.media.parallel import JOIN_SEC, LULL, Lull

T = TypeVar("T")
R = TypeVar("R")

STOP_TICK_SEC = 0.1


def interleave_ahead(
    function: Callable[[T], Iterator[R]], items: Iterable[T], *, workers: int, ahead: int, lull_sec: float = 0.2
) -> Iterator[R | Lull]:
    """What ``function`` yields for each item; the results of one item in order, those of several items mixed.

    Nothing starts before the first ``next``. A worker takes the next item when it has finished one.

    Args:
        function: called from several threads at once.
        items: read by one thread at a time.
        workers: items in progress, each in a thread of its own.
        ahead: results that wait for the consumer, at most; then workers wait.
        lull_sec: quiet time after which ``LULL`` is yielded, once a quiet spell.

    Raises:
        Exception: what ``function`` or the iterable raised, after the results before it.
    """
    if workers < 1 or ahead < 1:
        raise ValueError(f"workers and ahead must be at least 1, got {workers} and {ahead}")
    crew = _Crew(function, items, workers, ahead)
    try:
        yield from crew.results(lull_sec)
    finally:
        crew.stop()


class _Crew(Generic[T, R]):
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

    def results(self, lull_sec: float) -> Iterator[R | Lull]:
        is_quiet = True  # nothing to run before the first result
        at_work = len(self.workers)
        while at_work:
            try:
                result = self.done.get(timeout=None if is_quiet else lull_sec)
            except queue.Empty:
                is_quiet = True
                yield LULL
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
