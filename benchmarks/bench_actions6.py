"""Measure the accuracy of a teacher and of its filter on real data (actions6, 3 seeds); prints JSON.

    python benchmarks/bench_actions6.py [--data DIR] [--weights FILE] [--seeds 3] [--freeze backbone]

A teacher is trained on 55 clips of six UCF-101 actions, tested on 54, and filters 834 web images and 54 web videos.
Only this script reads the true labels of the web data. "At precision 0.95" is the lowest threshold at which 95 % of the
kept records have the right pseudo-label. Runs for minutes on two cores.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SHARED = Path(__file__).resolve().parents[2] / "shared"
MODEL = "tf_efficientnet_lite0"
BARS = {"val_top1_acc": 0.90, "image": {"relevant_kept": 0.36, "noise_rejected": 0.91, "precision_at_default": 0.85}}


def main() -> None:
    """Train, test and filter once per seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "actions6")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights" / f"{MODEL}-imagenet.safetensors")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--freeze", default="backbone")
    chosen = parser.parse_args()
    rows = [run_seed(seed, chosen.data, chosen.weights, chosen.freeze) for seed in range(chosen.seeds)]
    print(
        json.dumps(
            {"bench": "actions6", "freeze": chosen.freeze, "bars": BARS, "mean": mean(rows), "seeds": rows}, indent=2
        )
    )


def run_seed(seed: int, data: Path, weights: Path, freeze: str) -> dict[str, object]:
    """Metrics of one teacher and of the records that it keeps."""
    with tempfile.TemporaryDirectory() as folder:
        teacher = Path(folder) / "tsn.pth"
        metrics = omni(
            "teacher-train", data / "target" / "train", "--val", data / "target" / "val", "--model", f"tsn-{MODEL}",
            "--init", weights, "--freeze", freeze, "--seed", seed, "-o", teacher,
        )  # fmt: skip
        row: dict[str, object] = {"val_top1_acc": metrics[-1]["val_top1_acc"]}
        truth = {line["path"]: line["true_label"] for line in csv.DictReader((data / "manifest.csv").open())}
        for kind in ("image", "video"):
            scored = omni("filter", "--teacher", teacher, "--score-only", "--root", data, data / "web" / kind)
            row[kind] = judge(scored, truth)
    return row


def judge(records: list[dict[str, object]], truth: dict[str, str]) -> dict[str, float]:
    """Shares of relevant records kept and noise rejected, at precision 0.95 and at the default threshold."""
    true = [truth[str(record["path"])] for record in records]
    is_right = np.array([record["pseudo_class"] == label for record, label in zip(records, true, strict=True)])
    is_noise = np.array([label.startswith("NOISE") for label in true])
    confidence = np.array([record["confidence"] for record in records])
    order = np.argsort(-confidence, kind="stable")
    precision = np.cumsum(is_right[order]) / np.arange(1, len(order) + 1)
    last = int(np.flatnonzero(precision >= 0.95).max(initial=0))
    kept = confidence >= confidence[order[last]]
    default = confidence >= 0.5
    figures = {
        "threshold": confidence[order[last]],
        "precision": is_right[kept].mean(),
        "relevant_kept": (kept & ~is_noise).sum() / (~is_noise).sum(),
        "noise_rejected": 1 - (kept & is_noise).sum() / is_noise.sum(),
        "precision_at_default": is_right[default].mean(),
        "relevant_kept_at_default": (default & ~is_noise).sum() / (~is_noise).sum(),
        "noise_rejected_at_default": 1 - (default & is_noise).sum() / is_noise.sum(),
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def omni(*arguments: object) -> list[dict[str, object]]:
    """The records that a command prints."""
    command = [sys.executable, "-m", "omnicli", *map(str, arguments), "-q"]
    text = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return [json.loads(line) for line in text.splitlines()]


def mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean of every metric over seeds."""
    first = rows[0]
    return {
        name: mean([row[name] for row in rows])
        if isinstance(first[name], dict)
        else round(float(np.mean([row[name] for row in rows])), 4)
        for name in first
    }


if __name__ == "__main__":
    main()
