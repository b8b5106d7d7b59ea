"""The switch of a stream from its models to these models compiled: which of them scores a record, and in what order."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from omnicli.inference.batcher import Batcher, Forward

MAX_WAIT = 4  # Ours: batches that an incomplete batch waits for, while the other batcher of its model is at work

Key = TypeVar("Key")


class Compiled(NamedTuple, Generic[Key]):
    """The models as programs, and what runs them.

    Attributes:
        forwards: one per model; a model that is not compiled has its own.
        holds: whether the programs run the views of a key.
    """

    forwards: Sequence[Forward]
    holds: Callable[[Key], bool]


class SwitchedBatcher:
    """Two batchers whose outputs come back in the order of all views: of a model as it is, and of it compiled.

    Args:
        plain: of the records before the switch.
        compiled: of the records after it; None without a switch.
        batch_size: B.
    """

    def __init__(self, plain: Batcher, compiled: Batcher | None, batch_size: int) -> None:
        self._both = (plain, compiled or plain)
        self._max_wait = MAX_WAIT * batch_size
        self._order: deque[Batcher] = deque()
        self._num_since = 0  # views since the other batcher was given any

    @property
    def is_next_done(self) -> bool:
        """As that of ``Batcher``."""
        return self._order[0].is_next_done

    def pop(self) -> np.ndarray:
        """As that of ``Batcher``."""
        return self._order.popleft().pop()

    def push(self, views: np.ndarray, *, is_compiled: bool) -> None:
        """As that of ``Batcher``; an incomplete batch of the other batcher waits for a few batches at most."""
        chosen, other = self._both[is_compiled], self._both[not is_compiled]
        if self._order and self._order[-1] is not chosen:
            self._num_since = 0
        self._order.append(chosen)
        chosen.push(views)
        self._num_since += len(views)
        if self._num_since >= self._max_wait and other is not chosen:
            other.flush()
            self._num_since = 0

    def flush(self) -> None:
        """As that of ``Batcher``."""
        for batcher in dict.fromkeys(self._both):
            batcher.flush()
