"""Curves of training and tables of evaluation, from the lines that those commands print."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from omnicli.stages.report import plots

LOSS, ACCURACY = ("loss",), ("acc", "top1", "top5", "map")
CHANGES = ("became_right", "became_wrong", "p_value")
MAX_CONFUSION = 80  # classes drawn


@dataclass(frozen=True)
class Chart:
    """A plot with its legend."""

    title: str
    plot: Markup
    legend: list[str]


def metric_charts(metrics: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Curves of training: losses together, accuracies together, every other number that changes alone."""
    x_label = "epoch" if any("epoch" in record for record in metrics) else "step"
    series: dict[str, list[tuple[float, float]]] = {}
    for record in metrics:
        at = record.get(x_label)
        prefix = f"{record['source']} " if isinstance(record.get("source"), str) else ""
        for name, value in record.items():
            if name not in ("epoch", "step") and _is_number(value) and _is_number(at):
                series.setdefault(prefix + name, []).append((float(at or 0), float(value)))
    families: dict[str, list[str]] = {"loss": [], "accuracy": []}
    for name in series:
        families.setdefault(_family(name), []).append(name)
    families = {family: names for family, names in families.items() if any(_varies(series[name]) for name in names)}
    return [
        Chart(
            title=family,
            plot=plots.line_chart({name: series[name] for name in names}, x_label=x_label),
            legend=names if len(names) > 1 else [],
        )
        for family, names in families.items()
    ]


def _varies(line: Sequence[tuple[float, float]]) -> bool:
    """False for a number that stays the same over several epochs: that is no curve."""
    return len(line) == 1 or len({value for _, value in line}) > 1


def _family(name: str) -> str:
    if any(part in name for part in LOSS):
        return "loss"
    return "accuracy" if any(part in name for part in ACCURACY) else name


def summary_of(record: Mapping[str, Any], names: Mapping[int, str]) -> dict[str, Any]:
    """Numbers of an evaluation, its confusion as a heat map (rows: truth), and its pairs of classes as tables."""
    confusion = _square(record.get("confusion"))
    plot = None
    if confusion and len(confusion) <= MAX_CONFUSION:
        classes = record.get("classes")
        if not isinstance(classes, list) or len(classes) != len(confusion):
            classes = [names.get(i, str(i)) for i in range(len(confusion))]
        plot = plots.heat_map(confusion, [str(name) for name in classes])
    compared = _mapping(record.get("baseline"))
    numbers = {
        **record,
        **{f"{name} gained": value for name, value in _mapping(compared.get("change")).items()},
        **{name: compared.get(name) for name in CHANGES},
    }
    tables = [
        ("Most often confused", _pair_rows(record.get("confused"))),
        ("Confused less than by the baseline", _pair_rows(compared.get("improved"))),
        ("Confused more than by the baseline", _pair_rows(compared.get("worsened"))),
    ]
    shown = {name: value for name, value in numbers.items() if _is_number(value)}
    return {"numbers": shown, "confusion": plot, "tables": [table for table in tables if table[1]]}


def _pair_rows(pairs: Any) -> list[tuple[str, str]]:
    """Two classes and their confusion score, or the baseline's and theirs; as they come, the strongest first."""
    rows = []
    for pair in pairs if isinstance(pairs, list) else []:
        if not isinstance(pair, Mapping) or not isinstance(pair.get("classes"), list):
            continue  # another program's
        scores = [pair[name] for name in ("score", "before", "after") if _is_number(pair.get(name))]
        rows.append((" – ".join(map(str, pair["classes"])), " → ".join(f"{score:.3f}" for score in scores)))
    return rows


def _square(value: Any) -> list[list[float]]:
    """A matrix of counts; [] for what another program calls a confusion."""
    rows = value if isinstance(value, list) else []
    is_square = all(isinstance(row, list) and len(row) == len(rows) and all(map(_is_number, row)) for row in rows)
    return rows if is_square else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
