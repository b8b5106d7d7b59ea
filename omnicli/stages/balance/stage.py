"""Class balance of the auxiliary data (OmniSource Sec. 3.6; IG-65M Sec. 3.1.1, 4.1.1).

    in    auxiliary records, each with a class: pseudo-label, query or human label
    out   the same records in the same order, each with `weight`, its chance to be drawn; mean 1 per source

Teacher filtering makes web data uneven (Fig. 3). With N_k records of a source in class k:

    power      weight ∝ N_k^(p-1): class k is drawn ∝ N_k · N_k^(p-1) = N_k^p (OmniSource Sec. 3.6 (2), Table 10)
    clipped    weight ∝ min(N_k, N_c) / N_k: class k is drawn ∝ min(N_k, N_c) (OmniSource Sec. 3.6 (1))
    tail-preserving    keep N records: all of small classes; large classes are cut to the size that then fits
               (IG-65M Sec. 4.1.1: "retain all videos from tail classes and only sub-sample head classes")

Ours: each source is balanced separately, since each is an `--auxiliary`; a record of n classes counts 1/n in each and
gets the mean of their weights (training draws one of them, IG-65M Sec. 3.3); of n queries, two of one class count 2/n
in it; small classes are dropped first, then records of head classes (a record belongs to its smallest class), and
weights are computed from the rest. A hash of the id decides which records are rejected. With ``per_parent`` the clips
of one video share the weight of one record, as in the released lists, where a long video is one sample.
"""

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from operator import attrgetter
from typing import Any, Literal

from omnicli.data.query_labels import QueryNames
from omnicli.errors import InputError
from omnicli.reasons import HEAD_CLASS, NOT_DRAWN
from omnicli.stages.balance.clip_counts import ClipCounts, count_clips
from omnicli.stages.balance.selection import ClassHashes, selection_hash, shares_of_smallest, smallest
from omnicli.stages.balance.weights import (
    BalanceRule,
    Class,
    ClassGroup,
    Count,
    GroupBalance,
    GroupBalances,
    balance_groups,
    find_head_cuts,
)
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
ClassKey = tuple[str | None, Any, Any]
"""The fields of a record that determine its class: its source, and the two fields that ``CLASS_KEYS`` names."""

CLASS_KEYS: Mapping[LabelField, Callable[[ClassFields], ClassKey]] = {
    "pseudo_label": attrgetter("source", "pseudo_label", "pseudo_class"),
    "query": attrgetter("source", "query", "queries"),
    "label": attrgetter("source", "label", "class_name"),
}
QUERIES_AS_CLASSES = QueryNames()  # without a map, every query is a class


def balance_records(
    stream: MultipassInput,
    *,
    rule: BalanceRule,
    by: LabelField,
    query_names: QueryNames = QUERIES_AS_CLASSES,
    on_balance: Callable[[GroupBalances], None],
) -> Iterator[Outcome]:
    """Weight every record by the size of its class (OmniSource Sec. 3.6).

    Args:
        stream: the records; read twice, or three times if part of a class is dropped or repeated.
        rule: parameters.
        by: the field with the class of a record: the one that training uses.
        query_names: maps queries to class names.
        on_balance: called once with the decisions for all groups.

    Yields:
        One outcome per record, in order; reject reasons: no class, small class, head class, not drawn.

    Raises:
        InputError: a class has two names or a name two classes; names file and line.
    """
    key_of = CLASS_KEYS[by]
    clips = count_clips(stream) if rule.per_parent else None
    groups, counts = _count(stream, by, query_names, clips)
    balances, hashes = _decide_groups(stream, key_of, groups, counts, rule)
    on_balance(balances)
    endings = {key: weight_ending(balances[group].weight) for key, group in groups.items()}
    if clips:
        clips.set_weights({key: (group.source, balances[group]) for key, group in groups.items()})
    undrawn = {key: _copies_and_reason(balances[group]) for key, group in groups.items() if group not in hashes}
    for row in stream:
        fields = row[1]
        if fields is None:
            yield reject_unreadable(row)
            continue
        key = key_of(fields)
        decision = undrawn.get(key)
        if decision is None:
            if key not in groups:
                raise input_changed("a class is new")
            group = groups[key]
            decision = _copies_and_reason(balances[group], hashes[group], selection_hash(fields.id, rule.seed))
        copies, reason = decision
        ending = clips.ending(key, fields) if clips and copies else endings[key]
        yield set_weight(row, ending, copies) if copies else reject(row, reason)


def _count(
    stream: MultipassInput, by: LabelField, query_names: QueryNames, clips: ClipCounts | None
) -> tuple[dict[ClassKey, ClassGroup], dict[ClassGroup, Count]]:
    """Read the stream once: the group per class key, and the number of records (or of videos) per group."""
    key_of = CLASS_KEYS[by]
    num_records: dict[ClassKey, int] = {}
    first_where: dict[ClassKey, str] = {}
    for _, fields in stream:
        if fields is None:
            continue
        key = key_of(fields)
        if key in num_records:
            num_records[key] += 1
        else:
            num_records[key] = 1
            first_where[key] = stream.where
        if clips:
            clips.note(key, fields)
    groups = group_by_class(first_where, by, query_names)
    counts: dict[ClassGroup, Count] = {}
    for key, count in num_records.items():
        counts[groups[key]] = counts.get(groups[key], 0) + (clips.num_samples(key) if clips else count)
    return groups, counts


