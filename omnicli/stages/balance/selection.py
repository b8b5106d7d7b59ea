"""Who of many equals is chosen: the smallest lots, a lot being the hash of an id."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from omnicli.rng import keyed_seed


@dataclass
class HashSelection:
    """The smallest of some lots: those below ``last``, and the first ``num_equal`` equal to it (one id)."""

    last: int
    num_equal: int

    def takes(self, lot: int) -> bool:
        """True for those; asked once a record, in order."""
        if lot == self.last and self.num_equal:
            self.num_equal -= 1
            return True
        return lot < self.last


class ClassHashes(NamedTuple):
    """Who of a group stays, and who is written once more."""

    keep: HashSelection
    extra: HashSelection


def selection_hash(record_id: str | None, seed: int) -> int:
    """A number that depends on the id alone, whatever the order of the stream."""
    return keyed_seed(seed, "balance", str(record_id))


def smallest(lots: "array[int]", number: int) -> HashSelection:
    """The ``number`` smallest.

    >>> cut = smallest(array("Q", [7, 5, 5, 9]), 2)
    >>> [cut.takes(lot) for lot in (9, 5, 7, 5)]
    [False, True, False, True]
    """
    if not number:
        return HashSelection(-1, 0)
    values = np.frombuffer(lots, dtype=np.uint64)
    last = np.partition(values, number - 1)[number - 1]
    return HashSelection(int(last), number - int((values < last).sum()))


def shares_of_smallest(parts: "Sequence[array[int]]", number: int) -> list[int]:
    """How many of the ``number`` smallest of all are in each part; of equal lots, those of earlier parts count.

    >>> shares_of_smallest([array("Q", [1, 8]), array("Q", [2, 3, 8])], 4)
    [2, 2]
    """
    if not number:
        return [0] * len(parts)
    every = np.concatenate([np.frombuffer(part, dtype=np.uint64) for part in parts])
    every.partition(number - 1)
    last = every[number - 1]
    shares = [int((np.frombuffer(part, dtype=np.uint64) < last).sum()) for part in parts]
    for place, part in enumerate(parts):
        num_equal = int((np.frombuffer(part, dtype=np.uint64) == last).sum())
        shares[place] += min(num_equal, number - sum(shares))
    return shares
