"""Test runs of omni eval, and bootstrap intervals of their means and differences.

A run is eval/STUDY/SETTING/kCLIPS-sSEED.jsonl: the scores of one student, trained on one draw of labelled clips.
"""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

NUM_RESAMPLES = 4000
TEMPERATURES = np.array([1.0, *np.geomspace(0.05, 20, 101)])
# measure → (array of Runs, whether more is better)
MEASURES = {
    "top-1": ("right", True),
    "log loss": ("log_loss", False),
    "log loss at its temperature": ("calibrated", False),
}


class Runs(NamedTuple):
    """All draws of one setting.

    Attributes:
        right: (S, V) 1 if the student of draw s recognises test clip v, else 0.
        log_loss: (S, V) -ln of the score of the true class.
        calibrated: (S, V) the same, each draw at the temperature that minimises its mean.
        seeds: (S,) of the draws.
        units: class and UCF group of every test clip.
        view: what the students were shown, in the words of omni eval; "" for files of earlier versions.
    """

    right: np.ndarray
    log_loss: np.ndarray
    calibrated: np.ndarray
    seeds: tuple[int, ...]
    units: tuple[tuple[str, str], ...]
    view: str = ""

    @property
    def mean(self) -> float:
        """Top-1 accuracy over draws and clips."""
        return float(self.right.mean())

    def by(self, measure: str) -> np.ndarray:
        """(S, V) values of a measure."""
        return getattr(self, MEASURES[measure][0])


def read_runs(folder: Path) -> dict[tuple[str, int, str], Runs]:
    """(study, clips, setting) → its draws."""
    views: dict[tuple[str, int, str], dict[str, None]] = defaultdict(dict)
    drawn: dict[tuple[str, int, str], dict[int, dict[str, dict[str, object]]]] = defaultdict(dict)
    for path in sorted(folder.glob("*/*/k*-s*.jsonl")):
        clips, seed = map(int, re.fullmatch(r"k(\d+)-s(\d+)", path.stem).groups())
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        key = path.parts[-3], clips, path.parts[-2]
        drawn[key][seed] = {record["id"]: record for record in records if "id" in record}
        views[key].update({record["view"]: None for record in records if "id" not in record and "view" in record})
    made, tests = {}, {}
    for key, draws in drawn.items():
        names = sorted(next(iter(draws.values())))
        seeds = tuple(sorted(draws))
        if any(sorted(scored) != tests.setdefault(key[0], names) for scored in draws.values()):
            raise SystemExit(
                f"{folder / key[0]}: expected the same test clips in every file, so that differences are paired"
            )
        table = [[draws[seed][name] for name in names] for seed in seeds]
        right = np.array([[record["label"] == record["pseudo_label"] for record in row] for row in table], float)
        losses = np.stack([log_losses(row) for row in table])  # (S, T, V)
        best = losses.mean(axis=2).argmin(axis=1)  # (S,)
        units = tuple((Path(name).parent.name, group_of(name)) for name in names)
        made[key] = Runs(right, losses[:, 0], losses[range(len(seeds)), best], seeds, units, " or ".join(views[key]))
    return made


def group_of(name: str) -> str:
    """The UCF group of a clip; its own name if it has no group."""
    found = re.search(r"_g(\d+)_", name)
    return found[1] if found else name


def log_losses(records: list[dict[str, object]]) -> np.ndarray:
    """(T, V) -ln of the score of each clip's true class, at every temperature.

    The first temperature is 1. The remaining probability of the best scores counts as one class.
    """
    num_best = max(len(record["top_scores"]) for record in records)
    scores = np.zeros((len(records), num_best + 1))
    true = np.full(len(records), num_best)
    for row, record in enumerate(records):
        for column, (label, score) in enumerate(record["top_scores"]):
            scores[row, column] = score
            if label == record["label"]:
                true[row] = column
        scores[row, num_best] = 1 - scores[row].sum()
    logs = np.log(np.maximum(scores, 1e-6))[None] / TEMPERATURES[:, None, None]  # (T, V, C)
    logs -= np.logaddexp.reduce(logs, axis=2, keepdims=True)
    return -logs[:, np.arange(len(records)), true]


def interval(values: np.ndarray, units: tuple[tuple[str, str], ...]) -> tuple[float, float]:
    """The 95 % interval of the mean of (S, V), bootstrapped over draws and groups.

    Each resample takes one draw and one group fewer than there are. That removes the bias of the spread (Rao and Wu,
    1988), which matters for five draws.
    """
    rng = np.random.default_rng(0)
    columns: dict[tuple[str, str], list[int]] = defaultdict(list)
    for column, unit in enumerate(units):
        columns[unit].append(column)
    sums = np.stack([values[:, cols].sum(axis=1) for cols in columns.values()])  # (G, S)
    sizes = np.array([len(cols) for cols in columns.values()], float)  # (G,)
    groups, draws = times_drawn(len(sums), rng), times_drawn(len(values), rng)  # (R, G), (R, S)
    means = np.einsum("rg,gs,rs->r", groups, sums, draws, optimize=True) / ((groups @ sizes) * draws.sum(axis=1))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def times_drawn(num: int, rng: np.random.Generator) -> np.ndarray:
    """(R, num) counts of num items when num - 1 are drawn with replacement."""
    return rng.multinomial(max(num - 1, 1), np.full(num, 1 / num), size=NUM_RESAMPLES)


def paired(one: Runs, other: Runs, *, measure: str = "top-1") -> tuple[float, float, float]:
    """Mean difference over shared draws, and its interval over draws and groups."""
    shared = [seed for seed in one.seeds if seed in other.seeds]
    mine, theirs = (runs.by(measure)[[runs.seeds.index(seed) for seed in shared]] for runs in (one, other))
    change = mine - theirs
    return float(change.mean()), *interval(change, one.units)


def can_be_beaten(one: Runs, other: Runs) -> bool:
    """True if a setting without errors, on the draws of ``one``, would be better by top-1 accuracy."""
    return paired(one._replace(right=np.ones_like(one.right)), other)[1] > 0


def verdict(low: float, high: float, measure: str = "top-1") -> str:
    """The verdict on an interval of a difference."""
    words = ("better", "worse") if MEASURES[measure][1] else ("worse", "better")
    return words[0] if low > 0 else words[1] if high < 0 else "unresolved"
