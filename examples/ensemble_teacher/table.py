#!/usr/bin/env python3
"""Print what measure.sh measured as Markdown tables.

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

SETTINGS = ("lite0", "lite2", "both")
HEADING = ("clips", *SETTINGS, "both - lite0", "both - lite2")


def main() -> None:
    """Print the two tables."""
    out, data = map(Path, sys.argv[1:])
    found = {(clips, setting): runs for (_, clips, setting), runs in read_runs(out / "eval").items()}
    truth = read_truth(data / "manifest.csv")
    every = sorted({clips for clips, _ in found})
    print("Top-1 accuracy in %\n")
    print_table([accuracy_row(str(clips), {name: found[clips, name] for name in SETTINGS}) for clips in every])
    print("\nKept precision in %\n")
    print_table([precision_row(out / "kept", clips, truth) for clips in every])
    queries = sorted(set(truth.values()) & queries_of(out / "kept"))
    print("\nKept precision by query in %, all draws\n")
    print("| query | " + " | ".join(SETTINGS) + " |\n|---|" + "---|" * len(SETTINGS))
    by_query = {name: precisions(kept_files(out / "kept" / name, "*"), truth) for name in SETTINGS}
    for query in queries:
        means = (100 * np.mean([shares[query] for shares in by_query[name]]) for name in SETTINGS)
        print(f"| {query} | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")


def print_table(rows: list[list[str]]) -> None:
    """Markdown."""
    for row in (HEADING, ["---"] * len(HEADING), *rows):
        print("| " + " | ".join(row) + " |")


def shown(mean: float, low: float, high: float, *, sign: str = "") -> str:
    """Per cent, and an interval."""
    return f"{100 * mean:{sign}.1f} [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def accuracy_row(clips: str, runs: dict[str, Runs]) -> list[str]:
    """Means of the settings, and paired differences."""
    means = [shown(runs[name].mean, *interval(runs[name].right, runs[name].units)) for name in SETTINGS]
    return [clips, *means, *(shown(*paired(runs["both"], runs[other]), sign="+") for other in SETTINGS[:2])]


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


def precision_row(folder: Path, clips: int, truth: dict[str, str]) -> list[str]:
    """Means of the settings, and paired differences, over queries."""
    per_draw = {
        name: np.array([np.mean([*shares.values()]) for shares in precisions(kept_files(folder / name, clips), truth)])
        for name in SETTINGS
    }
    means = [shown(values.mean(), *over_draws(values)) for values in per_draw.values()]
    changes = [per_draw["both"] - per_draw[other] for other in SETTINGS[:2]]
    return [str(clips), *means, *(shown(change.mean(), *over_draws(change), sign="+") for change in changes)]


def over_draws(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of (S,), bootstrapped over draws."""
    counts = times_drawn(len(values), np.random.default_rng(0))
    low, high = np.quantile(counts @ values / counts.sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
