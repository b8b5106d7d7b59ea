"""Measure how many copies of target frames ``omni dedup`` finds on real data (actions6), and its false positives.

    python benchmarks/bench_dedup_actions6.py [--data DIR] [--weights FILE] [--copies 50]

Prints JSON. Target: the clips of `target/val`. Web: the images of `web/image`, none of which is a copy, and
``--copies`` generated copies of target frames of each kind. Bars: at most 0.5 % of the images match, and at least 97 %
of the copies of the first four kinds are found. Runs for minutes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from omnicli.media.frame_times import frames_at_rate
from omnicli.media.source import open_media
from omnicli.streams.read.reader import read_records

SHARED = Path(__file__).resolve().parents[2] / "shared"
MODEL = "tf_efficientnet_lite0"
BARS = {"web_flagged": 0.005, "copies_found": 0.97}


def cropped(frame: np.ndarray, share: float) -> np.ndarray:
    """Cut ``share`` of the width off both sides, and of the height off top and bottom."""
    height, width = frame.shape[:2]
    top, left = round(height * share), round(width * share)
    return frame[top : height - top, left : width - left]


def grey(frame: np.ndarray) -> np.ndarray:
    """Without colour."""
    return cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def bars(frame: np.ndarray) -> np.ndarray:
    """With black bars at top and bottom, a quarter of the height each."""
    rows = frame.shape[0] // 4
    return cv2.copyMakeBorder(frame, rows, rows, 0, 0, cv2.BORDER_CONSTANT)


BARRED = {"jpeg quality 40", "half size", "5 % cropped", "brighter"}
KINDS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {  # change of the frame, and JPEG quality
    "jpeg quality 40": (lambda frame: frame, 40),
    "half size": (lambda frame: cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), 90),
    "5 % cropped": (lambda frame: cropped(frame, 0.05), 90),
    "brighter": (lambda frame: cv2.convertScaleAbs(frame, alpha=1.15, beta=15), 90),
    "10 % cropped": (lambda frame: cropped(frame, 0.1), 90),
    "20 % cropped": (lambda frame: cropped(frame, 0.2), 90),
    "mirrored": (lambda frame: frame[:, ::-1], 90),
    "without colours": (grey, 90),
    "black bars": (bars, 90),
    "upside down": (lambda frame: frame[::-1], 90),
}


def main() -> None:
    """Make copies, run the command, count matches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "actions6")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights" / f"{MODEL}-imagenet.safetensors")
    parser.add_argument("--copies", type=int, default=50)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.data, chosen.weights, chosen.copies), indent=2))


def measure(data: Path, weights: Path, num_copies: int) -> dict[str, object]:
    """Shares of web images flagged and of copies found."""
    with tempfile.TemporaryDirectory() as folder:
        copies = Path(folder) / "copies"
        make_copies(data / "target" / "val", copies, num_copies)
        flags, summarised = suspects([data / "target" / "val"], [copies, data / "web" / "image"], weights, Path(folder))
    found = Counter(line["query"] for line in flags if line["query"] in KINDS)
    num_web = summarised["in"] - summarised["unreadable"] - num_copies * len(KINDS)
    assert summarised["kept"] + len(flags) == summarised["in"] - summarised["unreadable"]
    return {
        "bench": "dedup_actions6",
        "bars": BARS,
        "threshold": summarised["threshold"],
        "target_frames": summarised["target_frames"],
        "web_images": num_web,
        "web_flagged": round((len(flags) - found.total()) / num_web, 4),
        "copies_found": round(sum(found[kind] for kind in BARRED) / (num_copies * len(BARRED)), 4),
        "found_of_each_kind": {kind: round(found[kind] / num_copies, 3) for kind in KINDS},
    }


def make_copies(target: Path, folder: Path, num_copies: int) -> None:
    """``num_copies`` JPEG files of each kind, of frames drawn at random from the indexed ones."""
    frames = []
    for record in read_records([str(target)], on_drop=lambda record, reason: None):
        with open_media(record) as source:
            indices = frames_at_rate(source.times, source.duration_sec, fps=1.0)
            frames += list(source.read(indices.tolist()))
    rng = np.random.default_rng(0)
    for kind, (change, quality) in KINDS.items():
        for number, index in enumerate(rng.choice(len(frames), num_copies, replace=False)):
            save(change(frames[index]), folder / kind / f"{number:03d}.jpg", quality)


def save(frame: np.ndarray, path: Path, quality: int) -> None:
    """Write a JPEG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def suspects(
    target: Iterable[Path], web: Iterable[Path], weights: Path, folder: Path, *options: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The duplicates that ``omni dedup`` flags, and its summary; ``folder`` is for outputs."""
    rejects, summary = folder / "left.jsonl", folder / "summary.json"
    command = [
        sys.executable, "-m", "omnicli", "dedup", "--backbone", MODEL, "--weights", weights, "-q", "--no-resume",
        *options, *(word for path in target for word in ("--target", path)), "--rejects", rejects,
        "--summary", summary, "-o", folder / "kept.jsonl", *web,
    ]  # fmt: skip
    subprocess.run(list(map(str, command)), check=True)
    left = map(json.loads, rejects.read_text().splitlines())
    return [line for line in left if line["reason"] == "duplicate"], json.loads(summary.read_text())


if __name__ == "__main__":
    main()
