"""Sizes of the classes that balance weights, so that those with hardly any record can be named."""

from collections import Counter
from collections.abc import Sequence

from omnicli.stages.balance.weights import GroupBalances
from omnicli.streams.class_names import normalise_class


def class_sizes(balances: GroupBalances, classes: Sequence[str] = ()) -> dict[str, int]:
    """Records of each class, over all sources; a record of several classes counts in each.

    Args:
        balances: the decisions; classes that --min-per-class rejects are left out, because that is wanted.
        classes: names that should have records, in any spelling. Without them, integers between 0 and the largest one
            that have no record count as classes, and missing names are not known.
    """
    sizes: Counter[str | int] = Counter()
    for group, balance in balances.items():
        for name in set(group.classes):
            sizes[name] += 0 if balance.reason else int(balance.count)
    integers = [name for name in sizes if isinstance(name, int)]
    wanted: list[str | int] = list(range(max(integers) + 1)) if integers else []
    if classes:
        wanted = [name for label, name in enumerate(map(normalise_class, classes)) if not sizes.get(label)]
    rejected = {name for group, balance in balances.items() if balance.reason for name in group.classes}
    return {
        f"label {name}" if isinstance(name, int) else name: sizes[name]
        for name in dict.fromkeys([*wanted, *sizes])
        if sizes[name] or name not in rejected
    }