def group_by_class(
    first_where: Mapping[ClassKey, str], by: LabelField, query_names: QueryNames = QUERIES_AS_CLASSES
) -> dict[ClassKey, ClassGroup]:
    """The classes per class key: names where the stream has them, else integers.

    Args:
        first_where: FILE:LINE of the first record per class key.
        by: the field with the class.
        query_names: maps queries to class names.

    Raises:
        InputError: an integer with two names, or a name with two integers, as when two inputs
            number classes differently.
    """
    classes_of_key = {key: _named_classes(key, by, query_names, where) for key, where in first_where.items()}
    names: dict[int, str] = {}
    labels: dict[str, int] = {}
    for key, where in first_where.items():
        for label, name in classes_of_key[key]:
            if label is not None and name is not None:
                first_name, first_label = names.setdefault(label, name), labels.setdefault(name, label)
                if (first_name, first_label) != (name, label):
                    other = f"{label} is {first_name!r}" if first_name != name else f"{name!r} is {first_label}"
                    raise InputError(f"{where}: class {label} is {name!r} here, but {other} elsewhere in the stream")
    is_drawn = by == "query"
    return {key: ClassGroup(key[0] or "", _classes(pairs, names, is_drawn)) for key, pairs in classes_of_key.items()}


def _named_classes(
    key: ClassKey, by: LabelField, query_names: QueryNames, where: str
) -> list[tuple[int | None, str | None]]:
    """(label, name) per class of a record; one of the two may be missing."""
    _, first, second = key
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
    """The classes, sorted: each once, or in the proportions in which training draws them."""
    found = Counter[Class]()
    for label, name in pairs:
        if name is not None:
            found[name] += 1
        elif label is not None:
            found[names.get(label, label)] += 1
    divisor = math.gcd(*found.values()) if is_drawn else 0
    in_order = sorted(found, key=lambda name: (isinstance(name, str), name))
    return tuple(name for name in in_order for _ in range(found[name] // divisor if is_drawn else 1))


def _decide_groups(
    stream: MultipassInput,
    key_of: Callable[[ClassFields], ClassKey],
    groups: Mapping[ClassKey, ClassGroup],
    counts: Mapping[ClassGroup, Count],
    rule: BalanceRule,
) -> tuple[GroupBalances, dict[ClassGroup, ClassHashes]]:
    """The decision per group, and the selected hashes of groups that are kept or repeated only in part."""
    cuts = find_head_cuts(counts, rule)
    drawn = {group for cut in cuts for group in cut.groups if cut.keep}
    if rule.resample is not None:
        drawn = {group for group in counts if group.classes}
    hashes = _hashes_of_groups(stream, key_of, groups, {group: int(counts[group]) for group in drawn}, rule.seed)
    kept: dict[ClassGroup, int] = {}
    for cut in cuts:
        parts = [hashes.get(group, array("Q")) for group in cut.groups]
        kept |= zip(cut.groups, shares_of_smallest(parts, cut.keep), strict=True)
    balances = balance_groups(counts, rule, kept)
    return balances, {
        group: ClassHashes(smallest(hashes[group], int(balance.keep)), smallest(hashes[group], balance.extra))
        for group, balance in balances.items()
        if 0 < balance.keep < balance.count or balance.extra
    }


def _hashes_of_groups(
    stream: MultipassInput,
    key_of: Callable[[ClassFields], ClassKey],
    groups: Mapping[ClassKey, ClassGroup],
    drawn: Mapping[ClassGroup, int],
    seed: int,
) -> "dict[ClassGroup, array[int]]":
    """Read the stream once more for the hashes of some groups; 8 bytes of memory per record."""
    hashes_of_group = {group: array("Q") for group in drawn}
    if not drawn:
        return {}
    hashes_of_key = {key: hashes_of_group[group] for key, group in groups.items() if group in drawn}
    for _, fields in stream:
        hashes = hashes_of_key.get(key_of(fields)) if fields else None
        if fields and hashes is not None:
            hashes.append(selection_hash(fields.id, seed))
    if any(len(hashes) != drawn[group] for group, hashes in hashes_of_group.items()):
        raise input_changed("a class has other records")
    return hashes_of_group


def _copies_and_reason(balance: GroupBalance, hashes: ClassHashes | None = None, value: int = 0) -> tuple[int, str]:
    """How often a record is written, and the reject reason if it is not."""
    if balance.reason:
        return 0, balance.reason
    if hashes is None:
        stays, is_extra = balance.keep > 0, False
    else:
        stays, is_extra = hashes.keep.takes(value), hashes.extra.takes(value)
    if not stays:
        return 0, HEAD_CLASS
    copies = balance.copies + is_extra
    return copies, "" if copies else NOT_DRAWN
