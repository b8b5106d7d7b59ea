"""Class balance of the auxiliary data (Sec. 3.6, resampling; IG-65M Sec. 3.1.1, 4.1.1).

    in    auxiliary records, each with a class: pseudo-label, query or human label
    out   the same records in the same order, each with `weight`, its chance to be drawn; mean 1 over its source

Teacher filtering makes web data uneven (Fig. 3). With N_k records of a source in class k:

    power      weight ∝ N_k^(p-1), so that class k is drawn ∝ N_k · N_k^(p-1) = N_k^p (Sec. 3.6 (2); Table 10: p = 0.2)
    clipped    weight ∝ min(N_k, N_c) / N_k, so that class k is drawn ∝ min(N_k, N_c) (Sec. 3.6 (1))
    tail-preserving    of N records in all, every one of a small class; large ones are cut to the size that then fits
               (IG-65M Sec. 4.1.1: "retain all videos from tail classes and only sub-sample head classes")

Ours: each source is balanced by itself, since each is an `--auxiliary` of its own; a record of several classes counts
for each of its n with 1/n and weighs the mean of theirs (one of them is drawn in training, IG-65M Sec. 3.3), and of two
queries that mean one class it counts for that with 2/n; small classes leave first, then the heads (where a record fares
as the smallest of its classes), then weights are taken of what is left; who leaves is decided by a hash of the id.
"""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from operator import attrgetter
from typing import Any, Literal

from omnicli.data.query_labels import QueryNames
from omnicli.errors import InputError
from omnicli.reasons import HEAD_CLASS, NOT_DRAWN
from omnicli.stages.balance.selection import ClassHashes, selection_hash, shares_of_smallest, smallest
from omnicli.stages.balance.weights import BalanceRule, Class, ClassGroup, Share, Shares, plan, tail_pools
from omnicli.streams.class_names import normalise_class
from omnicli.streams.multipass.class_fields import ClassFields
from omnicli.streams.multipass.passes import (
    MultipassInput,
    Outcome,
    input_changed,
    reject,
    reject_unreadable,
    set_weight,
    weight_ending,
)

LabelField = Literal["pseudo_label", "query", "label"]
Known = tuple[str | None, Any, Any]
"""What a record says of its class: its source, and the two fields that ``KNOWN`` names."""

KNOWN: Mapping[LabelField, Callable[[ClassFields], Known]] = {
    "pseudo_label": attrgetter("source", "pseudo_label", "pseudo_class"),
    "query": attrgetter("source", "query", "queries"),
    "label": attrgetter("source", "label", "class_name"),
}
AS_ASKED = QueryNames()  # every query is a class of its own
NUM_NAMED = 10  # a source of so many classes is shown class by class, others by tenths


def balance_records(
    passes: MultipassInput,
    *,
    rule: BalanceRule,
    by: LabelField,
    query_names: QueryNames = AS_ASKED,
    on_plan: Callable[[Shares], None],
) -> Iterator[Outcome]:
    """Weigh every record by the size of its class (Sec. 3.6).

    Args:
        passes: the records; gone through twice, three times where some of a class leave or are repeated.
        rule: how.
        by: the field that says which class a record counts for: the one that training uses.
        query_names: what its queries mean.
        on_plan: told what becomes of every group, when that is known.

    Yields:
        One verdict a record, in order; those that leave: no class, small class, head class, not drawn.

    Raises:
        InputError: a class has two names or a name two classes; names file and line.
    """
    known_by = KNOWN[by]
    groups, counts = _count(passes, by, query_names)
    shares, lots = _draw(passes, known_by, groups, counts, rule)
    on_plan(shares)
    endings = {known: weight_ending(shares[group].weight) for known, group in groups.items()}
    whole = {known: _fate(shares[group]) for known, group in groups.items() if group not in lots}
    for row in passes:
        seen = row[1]
        if seen is None:
            yield reject_unreadable(row)
            continue
        known = known_by(seen)
        fate = whole.get(known)
        if fate is None:
            if known not in groups:
                raise input_changed("a class is new")
            group = groups[known]
            fate = _fate(shares[group], lots[group], selection_hash(seen.id, rule.seed))
        copies, reason = fate
        yield set_weight(row, endings[known], copies) if copies else reject(row, reason)


