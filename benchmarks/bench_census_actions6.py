"""Measure which copies ``omni dedup --method census`` finds on real data (actions6); prints JSON.

    python benchmarks/bench_census_actions6.py [--data DIR] [--kinds KIND ...] [--every N]

Encodes a copy of each kind of each of the 54 videos in target/val. Reports per kind the number of copies made and
found, the number with the right target, and the largest error of the matched times in seconds. Then searches all other
videos of actions6 for copies: `flags` lists the matches. The two in web/video/BasketballDunk are true copies: the same
broadcast, cut anew. Runs for minutes.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np

from omnicli.media.frame_times import frames_at
from omnicli.media.video import VideoSource
from omnicli.stages.dedup.census_stage import NUM_FRAMES, CensusTargets, census_targets, dedup_census_records
from omnicli.streams.record import Record

SHARED = Path(__file__).resolve().parents[2] / "shared"
BARS = {
    "worst_error_sec": 0.25,
    "false_flags": 1,
}  # further bars: all resized copies, copies with margins and excerpts are found
TRUE_FLAGS = {  # seen by eye: the same frames with another brightness and cut
    "web/video/BasketballDunk/video_0006.avi": "target/val/BasketballDunk/v_BasketballDunk_g01_c02.avi",
    "web/video/BasketballDunk/video_0007.avi": "target/val/BasketballDunk/v_BasketballDunk_g01_c03.avi",
}
TWINS = [
    {f"target/val/PlayingViolin/v_PlayingViolin_g02_c0{clip}.avi" for clip in (1, 2, 3)}
]  # these start at the same frame
EXCERPT_SEC, AROUND_SEC, FOOTAGE_FPS = 3, 57, 25

Frames = list[np.ndarray]


class Kind(NamedTuple):
    """How a copy is made: frames per second, change of the pixels, speed-up."""

    fps: float
    change: Callable[[np.ndarray], np.ndarray]
    speed: float = 1.0
    crf: int = 26


class Copy(NamedTuple):
    """A copy, and the interval of the target in it."""

    path: Path
    target: str
    copy_sec: tuple[float, float]
    target_sec: tuple[float, float]


def resized(width: int, height: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda frame: cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def margins(top: int, left: int, how: int, size: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Add margins on all sides, then resize to (width, height)."""
    return lambda frame: cv2.resize(cv2.copyMakeBorder(frame, top, top, left, left, how), size)


def zoomed(share: float) -> Callable[[np.ndarray], np.ndarray]:
    """The image without ``share`` of its height and width, at its original size."""

    def change(frame: np.ndarray) -> np.ndarray:
        height, width = frame.shape[:2]
        top, left = int(height * share / 2), int(width * share / 2)
        return cv2.resize(frame[top : height - top, left : width - left], (width, height))

    return change


def darkened(frame: np.ndarray) -> np.ndarray:
    return (255 * (frame / 255) ** 0.6 * 0.9 + 10).astype(np.uint8)


KINDS = {
    "smaller": Kind(15, resized(256, 192)),
    "much smaller": Kind(15, resized(212, 160), crf=30),
    "larger": Kind(30, resized(640, 360)),
    "mirrored sides": Kind(25, margins(0, 53, cv2.BORDER_REFLECT, (426, 240))),
    "mirrored top": Kind(25, margins(94, 0, cv2.BORDER_REFLECT_101, (240, 320))),
    "mirrored all": Kind(25, margins(30, 40, cv2.BORDER_REFLECT, (480, 360))),
    "letterbox": Kind(25, margins(30, 0, cv2.BORDER_CONSTANT, (320, 300))),
    "pillarbox": Kind(25, margins(0, 60, cv2.BORDER_CONSTANT, (426, 240))),
    "flipped": Kind(25, lambda frame: frame[:, ::-1]),
    "gamma": Kind(25, darkened),
    "4 % faster": Kind(26, lambda frame: frame, speed=1.04),
    "10 % faster": Kind(27.5, lambda frame: frame, speed=1.1),
    "zoomed 5 %": Kind(25, zoomed(0.05)),
    "zoomed 10 %": Kind(25, zoomed(0.10)),
    "zoomed 20 %": Kind(25, zoomed(0.20)),
}


