"""Lines about the sizes of classes before and after balancing."""

from collections import defaultdict
from collections.abc import Mapping

from omnicli.stages.balance.weights import Class, GroupBalances

NUM_NAMED = 10  # a source with at most this many classes is printed class by class, others by tenths


def histogram_lines(balances: GroupBalances, *, every_class: bool = False) -> list[str]:
    """Class sizes before and after: a line per class if they are few or with ``every_class``, else per tenth."""
    lines = []
    for source in sorted({group.source for group in balances}):
        before: dict[Class, float] = defaultdict(float)
        after: dict[Class, float] = defaultdict(float)
        for group, balance in balances.items():
            for name in group.classes if group.source == source else ():
                before[name] += balance.count / len(group.classes)
                after[name] += balance.expected_count / len(group.classes)
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
    """Size of a class; fractional if records have several classes."""
    return f"{size:,.1f}".removesuffix(".0")
