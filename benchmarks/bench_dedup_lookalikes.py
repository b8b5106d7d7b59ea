"""Measure how well ``omni dedup`` tells copies from other shots of the same place (actions6); prints JSON.

    python benchmarks/bench_dedup_lookalikes.py [--data DIR] [--weights FILE] [--copies 50]

Target: one clip of each recording of `target/test`. Web: stills at random times of the target clips in three changed
forms (copies), one still of every other clip of the same recordings (the same hall or field, often the same camera),
and the images of `web/image`. The report lists suspects in the order of the second comparison: the share of
copies among the first ones says what a user sees on its first page. Runs for minutes.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from bench_dedup_actions6 import KINDS, MODEL, SHARED, save, suspects

from omnicli.media.frame_times import frames_at
from omnicli.media.source import open_media
from omnicli.stages.report.record_fields import rank_of
from omnicli.streams.read.reader import read_records
from omnicli.streams.record import Record

CHANGES = {
    "jpeg quality 40": KINDS["jpeg quality 40"],
    "half size": KINDS["half size"],
    "5 % cropped": KINDS["5 % cropped"],
}
SAME_PLACE = "same recording"
FIRST_PAGE = 30  # suspects


def main() -> None:
    """Take stills, run the command, count suspects of each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "actions6")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights" / f"{MODEL}-imagenet.safetensors")
    parser.add_argument("--copies", type=int, default=50, help="of each kind")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(chosen.data, chosen.weights, Path(folder), chosen.copies), indent=2))


def take_stills(test: Path, folder: Path, num_copies: int) -> list[Path]:
    """JPEG files in folders named by kind; returns the target clips."""
    records = list(read_records([str(test)], on_drop=lambda record, reason: None))
    first = {recording_of(record): record for record in reversed(records)}
    target = {record["path"] for record in first.values()}
    rng = np.random.default_rng(0)
    others = [record for record in records if record["path"] not in target]
    for number, record in enumerate(others):
        save(still_of(record, rng), folder / SAME_PLACE / f"{number:03d}.jpg", 90)
    for number in range(num_copies):
        frame = still_of(list(first.values())[rng.integers(len(first))], rng)
        for kind, (change, quality) in CHANGES.items():
            save(change(frame), folder / kind / f"{number:03d}.jpg", quality)
    return sorted(Path(path) for path in target)


def recording_of(record: Record) -> str:
    """UCF-101 names clips `v_CLASS_gRECORDING_cCLIP`."""
    return Path(record["path"]).stem.rpartition("_c")[0]


def still_of(record: Record, rng: np.random.Generator) -> np.ndarray:
    """A frame at a random time."""
    with open_media(record) as source:
        at_sec = source.times[0] + rng.uniform(0, source.duration_sec)
        return source.read(frames_at(source.times, [at_sec]).tolist())[0]


def measure(data: Path, weights: Path, folder: Path, num_copies: int) -> dict[str, Any]:
    """Suspects and verified copies of each kind, and what stands on the first page of the report."""
    target = take_stills(data / "target" / "test", folder / "stills", num_copies)
    flags, _ = suspects(target, [folder / "stills", data / "web" / "image"], weights, folder)
    flags.sort(key=lambda line: rank_of(line["match"]), reverse=True)
    kinds = [line["query"] if line["query"] in {*CHANGES, SAME_PLACE} else "other images" for line in flags]
    return {
        "bench": "dedup_lookalikes",
        "target_clips": len(target),
        "stills": {kind: len(list((folder / "stills" / kind).iterdir())) for kind in (*CHANGES, SAME_PLACE)},
        "suspected": Counter(kinds),
        "verified": Counter(kind for kind, line in zip(kinds, flags, strict=True) if line["match"]["verified"]),
        "copies_on_the_first_page": round(sum(kind in CHANGES for kind in kinds[:FIRST_PAGE]) / FIRST_PAGE, 3),
        "copies_before_the_first_other": next((i for i, kind in enumerate(kinds) if kind not in CHANGES), len(kinds)),
    }


if __name__ == "__main__":
    main()
