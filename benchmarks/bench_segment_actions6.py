"""Measure how well segmentation finds the true intervals of actions in untrimmed videos (actions6); prints JSON.

    python benchmarks/bench_segment_actions6.py [--data DIR] [--weights FILE] [--seeds 3] [--clips] [--teacher FILE]

A teacher is trained on 55 clips of six UCF-101 actions and scores 12 videos of 32 to 74 s. Only this script reads their
true intervals. Reports the F1 of single frames at every threshold, and of calling every frame positive. ``--clips``
adds a 3D teacher (a small SlowOnly trained from scratch on frames packed at 112 pixels) and clips of 4 s; a clip is
truly positive if at least half of it shows the action. The bar is for frames at the default threshold. Runs for minutes
on two cores.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SHARED = Path(__file__).resolve().parents[2] / "shared"
MODEL = "tf_efficientnet_lite0"
THRESHOLDS = np.arange(1, 20) / 20
DEFAULT_THRESHOLD = 0.5
CLIP_SEC = 4.0
BAR = 0.15  # of F1, above calling everything positive


def main() -> None:
    """Train and evaluate once per seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "actions6")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights" / f"{MODEL}-imagenet.safetensors")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--freeze", default="backbone")
    parser.add_argument("--clips", action="store_true", help="train and evaluate a 3D teacher too")
    parser.add_argument("--model-3d", default="slowonly-r50", help="half an hour; slowonly-r18w16 takes minutes")
    parser.add_argument("--epochs-3d", type=int, default=60)
    parser.add_argument("--teacher", type=Path, help="evaluate this checkpoint, 2D or 3D, instead of training")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for seed in range(1 if chosen.teacher else chosen.seeds):
            teacher = chosen.teacher or train_2d(Path(folder) / f"{seed}.pth", seed, chosen)
            rows.append({"teacher": teacher.name, "seed": seed, **evaluate(teacher, chosen.data)})
        if chosen.clips:
            rows.append(
                {"teacher": chosen.model_3d, "seed": 0, **evaluate(train_3d(Path(folder), chosen), chosen.data)}
            )
    print(json.dumps({"bench": "segment_actions6", "bar": f"gain >= {BAR}", "rows": rows}, indent=2))


def train_2d(path: Path, seed: int, chosen: argparse.Namespace) -> Path:
    """Train the teacher on the 55 clips as bench_actions6 does."""
    omni(
        "teacher-train", chosen.data / "target" / "train", "--val", chosen.data / "target" / "val", "--model",
        f"tsn-{MODEL}", "--init", chosen.weights, "--freeze", chosen.freeze, "--seed", seed, "-o", path,
    )  # fmt: skip
    return path


def train_3d(folder: Path, chosen: argparse.Namespace) -> Path:
    """Train a small SlowOnly on packed frames."""
    path, records = folder / "slowonly.pth", folder / "train.jsonl"
    labelled = folder / "labelled.jsonl"
    omni("index", "--labels", chosen.data / "target" / "train", "-o", labelled)
    omni("pack", "--short-side", 112, "--shards", folder / "packed", labelled, "-o", records)
    omni(
        "teacher-train", records, "--model", chosen.model_3d, "--recipe", "few-clips-scratch", "--init", "scratch",
        "--num-frames", 4, "--frame-interval", 8, "--short-side", 112, "--crop-size", 96, "--epochs", chosen.epochs_3d,
        "-o", path,
    )  # fmt: skip
    return path


def evaluate(teacher: Path, data: Path) -> dict[str, object]:
    """F1 at every threshold, over the frames or clips of all videos together."""
    is_2d = has_2d_input(teacher)
    untrimmed = data / "web" / "untrimmed"
    truth = {row["path"]: row["action_sec"] for row in map(json.loads, (untrimmed / "truth.jsonl").open())}
    videos = sorted(untrimmed.rglob("*.mp4"))
    cut = () if is_2d else ("--clip-sec", CLIP_SEC)
    scored = omni("segment", "--teacher", teacher, "--score-only", "--root", data, *cut, *videos)
    scores, is_shown = [], []
    for record in scored:
        spans = intervals(record) if is_2d else [(record["start_sec"], record["end_sec"])]
        scores += record["frame_scores"] if is_2d else [record["confidence"]]
        is_shown += [share_shown(span, truth[record["path"]]) >= 0.5 for span in spans]
    return figures(np.array(scores), np.array(is_shown)) | {
        "moments": len(scores),
        "unit": "frame" if is_2d else "clip",
    }


def has_2d_input(teacher: Path) -> bool:
    """True if the checkpoint is a 2D model."""
    from omnicli.models.loading import load_model

    return load_model(teacher).network.is_2d


def intervals(record: dict[str, list[float]]) -> list[tuple[float, float]]:
    """The frames as intervals of zero length."""
    return [(time, time) for time in sorted(record["positive_sec"] + record["negative_sec"])]


def share_shown(span: tuple[float, float], shown: list[list[float]]) -> float:
    """Share of an interval inside the true intervals."""
    start, end = span
    if start == end:
        return float(any(first <= start < last for first, last in shown))
    return sum(max(min(end, last) - max(start, first), 0.0) for first, last in shown) / (end - start)


def figures(scores: np.ndarray, is_shown: np.ndarray) -> dict[str, object]:
    """F1 at all thresholds, at the default, at the best, and with everything positive."""
    curve = {f"{threshold:.2f}": round(f1(scores >= threshold, is_shown), 3) for threshold in THRESHOLDS}
    everything, default = f1(np.ones_like(is_shown), is_shown), f1(scores >= DEFAULT_THRESHOLD, is_shown)
    best = max(curve, key=lambda threshold: curve[threshold])
    believed = scores >= DEFAULT_THRESHOLD
    return {
        "f1_all_positive": round(everything, 3),
        "f1_default": round(default, 3),
        "gain": round(default - everything, 3),
        "met": bool(default - everything >= BAR),
        "precision_default": round(float(is_shown[believed].mean()), 3) if believed.any() else None,
        "recall_default": round(float(believed[is_shown].mean()), 3),
        "best_threshold": best,
        "gain_best": round(curve[best] - everything, 3),
        "curve": curve,
    }


def f1(is_believed: np.ndarray, is_shown: np.ndarray) -> float:
    """2 TP / (2 TP + FP + FN)."""
    return 2 * float((is_believed & is_shown).sum()) / float(is_believed.sum() + is_shown.sum())


def omni(*arguments: object) -> list[dict[str, object]]:
    """The records that a command prints."""
    command = [sys.executable, "-m", "omnicli", *map(str, arguments), "-q"]
    text = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return [json.loads(line) for line in text.splitlines()]


if __name__ == "__main__":
    main()
