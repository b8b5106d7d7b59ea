"""Compare inflating with a bare loop of cv2.warpPerspective (same matrices, sizes, interpolation); prints JSON.

    python benchmarks/bench_inflate.py [--repeats 7]

Bar: at least 0.9 x the speed of the bare loop on one core. Inflating includes drawing the motion, finding the crop and
warping. Decoding and resizing the image are excluded on both sides.
"""

import argparse
import json
import time
from collections.abc import Callable

import cv2
import numpy as np

from omnicli.motion.camera import _to_pixels, draw_path, make_recipe, warp_image
from omnicli.motion.homography import STILL, Gaussian
from omnicli.streams.record import Record

SPREAD = np.array([0.005, 0.009, 0.012, 0.002, 0.005, 0.004, 0.003, 0.005])  # as fitted to UCF-101
SHAPES = ((4, 16), (8, 8), (32, 2))
HEIGHT, WIDTH, ASPECT = 256, 341, 4 / 3
NUM_CLIPS = 30


def measure(num_frames: int, frame_interval: int, repeats: int) -> dict[str, float | str]:
    """Time both on the same clips, in turn; keep the fastest run of each."""
    motion = Gaussian(STILL, np.diag(SPREAD**2))
    recipe = make_recipe("perspective-agnostic", motion, seed=0)
    records = [Record({"id": f"{number}.jpg", "inflation": recipe}) for number in range(NUM_CLIPS)]
    shape = {"aspect": ASPECT, "num_frames": num_frames, "frame_interval": frame_interval}
    paths = [draw_path(record, **shape) for record in records]
    noise = np.random.default_rng(0).integers(0, 256, (int(HEIGHT / 0.6), int(WIDTH / 0.6), 3), np.uint8)
    images = [
        np.ascontiguousarray(noise[: int(HEIGHT / path.scale + 0.5), : int(WIDTH / path.scale + 0.5)]) for path in paths
    ]
    to_frame = np.linalg.inv(_to_pixels(HEIGHT, WIDTH, ASPECT))
    matrices = [
        [_to_pixels(image.shape[0], image.shape[1], ASPECT) @ view @ to_frame for view in path.views]
        for image, path in zip(images, paths, strict=True)
    ]

    def bare() -> None:
        for image, some in zip(images, matrices, strict=True):
            frames = np.empty((num_frames, HEIGHT, WIDTH, 3), np.uint8)
            for matrix, frame in zip(some, frames, strict=True):
                cv2.warpPerspective(
                    image, matrix, (WIDTH, HEIGHT), frame, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                    cv2.BORDER_REPLICATE,
                )  # fmt: skip

    def inflate() -> None:
        for image, record in zip(images, records, strict=True):
            path = draw_path(record, **shape)
            warp_image(image, path.views, height=HEIGHT, width=WIDTH, aspect=ASPECT)

    best = {"bare": float("inf"), "inflate": float("inf")}
    for _ in range(repeats):
        for name, run in (("bare", bare), ("inflate", inflate)):
            best[name] = min(best[name], seconds_of(run))
    return {
        "clip": f"{num_frames}x{frame_interval}",
        "bare_ms": round(1e3 * best["bare"] / NUM_CLIPS, 3),
        "inflate_ms": round(1e3 * best["inflate"] / NUM_CLIPS, 3),
        "ratio": round(best["bare"] / best["inflate"], 3),
    }


def seconds_of(run: Callable[[], None]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    """Measure every clip shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    cv2.setNumThreads(1)
    repeats = parser.parse_args().repeats
    rows = [measure(num_frames, frame_interval, repeats) for num_frames, frame_interval in SHAPES]
    print(json.dumps({"bench": "inflate", "bar": 0.9, "clips": rows}, indent=2))


if __name__ == "__main__":
    main()
