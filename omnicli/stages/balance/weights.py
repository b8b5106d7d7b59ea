"""How much each class counts (Sec. 3.6, resampling; IG-65M Sec. 3.1.1, 4.1.1): from the sizes of classes to weights.

Pure arithmetic on a small table, one row for the records of one source that have the same classes.

Ours: each source is balanced by itself, since each is an `--auxiliary` of its own; a record of n classes counts for
each with 1/n and weighs the mean of theirs, since training draws one of them (IG-65M Sec. 3.3). Where heads are cut, it
fares as the smallest of its classes: "retain all videos from tail classes" keeps a record of a head that is of the
tail, too, and one of heads alone stays as often as a record of the smallest of them does.
"""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple

from omnicli.reasons import NO_CLASS, SMALL_CLASS

Class = int | str  # an integer label, or a name as normalise_class spells it


@dataclass(frozen=True, kw_only=True)
class BalanceRule:
    """How classes are balanced. ``max_per_class`` replaces ``power``.

    Attributes:
        power: p of the power law, in [0, 1]; 1 leaves the classes as they are, 0 makes them equal.
        max_per_class: N_c of the clipped distribution.
        min_per_class: smaller classes leave (IG-65M, Sec. 3.1.1: at least 50 videos a label).
        keep_tail: number of records that stay, those of the tail first.
        resample: write an actual list of so many records instead of weights.
        seed: decides who leaves and who is repeated.
    """

    power: float = 0.2
    max_per_class: int | None = None
    min_per_class: int = 1
    keep_tail: int | None = None
    resample: int | None = None
    seed: int = 0


class ClassGroup(NamedTuple):
    """Records of one source with the same classes; they share one weight.

    Attributes:
        source: of the records.
        classes: in order; one that two of three queries mean stands there twice.
    """

    source: str
    classes: tuple[Class, ...]


@dataclass(frozen=True)
class Share:
    """What becomes of the ``count`` records of one group.

    Attributes:
        count: records as read.
        keep: how many stay; the others are the head of their class.
        copies: how often each that stays is written; 1 but for ``resample``.
        extra: so many of them once more.
        weight: of each.
        reason: why all of them leave, or "".
    """

    count: int
    keep: int
    copies: int = 1
    extra: int = 0
    weight: float = 1.0
    reason: str = ""

    @property
    def mass(self) -> float:
        """Records of this group in an epoch over the balanced source, expected."""
        return (self.keep * self.copies + self.extra) * self.weight


Shares = Mapping[ClassGroup, Share]
NONE_CUT: Mapping[ClassGroup, int] = {}


class Pool(NamedTuple):
    """Records that are cut together: those of one source that have the same smallest class.

    Attributes:
        groups: whose records these are, in order.
        keep: how many of them stay, whatever their group.
    """

    groups: tuple[ClassGroup, ...]
    keep: int


def tail_pools(counts: Mapping[ClassGroup, int], rule: BalanceRule) -> list[Pool]:
    """The heads that ``keep_tail`` cuts (IG-65M Sec. 4.1.1); the groups that are in none of them stay whole.

    Pure, and independent of the order of ``counts``.
    """
    if rule.keep_tail is None:
        return []
    shares = _large_enough(counts, rule)
    sizes = _class_sizes(shares)
    pools: dict[tuple[float, str, bool, Class], list[ClassGroup]] = defaultdict(list)
    for group, share in shares.items():
        if share.keep:
            ranks = [(float(sizes[group.source][k]), group.source, isinstance(k, str), k) for k in group.classes]
            pools[min(ranks)].append(group)
    smallest_first = sorted(pools)
    num_records = [sum(counts[group] for group in pools[rank]) for rank in smallest_first]
    quotas = tail_quotas(num_records, [rank[0] for rank in smallest_first], rule.keep_tail)
    return [
        Pool(tuple(pools[rank]), keep)
        for rank, num, keep in zip(smallest_first, num_records, quotas, strict=True)
        if keep < num
    ]


def plan(
    counts: Mapping[ClassGroup, int], rule: BalanceRule, kept: Mapping[ClassGroup, int] = NONE_CUT
) -> dict[ClassGroup, Share]:
    """What becomes of each group, from the sizes of all.

    Pure, and independent of the order of ``counts``.

    Args:
        counts: records of each group.
        rule: how.
        kept: records that stay of each group of ``tail_pools``.
    """
    shares = _large_enough(counts, rule)
    # (IG-65M, Sec. 4.1.1) all of the tail, part of the head
    for group, keep in kept.items():
        shares[group] = replace(shares[group], keep=keep)
    # (Sec. 3.6) clipped, or ∝ N^p
    for source in {group.source for group in shares}:
        shares |= _weighed({group: share for group, share in shares.items() if group.source == source}, rule)
    return shares if rule.resample is None else _resampled(shares, rule.resample)


def class_factor(size: float, rule: BalanceRule) -> float:
    """Weight of a record of a class of ``size`` records, up to a constant of its source (Sec. 3.6).

    >>> class_factor(16, Rule(power=0.5)), class_factor(16, Rule(max_per_class=4))
    (0.25, 0.25)
    """
    if rule.max_per_class is not None:
        return min(size, rule.max_per_class) / size
    return float(size ** (rule.power - 1))


