"""Weights of records from the sizes of their classes (OmniSource Sec. 3.6; IG-65M Sec. 3.1.1, 4.1.1).

Arithmetic on a small table with one row per source and combination of classes.

Ours: each source is balanced separately, since each is an `--auxiliary`; a record of n classes counts 1/n in each and
gets the mean of their weights, since training draws one of them (IG-65M Sec. 3.3). Where head classes are cut, a record
belongs to its smallest class: "retain all videos from tail classes" also keeps a record that has a head class besides.
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple

from omnicli.reasons import NO_CLASS, SMALL_CLASS

Count = int | Fraction  # of records; clips of a video count as a fraction of it
Class = int | str  # an integer label, or a name as normalise_class spells it


@dataclass(frozen=True, kw_only=True)
class BalanceRule:
    """Parameters of class balance. ``max_per_class`` replaces ``power``.

    Attributes:
        power: p of N^p, in [0, 1]; 1 keeps the class sizes, 0 makes them equal.
        max_per_class: N_c of the clipped distribution.
        min_per_class: smaller classes are dropped (IG-65M Sec. 3.1.1: at least 50 videos per label).
        keep_tail: number of records to keep; tail classes come first.
        resample: write this many records, with repeats, instead of weights.
        seed: of the choice of dropped and repeated records.
        per_parent: the clips of one parent share the weight of one record.
    """

    power: float = 0.2
    max_per_class: int | None = None
    min_per_class: int = 1
    keep_tail: int | None = None
    resample: int | None = None
    seed: int = 0
    per_parent: bool = False


class ClassGroup(NamedTuple):
    """Records of one source with the same classes; they share one weight.

    Attributes:
        source: name of the source.
        classes: sorted; a class that two of three queries name is listed twice.
    """

    source: str
    classes: tuple[Class, ...]


@dataclass(frozen=True)
class GroupBalance:
    """Decision for the ``count`` records of one group.

    Attributes:
        count: records in the input.
        keep: records to keep; the others are dropped as "head class".
        copies: how often each kept record is written; 1 without ``resample``.
        extra: number of records that are written once more.
        weight: of each record.
        reason: why the whole group is dropped, or "".
    """

    count: Count
    keep: Count
    copies: int = 1
    extra: int = 0
    weight: float = 1.0
    reason: str = ""

    @property
    def expected_count(self) -> float:
        """Expected number of records of this group in an epoch over the balanced source."""
        return float(self.keep * self.copies + self.extra) * self.weight


GroupBalances = Mapping[ClassGroup, GroupBalance]
NONE_CUT: Mapping[ClassGroup, int] = {}


class HeadCut(NamedTuple):
    """Records of one source with the same smallest class, of which only ``keep`` stay.

    Attributes:
        groups: of the records, sorted.
        keep: number of records to keep over all groups.
    """

    groups: tuple[ClassGroup, ...]
    keep: int


def find_head_cuts(counts: Mapping[ClassGroup, Count], rule: BalanceRule) -> list[HeadCut]:
    """The head classes that ``keep_tail`` cuts (IG-65M Sec. 4.1.1); other groups are kept whole.

    The result does not depend on the order of ``counts``.
    """
    if rule.keep_tail is None:
        return []
    balances = _without_small_classes(counts, rule)
    sizes = _class_sizes(balances)
    cuts: dict[tuple[float, str, bool, Class], list[ClassGroup]] = defaultdict(list)
    for group, balance in balances.items():
        if balance.keep:
            ranks = [(float(sizes[group.source][k]), group.source, isinstance(k, str), k) for k in group.classes]
            cuts[min(ranks)].append(group)
    smallest_first = sorted(cuts)
    num_records = [int(sum(counts[group] for group in cuts[rank])) for rank in smallest_first]
    quotas = tail_quotas(num_records, [rank[0] for rank in smallest_first], rule.keep_tail)
    return [
        HeadCut(tuple(cuts[rank]), keep)
        for rank, num, keep in zip(smallest_first, num_records, quotas, strict=True)
        if keep < num
    ]


def balance_groups(
    counts: Mapping[ClassGroup, Count], rule: BalanceRule, kept: Mapping[ClassGroup, int] = NONE_CUT
) -> dict[ClassGroup, GroupBalance]:
    """Balance the classes of every source (OmniSource Sec. 3.6; IG-65M Sec. 3.1.1, 4.1.1).

    The result does not depend on the order of ``counts``.

    Args:
        counts: records per group.
        rule: parameters.
        kept: records to keep per group of ``find_head_cuts``.
    """
    # IG-65M Sec. 3.1.1: drop classes with too few records
    balances = _without_small_classes(counts, rule)
    # IG-65M Sec. 4.1.1: "retain all videos from tail classes and only sub-sample head classes"
    for group, keep in kept.items():
        balances[group] = replace(balances[group], keep=keep)
    # OmniSource Sec. 3.6: class k is drawn in proportion to min(N_k, N_c) or N_k^p
    for source in {group.source for group in balances}:
        balances |= _with_weights(
            {group: balance for group, balance in balances.items() if group.source == source}, rule
        )
    return balances if rule.resample is None else _with_copies(balances, rule.resample)


def record_weight(size: float, rule: BalanceRule) -> float:
    """N_k^(p-1), so that the N_k records of class k are drawn in proportion to N_k^p (OmniSource Sec. 3.6).

    With ``max_per_class`` N_c: min(N_k, N_c) / N_k. Both up to a constant per source; ``size`` is N_k.

    >>> record_weight(16, BalanceRule(power=0.5)), record_weight(16, BalanceRule(max_per_class=4))
    (0.25, 0.25)
    """
    if rule.max_per_class is not None:
        return min(size, rule.max_per_class) / size
    return float(size ** (rule.power - 1))


def tail_quotas(num_records: Sequence[int], sizes: Sequence[float], total: int) -> list[int]:
    """Number of records to keep per class, ``total`` in all, such that larger classes are cut first.

    The m-th of the M records of a class of size N is kept if head classes are cut to a size of at least m · N / M. The
    records with the smallest such sizes are kept, among equal ones those of the larger class, so a larger total keeps
    every record that a smaller one keeps.

    Args:
        num_records: M per class.
        sizes: N per class, ascending; differs from M if records have several classes.
        total: number of records to keep.

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
    """Split ``total`` in proportion to ``masses`` into whole numbers, by the largest remainder, earlier ones first.

    >>> apportion([3.0, 3.0, 1.0], 5)
    [2, 2, 1]
    """
    whole = math.fsum(masses)
    exact = [total * expected_count / whole if whole else 0.0 for expected_count in masses]
    quotas = [math.floor(balance) for balance in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: quotas[index] - exact[index])
    for index in by_remainder[: total - sum(quotas) if whole else 0]:
        quotas[index] += 1
    return quotas