def main() -> None:
    """Make copies, search for them, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "actions6")
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS, "excerpt"], default=[*KINDS, "excerpt"])
    parser.add_argument("--every", type=int, default=1, help="copies of every Nth target only")
    chosen = parser.parse_args()
    paths = sorted((chosen.data / "target" / "val").rglob("*.avi"))
    targets = census_targets(records_of(paths, chosen.data), on_drop=refuse)
    with tempfile.TemporaryDirectory() as folder:
        rows = {
            kind: compare(list(copies(kind, paths[:: chosen.every], chosen.data, Path(folder))), targets)
            for kind in chosen.kinds
        }
    print(json.dumps({"bench": "census", "bars": BARS, "kinds": rows, **others(chosen.data, targets)}, indent=2))


def records_of(paths: Sequence[Path], root: Path) -> Iterator[Record]:
    for position, path in enumerate(paths):
        yield Record({"id": path.relative_to(root).as_posix(), "path": str(path)}, position=position)


def refuse(record: Record, reason: str) -> None:
    raise RuntimeError(f"{record.where}: {reason}")


def copies(kind: str, targets: Sequence[Path], data: Path, folder: Path) -> Iterator[Copy]:
    """A copy of each target, or for excerpts of 3 seconds of it, inside a minute of footage of another action."""
    rng = np.random.default_rng(0)
    footage = sorted((data / "web" / "untrimmed").rglob("*.mp4"))
    for number, target in enumerate(targets):
        path, name = folder / f"{kind}-{number}.mp4", target.relative_to(data).as_posix()
        if kind != "excerpt":
            fps, change, speed, crf = KINDS[kind]
            frames = [change(frame) for frame in read(target, fps / speed)]
            write(path, frames, fps, crf)
            yield Copy(path, name, (0.0, len(frames) / fps), (0.0, len(frames) / fps * speed))
            continue
        frames, length = read(target, FOOTAGE_FPS), EXCERPT_SEC * FOOTAGE_FPS
        if len(frames) < length:
            continue
        other = [around for around in footage if around.parent.name != target.parent.name]
        minute = read(other[number % len(other)], FOOTAGE_FPS)
        minute = [minute[index % len(minute)] for index in range(AROUND_SEC * FOOTAGE_FPS)]
        first, at = int(rng.integers(len(frames) - length + 1)), int(rng.integers(len(minute) + 1))
        write(path, minute[:at] + frames[first : first + length] + minute[at:], FOOTAGE_FPS, 26)
        begin, target_begin = at / FOOTAGE_FPS, first / FOOTAGE_FPS
        yield Copy(path, name, (begin, begin + EXCERPT_SEC), (target_begin, target_begin + EXCERPT_SEC))


def read(path: Path, fps: float) -> Frames:
    """The frames on screen at a frame rate."""
    with VideoSource(str(path)) as source:
        times = np.arange(0, source.duration_sec - 1e-9, 1 / fps)
        return list(source.read(frames_at(source.times, times).tolist()))


def write(path: Path, frames: Frames, fps: float, crf: int) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(fps), options={"crf": str(crf), "preset": "veryfast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        file.mux(stream.encode(None))


def compare(made: list[Copy], targets: CensusTargets) -> dict[str, Any]:
    """The number of copies found, and the errors of the matched times.

    Both ends of a match must be the same frame on both sides and, for an excerpt, the ends of the excerpt. A
    match of a whole video may omit frames that are hard to recognise; see ``median_overlap``.
    """
    records = [Record({"id": str(one.path), "path": str(one.path)}, position=i) for i, one in enumerate(made)]
    found, _, _ = flagged(records, targets)
    errors, is_right, overlaps = [], 0, []
    for one in made:
        match = found.get(str(one.path))
        one.path.unlink()
        if match is None or not is_of(one.target, match["id"]):
            continue
        is_right += 1
        overlaps.append(match["overlap"])
        speed = (one.target_sec[1] - one.target_sec[0]) / (one.copy_sec[1] - one.copy_sec[0])
        for side in ("start_sec", "end_sec"):
            target_sec = one.target_sec[0] + (match[side] - one.copy_sec[0]) * speed
            errors.append(abs(match[f"target_{side}"] - target_sec))
        if one.copy_sec[0] > 0:
            errors += [abs(match["start_sec"] - one.copy_sec[0]), abs(match["end_sec"] - one.copy_sec[1])]
    return {
        "made": len(made),
        "found": len(found),
        "right_target": is_right,
        "median_overlap": round(float(np.median(overlaps)), 3) if overlaps else None,
        "worst_error_sec": round(max(errors), 3) if errors else None,
        "errors_over_bar": sum(error > BARS["worst_error_sec"] for error in errors),
    }


def is_of(target: str, found: str) -> bool:
    """True if a match names the target, or another one that starts with the same frames."""
    return found == target or any({target, found} <= twins for twins in TWINS)


def others(data: Path, targets: CensusTargets) -> dict[str, Any]:
    """Matches among all videos of actions6 outside the targets, and the speed."""
    paths = [path for folder in ("target/train", "web/video", "web/untrimmed") for path in (data / folder).rglob("*.*")]
    records = list(records_of(sorted(path for path in paths if path.suffix in {".avi", ".mp4"}), data))
    start = time.process_time()
    found, counts, kept = flagged(records, targets)
    seconds = time.process_time() - start
    flags = {name: match["id"] for name, match in found.items()}
    return {
        "others": {
            "videos": len(records),
            "kept": kept,
            "flags": found,
            "true_flags": sum(TRUE_FLAGS.get(name) == target for name, target in flags.items()),
            "false_flags": sum(TRUE_FLAGS.get(name) != target for name, target in flags.items()),
        },
        "frames_per_sec_a_core": round(counts[NUM_FRAMES] / seconds),
        "counts": dict(counts),
    }


def flagged(records: list[Record], targets: CensusTargets) -> tuple[dict[str, dict[str, Any]], Counter[str], int]:
    """Matches by id, the counters, and the number of records kept."""
    found: dict[str, dict[str, Any]] = {}
    counts: Counter[str] = Counter()

    def drop(record: Record, reason: str) -> None:
        if "match" not in record:
            refuse(record, reason)
        found[record["id"]] = record["match"]

    kept = sum(1 for _ in dedup_census_records(records, targets=targets, counts=counts, on_drop=drop))
    return found, counts, kept


if __name__ == "__main__":
    main()