def tail_quotas(num_records: Sequence[int], sizes: Sequence[float], total: int) -> list[int]:
    """How many records of each pool stay, so that ``total`` do and none is cut whose class is smaller than another's.

    Of M records of a class of size N, the m-th stays once heads are cut to a size of m · N / M or above. The lowest of
    these stay, of equal ones those of the larger class; so what stays of a smaller total stays of a larger one.

    Args:
        num_records: M of each pool.
        sizes: N of its class, in ascending order; other than M where records have several classes.
        total: all in all.

    >>> tail_quotas([7, 20, 100], [7, 20, 100], 40)
    [7, 16, 17]
    >>> tail_quotas([7, 20, 100], [7, 20, 200], 40)
    [7, 20, 13]
    """
    rates = [num / size for num, size in zip(num_records, sizes, strict=True)]
    rests = list(accumulate(reversed(rates)))[::-1]
    quotas, left = [], total
    for num, size, rest in zip(num_records, sizes, rests, strict=True):
        if size * rest > left:
            break
        quotas.append(num)
        left -= num
    cut = range(len(quotas), len(rates))
    level = left / rests[cut.start] * (1 - 1e-9) if cut else 0.0  # a little low, whatever the rounding
    quotas += [math.floor(rates[k] * level) for k in cut]

    def next_of(k: int) -> tuple[float, int]:
        return (quotas[k] + 1) * sizes[k] / num_records[k], -k

    waiting = [next_of(k) for k in cut]
    heapq.heapify(waiting)
    for _ in range(min(total, sum(num_records)) - sum(quotas)):
        k = -waiting[0][1]
        quotas[k] += 1
        if quotas[k] < num_records[k]:
            heapq.heapreplace(waiting, next_of(k))
        else:
            heapq.heappop(waiting)
    return quotas


def apportion(masses: Sequence[float], total: int) -> list[int]:
    """``total`` shared out in proportion, in whole numbers: largest remainders get one more, the earlier of equals.

    >>> apportion([3.0, 3.0, 1.0], 5)
    [2, 2, 1]
    """
    whole = math.fsum(masses)
    exact = [total * mass / whole if whole else 0.0 for mass in masses]
    quotas = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: quotas[index] - exact[index])
    for index in by_remainder[: total - sum(quotas) if whole else 0]:
        quotas[index] += 1
    return quotas


def _large_enough(counts: Mapping[ClassGroup, int], rule: BalanceRule) -> dict[ClassGroup, Share]:
    """All groups in order; whole, or without a class, or of one that is too small (IG-65M, Sec. 3.1.1)."""
    shares = {group: Share(counts[group], counts[group]) for group in sorted(counts, key=_sort_key)}
    num_records = Counter[tuple[str, Class]]()
    for group, count in counts.items():
        num_records.update({(group.source, name): count for name in group.classes})
    for group, share in shares.items():
        if not group.classes:
            shares[group] = Share(share.count, 0, reason=NO_CLASS)
        elif any(num_records[group.source, name] < rule.min_per_class for name in group.classes):
            shares[group] = Share(share.count, 0, reason=SMALL_CLASS)
    return shares


def _weighed(shares: Mapping[ClassGroup, Share], rule: BalanceRule) -> dict[ClassGroup, Share]:
    """The groups of one source with weights of mean 1 over the records that stay.

    Ours: 9 digits, so that a line stays short.
    """
    sizes = _class_sizes(shares)
    factors = {
        group: math.fsum(class_factor(float(sizes[group.source][name]), rule) for name in group.classes)
        / len(group.classes)
        for group, share in shares.items()
        if share.keep
    }
    total = math.fsum(shares[group].keep * factor for group, factor in factors.items())
    mean = total / (sum(share.keep for share in shares.values()) or 1)
    return {
        group: replace(share, weight=float(f"{factors[group] / mean:.9g}")) if group in factors else share
        for group, share in shares.items()
    }


def _resampled(shares: Mapping[ClassGroup, Share], total: int) -> dict[ClassGroup, Share]:
    """An actual list: each group's part of ``total`` is dealt out evenly to its records, which then weigh the same."""
    staying = [group for group, share in shares.items() if share.keep]
    quotas = dict(zip(staying, apportion([shares[group].mass for group in staying], total), strict=True))
    made = dict(shares)
    for group, quota in quotas.items():
        copies, extra = divmod(quota, shares[group].keep)
        made[group] = replace(shares[group], copies=copies, extra=extra, weight=1.0)
    return made


def _class_sizes(shares: Shares) -> dict[str, dict[Class, Fraction]]:
    """N_k of each source; a record of n classes counts for each with 1/n."""
    sizes: dict[str, dict[Class, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for group, share in shares.items():
        for name in group.classes:
            sizes[group.source][name] += Fraction(share.keep, len(group.classes))
    return sizes


def _sort_key(group: ClassGroup) -> tuple[str, list[tuple[bool, Class]]]:
    return group.source, [(isinstance(name, str), name) for name in group.classes]