def _without_small_classes(counts: Mapping[ClassGroup, Count], rule: BalanceRule) -> dict[ClassGroup, GroupBalance]:
    """All groups, sorted; groups without a class or with a small class are dropped (IG-65M Sec. 3.1.1)."""
    balances = {group: GroupBalance(counts[group], counts[group]) for group in sorted(counts, key=_sort_key)}
    num_records = dict[tuple[str, Class], Count]()
    for group, count in counts.items():
        for key in {(group.source, name) for name in group.classes}:
            num_records[key] = num_records.get(key, 0) + count
    for group, balance in balances.items():
        if not group.classes:
            balances[group] = GroupBalance(balance.count, 0, reason=NO_CLASS)
        elif any(num_records[group.source, name] < rule.min_per_class for name in group.classes):
            balances[group] = GroupBalance(balance.count, 0, reason=SMALL_CLASS)
    return balances


def _with_weights(balances: Mapping[ClassGroup, GroupBalance], rule: BalanceRule) -> dict[ClassGroup, GroupBalance]:
    """The groups of one source with weights whose mean over the kept records is 1.

    Ours: 9 significant digits, to keep lines short.
    """
    sizes = _class_sizes(balances)
    factors = {
        group: math.fsum(record_weight(float(sizes[group.source][name]), rule) for name in group.classes)
        / len(group.classes)
        for group, balance in balances.items()
        if balance.keep
    }
    total = math.fsum(balances[group].keep * factor for group, factor in factors.items())
    mean = total / (sum(balance.keep for balance in balances.values()) or 1)
    return {
        group: replace(balance, weight=float(f"{factors[group] / mean:.9g}")) if group in factors else balance
        for group, balance in balances.items()
    }


def _with_copies(balances: Mapping[ClassGroup, GroupBalance], total: int) -> dict[ClassGroup, GroupBalance]:
    """Distribute each group's part of ``total`` evenly over its records, all with weight 1."""
    staying = [group for group, balance in balances.items() if balance.keep]
    quotas = dict(zip(staying, apportion([balances[group].expected_count for group in staying], total), strict=True))
    balanced = dict(balances)
    for group, quota in quotas.items():
        copies, extra = divmod(quota, int(balances[group].keep))
        balanced[group] = replace(balances[group], copies=copies, extra=extra, weight=1.0)
    return balanced


def _class_sizes(balances: GroupBalances) -> dict[str, dict[Class, Fraction]]:
    """N_k per source and class; a record of n classes counts 1/n in each."""
    sizes: dict[str, dict[Class, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for group, balance in balances.items():
        for name in group.classes:
            sizes[group.source][name] += Fraction(balance.keep, len(group.classes))
    return sizes


def _sort_key(group: ClassGroup) -> tuple[str, list[tuple[bool, Class]]]:
    return group.source, [(isinstance(name, str), name) for name in group.classes]