def _count(
    passes: MultipassInput, by: LabelField, query_names: QueryNames
) -> tuple[dict[Known, ClassGroup], Counter[ClassGroup]]:
    """The first pass: the group of each combination of fields, and the records in each group."""
    known_by = KNOWN[by]
    num_known: dict[Known, int] = {}
    first_seen: dict[Known, str] = {}
    for _, seen in passes:
        if seen is None:
            continue
        known = known_by(seen)
        if known in num_known:
            num_known[known] += 1
        else:
            num_known[known] = 1
            first_seen[known] = passes.where
    groups = group_by_class(first_seen, by, query_names)
    counts: Counter[ClassGroup] = Counter()
    for known, count in num_known.items():
        counts[groups[known]] += count
    return groups, counts


def group_by_class(
    first_seen: Mapping[Known, str], by: LabelField, query_names: QueryNames = AS_ASKED
) -> dict[Known, ClassGroup]:
    """The classes of each combination of fields: names where the stream has them, else integers.

    Args:
        first_seen: FILE:LINE of the first record of each.
        by: which fields they are.
        query_names: what queries mean.

    Raises:
        InputError: an integer with two names, or a name with two integers: two streams number their classes apart.
    """
    spelled = {known: _spell(known, by, query_names, where) for known, where in first_seen.items()}
    names: dict[int, str] = {}
    labels: dict[str, int] = {}
    for known, where in first_seen.items():
        for label, name in spelled[known]:
            if label is not None and name is not None:
                first_name, first_label = names.setdefault(label, name), labels.setdefault(name, label)
                if (first_name, first_label) != (name, label):
                    other = f"{label} is {first_name!r}" if first_name != name else f"{name!r} is {first_label}"
                    raise InputError(f"{where}: class {label} is {name!r} here, but {other} elsewhere in the stream")
    is_drawn = by == "query"
    return {known: ClassGroup(known[0] or "", _classes(pairs, names, is_drawn)) for known, pairs in spelled.items()}


def _spell(known: Known, by: LabelField, query_names: QueryNames, where: str) -> list[tuple[int | None, str | None]]:
    """(label, name) of each class a record says it has; one of the two may be missing."""
    _, first, second = known
    if by == "query":
        return [(None, name) for name in query_names.find_all(first, second)]
    labels = first if isinstance(first, tuple) else () if first is None else (first,)
    named = second if isinstance(second, tuple) else () if second is None else (second,)
    names = [normalise_class(name) for name in named]
    if labels and names and len(labels) != len(names):
        raise InputError(f"{where}: {len(labels)} labels but {len(names)} class names")
    return list(zip_longest(labels, names))


