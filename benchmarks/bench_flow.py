"""Compare ``omni flow`` with a bare loop of OpenCV over the same videos; prints JSON with ratios of one run.

    python benchmarks/bench_flow.py [--seconds 4] [--repeats 3]

The bare loop reads frames with cv2.VideoCapture, resizes them, computes DIS and writes two JPEG files per pair. Bar:
the stage computes at least 0.9 x as many pairs per second and core. ``storage_error`` is the mean distance in pixels
between the flow and what the shard holds. All times are CPU times of one thread, the fastest of several runs.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np

from omnicli.media.flow_pixels import BOUND, to_levels, to_pixels
from omnicli.media.image import read_image
from omnicli.media.source import open_media
from omnicli.stages.flow import FlowOptions, dis_flow, flow_record
from omnicli.streams.record import Record

FPS = 25
SIZES = ((320, 240), (640, 360), (1280, 720))
SHORT_SIDE = 256
BAR = 0.9


def write_video(path: Path, width: int, height: int, seconds: float) -> None:
    """A camera that pans over a ground with detail."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (height // 12, width // 12, 3), dtype=np.uint8)
    ground = cv2.resize(small, (width + 400, height + 400), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=FPS, options={"crf": "23", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(int(FPS * seconds)):
            top, left = int(200 + 190 * np.sin(index / 40)), int(200 + 190 * np.cos(index / 25))
            pixels = np.ascontiguousarray(ground[top : top + height, left : left + width])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        file.mux(stream.encode())


def bare(path: Path) -> int:
    """Pairs computed by a loop of OpenCV alone."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    before, num_pairs = None, 0
    while True:
        ok, frame = capture.read()
        if not ok:
            return num_pairs
        height, width = frame.shape[:2]
        scale = min(1.0, SHORT_SIDE / min(height, width))
        size = (int(width * scale + 0.5), int(height * scale + 0.5))
        grey = cv2.cvtColor(cv2.resize(frame, size) if scale < 1 else frame, cv2.COLOR_BGR2GRAY)
        if before is not None:
            flow = dis.calc(before, grey, None)
            levels = np.rint((np.clip(flow, -BOUND, BOUND) + BOUND) * (255 / (2 * BOUND))).astype(np.uint8)
            for axis in (0, 1):
                cv2.imencode(".jpg", levels[..., axis], [cv2.IMWRITE_JPEG_QUALITY, 95])
            num_pairs += 1
        before = grey


def staged(path: Path) -> int:
    """Pairs computed by the stage."""
    return int(flow_record(Record({"path": str(path), "media": "video"}), dis_flow, FlowOptions())["num_frames"])


def pairs_per_second(calls: list[Callable[[], int]], repeats: int) -> list[float]:
    """The best rate of each call in CPU time; calls alternate, so that all meet the same machine."""
    best = [0.0] * len(calls)
    for _ in range(repeats):
        for row, call in enumerate(calls):
            start = time.process_time()
            num_pairs = call()
            best[row] = max(best[row], num_pairs / (time.process_time() - start))
    return best


def storage_error(path: Path) -> float:
    """Mean distance in pixels of stored flow from the computed one, of 20 pairs."""
    record = Record({"path": str(path), "media": "video"})
    with open_media(record) as source:
        frames = source.read(range(21), short_side=min(SHORT_SIDE, source.height, source.width))
    flow = np.stack(list(dis_flow(iter(frames))))
    files = flow_record(record.derive(end_sec=21 / FPS), dis_flow, FlowOptions()).arrays["frames"]
    axes = np.stack([read_image(file)[..., 0] for file in files])
    stored = np.stack([axes[::2], axes[1::2]], axis=-1)[: len(flow)]
    assert np.abs(to_pixels(to_levels(flow)) - np.clip(flow, -BOUND, BOUND)).max() <= BOUND / 255 + 1e-3
    return float(np.linalg.norm(to_pixels(stored) - np.clip(flow, -BOUND, BOUND), axis=-1).mean())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        for width, height in SIZES:
            path = Path(name) / f"{width}.mp4"
            write_video(path, width, height, chosen.seconds)
            loop, stage = pairs_per_second([lambda p=path: bare(p), lambda p=path: staged(p)], chosen.repeats)  # type: ignore[misc]
            row = {"video": f"{width}x{height}", "bare_pairs_per_sec": round(loop, 1), "pairs_per_sec": round(stage, 1)}
            ratio = round(stage / loop, 3)
            error = {"storage_error_pixels": round(storage_error(path), 4)}
            print(json.dumps(row | {"ratio": ratio, "bar": BAR, "met": ratio >= BAR} | error), flush=True)


if __name__ == "__main__":
    main()
