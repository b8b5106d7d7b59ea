"""Who of many equals is chosen: the smallest lots, a lot being the hash of an id."""

from array import array
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from omnicli.data.keyed_random import keyed_seed


@dataclass
class Cut:
    """The smallest of some lots: those below ``last``, and the first ``num_equal`` equal to it (one id)."""

    last: int
    num_equal: int

    def takes(self, lot: int) -> bool:
        """True for those; asked once a record, in order."""
        if lot == self.last and self.num_equal:
            self.num_equal -= 1
            return True
        return lot < self.last


class Lots(NamedTuple):
    """Who of a group stays, and who is written once more."""

    keep: Cut
    extra: Cut


def lot_of(record_id: str | None, seed: int) -> int:
    """A number that depends on the id alone, whatever the order of the stream."""
    return keyed_seed(seed, "balance", str(record_id))


def smallest(lots: "array[int]", number: int) -> Cut:
    """The ``number`` smallest.

    >>> cut = smallest(array("Q", [7, 5, 5, 9]), 2)
    >>> [cut.takes(lot) for lot in (9, 5, 7, 5)]
    [False, True, False, True]
    """
    if not number:
        return Cut(-1, 0)
    values = np.frombuffer(lots, dtype=np.uint64)
    last = np.partition(values, number - 1)[number - 1]
    return Cut(int(last), number - int((values < last).sum()))