def _classes(
    pairs: Iterable[tuple[int | None, str | None]], names: Mapping[int, str], is_drawn: bool
) -> tuple[Class, ...]:
    """The classes in one order: each once, or, where one is drawn, in the proportions of the draw."""
    found = Counter[Class]()
    for label, name in pairs:
        if name is not None:
            found[name] += 1
        elif label is not None:
            found[names.get(label, label)] += 1
    divisor = math.gcd(*found.values()) if is_drawn else 0
    in_order = sorted(found, key=lambda name: (isinstance(name, str), name))
    return tuple(name for name in in_order for _ in range(found[name] // divisor if is_drawn else 1))


def _draw(
    passes: MultipassInput,
    known_by: Callable[[ClassFields], Known],
    groups: Mapping[Known, ClassGroup],
    counts: Counter[ClassGroup],
    rule: BalanceRule,
) -> tuple[Shares, dict[ClassGroup, ClassHashes]]:
    """What becomes of each group, and of whom in it where its records do not all fare alike."""
    pools = tail_pools(counts, rule)
    drawn = {group for pool in pools for group in pool.groups if pool.keep}
    if rule.resample is not None:
        drawn = {group for group in counts if group.classes}
    lots = _lots(passes, known_by, groups, {group: counts[group] for group in drawn}, rule.seed)
    kept: dict[ClassGroup, int] = {}
    for pool in pools:
        parts = [lots.get(group, array("Q")) for group in pool.groups]
        kept |= zip(pool.groups, shares_of_smallest(parts, pool.keep), strict=True)
    shares = plan(counts, rule, kept)
    return shares, {
        group: ClassHashes(smallest(lots[group], share.keep), smallest(lots[group], share.extra))
        for group, share in shares.items()
        if 0 < share.keep < share.count or share.extra
    }


def _lots(
    passes: MultipassInput,
    known_by: Callable[[ClassFields], Known],
    groups: Mapping[Known, ClassGroup],
    drawn: Mapping[ClassGroup, int],
    seed: int,
) -> "dict[ClassGroup, array[int]]":
    """A pass for the lots of groups of so many records each; 8 bytes of memory for each of those records."""
    lots_of_group = {group: array("Q") for group in drawn}
    if not drawn:
        return {}
    lots_of_known = {known: lots_of_group[group] for known, group in groups.items() if group in drawn}
    for _, seen in passes:
        lots = lots_of_known.get(known_by(seen)) if seen else None
        if seen and lots is not None:
            lots.append(selection_hash(seen.id, seed))
    if any(len(lots) != drawn[group] for group, lots in lots_of_group.items()):
        raise input_changed("a class has other records")
    return lots_of_group


def _fate(share: Share, lots: ClassHashes | None = None, lot: int = 0) -> tuple[int, str]:
    """How often a record is written, or why it leaves."""
    if share.reason:
        return 0, share.reason
    if lots is None:
        stays, is_extra = share.keep > 0, False
    else:
        stays, is_extra = lots.keep.takes(lot), lots.extra.takes(lot)
    if not stays:
        return 0, HEAD_CLASS
    copies = share.copies + is_extra
    return copies, "" if copies else NOT_DRAWN


def histogram_lines(shares: Shares, *, every_class: bool = False) -> list[str]:
    """Classes before and after, a few lines a source: each class if they are few or ``every_class``, else tenths."""
    lines = []
    for source in sorted({group.source for group in shares}):
        before: dict[Class, float] = defaultdict(float)
        after: dict[Class, float] = defaultdict(float)
        for group, share in shares.items():
            for name in group.classes if group.source == source else ():
                before[name] += share.count / len(group.classes)
                after[name] += share.mass / len(group.classes)
        if before:
            compare = _each_class if every_class or len(before) <= NUM_NAMED else _tenths
            largest_first = sorted(before, key=lambda name: (-before[name], str(name)))
            lines += [f"{source}: {line}" if source else line for line in compare(largest_first, before, after)]
    return lines


def _each_class(names: list[Class], before: Mapping[Class, float], after: Mapping[Class, float]) -> list[str]:
    sums = sum(before.values()), sum(after.values()) or 1.0
    return [
        f"{name}: {_number(before[name])} records, {before[name] / sums[0]:.1%} -> {after[name] / sums[1]:.1%}"
        for name in names
    ]


def _tenths(names: list[Class], before: Mapping[Class, float], after: Mapping[Class, float]) -> list[str]:
    tenths = [names[len(names) * i // 10 : len(names) * (i + 1) // 10] for i in range(10)]
    sizes = f"{_number(before[names[-1]])} to {_number(before[names[0]])}"
    lines = [f"{len(names):,} classes of {sizes} records; share of each tenth of the classes, largest first"]
    for word, masses in (("before", before), ("after", after)):
        whole = sum(masses.values()) or 1.0
        lines.append(
            f"{word:>6} " + " ".join(f"{sum(map(masses.__getitem__, tenth)) / whole:6.1%}" for tenth in tenths)
        )
    return lines


def _number(size: float) -> str:
    """Records of a class; halves and thirds where records have several."""
    return f"{size:,.1f}".removesuffix(".0")
