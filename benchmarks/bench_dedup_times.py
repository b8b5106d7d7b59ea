"""Measure which stills of target videos ``omni dedup`` finds, by when they were taken (actions6); prints JSON.

    python benchmarks/bench_dedup_times.py [--data DIR] [--weights FILE] [--copies 200] [--fps X ...]

Who copies a frame of a video takes any frame, not one of those that de-duplication compares. Target: the clips of
`target/val`. Web: ``--copies`` stills of each kind taken at random times, as many halfway between two frames sampled at
1 FPS, as many on them, and the images of `web/image`, none of which is a copy. Without ``--fps`` the default of the
command is measured. Runs for minutes.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from bench_dedup_actions6 import KINDS, MODEL, SHARED, save, suspects

from omnicli.media.frame_times import frames_at
from omnicli.media.source import open_media
from omnicli.streams.read.reader import read_records

COPIED = {"unchanged": (lambda frame: frame, 90), **{kind: KINDS[kind] for kind in KINDS if kind in
          ("half size", "5 % cropped", "10 % cropped")}}  # fmt: skip
TIMES = ("random", "halfway", "sampled")
SHIFT_SEC = {"halfway": 0.5, "sampled": 0.0}  # after a whole second


def main() -> None:
    """Take stills, run the command at each rate, count matches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "actions6")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights" / f"{MODEL}-imagenet.safetensors")
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("--fps", nargs="*", default=["default"], help="of the target; a number, or default")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        take_stills(chosen.data / "target" / "val", Path(folder) / "stills", chosen.copies)
        rows = {rate: measure(chosen.data, chosen.weights, Path(folder), rate, chosen.copies) for rate in chosen.fps}
    print(json.dumps({"bench": "dedup_times", "copies_of_each_kind": chosen.copies, "rates": rows}, indent=2))


def take_stills(target: Path, folder: Path, num_copies: int) -> None:
    """JPEG files in folders named ``times, kind``: the same frames for each kind."""
    records = list(read_records([str(target)], on_drop=lambda record, reason: None))
    rng = np.random.default_rng(0)
    for moment in TIMES:
        for number in range(num_copies):
            with open_media(records[rng.integers(len(records))]) as source:
                at_sec = rng.uniform(0, source.duration_sec)
                if moment in SHIFT_SEC:
                    last = max(int(np.ceil(source.duration_sec - SHIFT_SEC[moment])), 1)
                    at_sec = min(rng.integers(last) + SHIFT_SEC[moment], source.duration_sec)
                [frame] = source.read(frames_at(source.times, [source.times[0] + at_sec]).tolist())
            for kind, (change, quality) in COPIED.items():
                save(change(frame), folder / f"{moment}, {kind}" / f"{number:03d}.jpg", quality)


def measure(data: Path, weights: Path, folder: Path, rate: str, num_copies: int) -> dict[str, Any]:
    """Shares of stills found and of web images flagged at one rate, and the seconds of the whole run."""
    start = time.perf_counter()
    fps = [] if rate == "default" else ["--fps", rate]
    web = [folder / "stills", data / "web" / "image"]
    flags, summarised = suspects([data / "target" / "val"], web, weights, folder, *fps)
    seconds = time.perf_counter() - start
    found = Counter(line["query"] for line in flags)
    num_stills = num_copies * len(COPIED) * len(TIMES)
    planted = sum(count for query, count in found.items() if query.partition(", ")[0] in TIMES)
    return {
        "target_frames": summarised["target_frames"],
        "threshold": summarised["threshold"],
        "seconds": round(seconds, 1),
        "web_images": summarised["in"] - summarised["unreadable"] - num_stills,
        "web_flagged": len(flags) - planted,
        "found": {
            moment: {kind: round(found[f"{moment}, {kind}"] / num_copies, 3) for kind in COPIED} for moment in TIMES
        },
    }


if __name__ == "__main__":
    main()
