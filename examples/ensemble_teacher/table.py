#!/usr/bin/env python3
"""Print what measure.sh measured as Markdown tables, one per question.

    python table.py OUT DATA

Top-1 accuracy: 95 % intervals over draws of the labelled clips and over recordings (``actions6/runs.py``). Kept
precision: the mean over queries of the share of kept images that show their query, by DATA/manifest.csv; intervals over
draws. A difference is paired: that of the ensemble to each teacher on the same draws.
"""

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "actions6"))

from runs import Runs, interval, paired, read_runs, times_drawn
from tables import markdown

SETTINGS = ("lite0", "lite2", "both")
NAMES = "Lite0|Lite2|both"
VALUES = f"clips per class|{NAMES}"
DIFFERENCES = "clips per class|both - Lite0|both - Lite2"


def main() -> None:
    """Print the tables."""
    out, data = map(Path, sys.argv[1:])
    found = {(clips, setting): runs for (_, clips, setting), runs in read_runs(out / "eval").items()}
    truth = read_truth(data / "manifest.csv")
    every = sorted({clips for clips, _ in found})
    accuracies = [accuracy_cells({name: found[clips, name] for name in SETTINGS}) for clips in every]
    print_tables("Top-1 accuracy", every, accuracies)
    print_tables("Kept precision", every, [precision_cells(out / "kept", clips, truth) for clips in every])
    queries = sorted(set(truth.values()) & queries_of(out / "kept"))
    by_query = {name: precisions(kept_files(out / "kept" / name, "*"), truth) for name in SETTINGS}
    rows = [
        (query, *(f"{100 * np.mean([shares[query] for shares in by_query[name]]):.1f}" for name in SETTINGS))
        for query in queries
    ]
    print(f"Kept precision by query in %, all draws\n\n{markdown(f'query|{NAMES}', rows)}")


def print_tables(measure: str, every: list[int], cells: list[list[str]]) -> None:
    """The values, then the paired differences; ``cells`` holds both of each number of clips."""
    for text, heads, chosen in (
        (f"{measure} in %", VALUES, slice(len(SETTINGS))),
        (f"{measure}: the ensemble and each teacher, in points", DIFFERENCES, slice(len(SETTINGS), None)),
    ):
        print(f"{text}\n\n{markdown(heads, [(clips, *row[chosen]) for clips, row in zip(every, cells, strict=True)])}")


def shown(mean: float, low: float, high: float, *, sign: str = "") -> str:
    """Per cent, and an interval."""
    return f"{100 * mean:{sign}.1f} ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"


def accuracy_cells(runs: dict[str, Runs]) -> list[str]:
    """Means of the settings, and paired differences."""
    means = [shown(runs[name].mean, *interval(runs[name].right, runs[name].units)) for name in SETTINGS]
    return [*means, *(shown(*paired(runs["both"], runs[other]), sign="+") for other in SETTINGS[:2])]


def read_truth(manifest: Path) -> dict[str, str]:
    """Path of every web file → the class that it shows."""
    with manifest.open(newline="") as file:
        return {row["path"]: row["true_label"] for row in csv.DictReader(file)}


def kept_files(folder: Path, clips: int | str) -> list[list[dict[str, str]]]:
    """The kept records of every draw, in the order of the seeds."""
    paths = sorted(folder.glob(f"k{clips}-s*.jsonl"))
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]


def queries_of(folder: Path) -> set[str]:
    """All queries among the kept records."""
    return {record["query"] for name in SETTINGS for draw in kept_files(folder / name, "*") for record in draw}


def precisions(draws: list[list[dict[str, str]]], truth: dict[str, str]) -> list[dict[str, float]]:
    """For every draw, query → share of its kept images that show it."""
    found = []
    for records in draws:
        right: dict[str, list[bool]] = defaultdict(list)
        for record in records:
            right[record["query"]].append(truth[record["id"]] == record["query"])
        found.append({query: float(np.mean(values)) for query, values in right.items()})
    return found


def precision_cells(folder: Path, clips: int, truth: dict[str, str]) -> list[str]:
    """Means of the settings, and paired differences, over queries."""
    per_draw = {
        name: np.array([np.mean([*shares.values()]) for shares in precisions(kept_files(folder / name, clips), truth)])
        for name in SETTINGS
    }
    means = [shown(values.mean(), *over_draws(values)) for values in per_draw.values()]
    changes = [per_draw["both"] - per_draw[other] for other in SETTINGS[:2]]
    return [*means, *(shown(change.mean(), *over_draws(change), sign="+") for change in changes)]


def over_draws(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of (S,), bootstrapped over draws."""
    counts = times_drawn(len(values), np.random.default_rng(0))
    low, high = np.quantile(counts @ values / counts.sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
