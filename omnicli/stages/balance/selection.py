"""Choose records of a class by the hashes of their ids: the smallest hashes are chosen."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from omnicli.rng import keyed_seed


@dataclass
class HashSelection:
    """The smallest hashes: those below ``last``, and the first ``num_equal`` that equal it (records with one id)."""

    last: int
    num_equal: int

    def takes(self, value: int) -> bool:
        """True if the record with this hash is selected; call once per record, in order."""
        if value == self.last and self.num_equal:
            self.num_equal -= 1
            return True
        return value < self.last


class ClassHashes(NamedTuple):
    """The records of a group to keep, and those to write once more."""

    keep: HashSelection
    extra: HashSelection


def selection_hash(record_id: str | None, seed: int) -> int:
    """A hash that depends only on the id and the seed."""
    return keyed_seed(seed, "balance", str(record_id))


def smallest(hashes: "array[int]", number: int) -> HashSelection:
    """Select the ``number`` smallest hashes.

    >>> cut = smallest(array("Q", [7, 5, 5, 9]), 2)
    >>> [cut.takes(value) for value in (9, 5, 7, 5)]
    [False, True, False, True]
    """
    if not number:
        return HashSelection(-1, 0)
    values = np.frombuffer(hashes, dtype=np.uint64)
    last = np.partition(values, number - 1)[number - 1]
    return HashSelection(int(last), number - int((values < last).sum()))


def shares_of_smallest(parts: "Sequence[array[int]]", number: int) -> list[int]:
    """Number of the ``number`` smallest hashes per part; among equal hashes, earlier parts come first.

    >>> shares_of_smallest([array("Q", [1, 8]), array("Q", [2, 3, 8])], 4)
    [2, 2]
    """
    if not number:
        return [0] * len(parts)
    every = np.concatenate([np.frombuffer(part, dtype=np.uint64) for part in parts])
    every.partition(number - 1)
    last = every[number - 1]
    shares = [int((np.frombuffer(part, dtype=np.uint64) < last).sum()) for part in parts]
    for index, part in enumerate(parts):
        num_equal = int((np.frombuffer(part, dtype=np.uint64) == last).sum())
        shares[index] += min(num_equal, number - sum(shares))
    return shares
