"""Compare decoding with the obvious ways to do it, as ratios of one run; prints JSON.

    python benchmarks/bench_decode.py [--repeats 7]

Bars: an image of 2048 x 1536 at reduced scale is >= 2 x as fast as full decoding and resizing; reading 25 of 300
frames, or 3 sparse ones, takes <= 1.05 x the faster of decoding from start to end and seeking to each frame, for every
keyframe interval.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

from omnicli.data.frame_sampling import segment_indices_test
from omnicli.media.image import read_image
from omnicli.media.resizing import resize_short_side
from omnicli.media.video import VideoSource

NUM_FRAMES = 300
SHORT_SIDE = 256
GROUPS = (1, 12, 50, 250)


def seconds(calls: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """CPU time of the fastest of several runs of each call, all in one thread, taken in turn."""
    best = [float("inf")] * len(calls)
    for _ in range(repeats):
        for index, call in enumerate(calls):
            start = time.process_time()
            call()
            best[index] = min(best[index], time.process_time() - start)
    return best


def write_video(path: Path, gop: int) -> str:
    """300 frames of 640 x 360: a window that moves over a smooth random image."""
    small = np.random.default_rng(0).integers(0, 256, (90 + 60, 160 + 60, 3), dtype=np.uint8)
    image = cv2.resize(small, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "23", "x264-params": f"keyint={gop}:scenecut=0"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for index in range(NUM_FRAMES):
            top, left = int(150 + 140 * np.sin(index / 40)), int(150 + 140 * np.cos(index / 25))
            pixels = np.ascontiguousarray(image[top : top + 360, left : left + 640])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode(None))
    return str(path)


def sequential(path: str, wanted: Sequence[int]) -> np.ndarray:
    """Decode from the first to the last wanted frame; convert the wanted ones."""
    chosen, frames = set(wanted), []
    with av.open(path) as file:
        file.streams.video[0].codec_context.thread_count = 1
        for index, frame in enumerate(file.decode(video=0)):
            if index in chosen:
                frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) == len(chosen):
                    break
    return np.stack(frames)


def seeking(path: str, wanted: Sequence[int]) -> np.ndarray:
    """Seek before each wanted frame and decode up to it."""
    frames = []
    with av.open(path) as file:
        stream = file.streams.video[0]
        stream.codec_context.thread_count = 1
        for index in wanted:
            stamp = round(index / (25 * stream.time_base))
            file.seek(stamp, stream=stream)
            frames.append(next(f for f in file.decode(stream) if f.pts == stamp).to_ndarray(format="rgb24"))
    return np.stack(frames)


def ours(path: str, wanted: Sequence[int]) -> np.ndarray:
    with VideoSource(path) as source:
        return source.read(wanted)


def bench_video(folder: Path, repeats: int) -> list[dict[str, object]]:
    rows = []
    for gop in GROUPS:
        path = write_video(folder / f"{gop}.mp4", gop)
        for name, wanted in (
            ("25 of 300", segment_indices_test(NUM_FRAMES, num_segments=25).tolist()),
            ("3 of 300", segment_indices_test(NUM_FRAMES, num_segments=3).tolist()),
        ):
            assert np.array_equal(ours(path, wanted), sequential(path, wanted))
            calls = [lambda p=path, w=wanted, how=how: how(p, w) for how in (ours, sequential, seeking)]
            mine, through, jumping = seconds(calls, repeats)
            rows.append(
                {
                    "what": name,
                    "gop": gop,
                    "ours_ms": round(mine * 1e3, 1),
                    "sequential_ms": round(through * 1e3, 1),
                    "seeking_ms": round(jumping * 1e3, 1),
                    "ratio_to_faster": round(mine / min(through, jumping), 3),
                    "bar": "<= 1.05",
                }
            )
        opened, bare = seconds([partial(open_ours, path), partial(open_bare, path)], repeats)
        rows.append({"what": "open", "gop": gop, "ours_ms": round(opened * 1e3, 1), "bare_ms": round(bare * 1e3, 1)})
    return rows


def open_ours(path: str) -> None:
    VideoSource(path).close()


def open_bare(path: str) -> None:
    av.open(path).close()


def read_small(data: bytes, short_side: int | None) -> np.ndarray:
    return resize_short_side(read_image(data, short_side=short_side)[None], SHORT_SIDE)


def bench_images(repeats: int) -> list[dict[str, object]]:
    rows = []
    for width, height in ((640, 480), (1280, 960), (2048, 1536), (4000, 3000)):
        small = np.random.default_rng(0).integers(0, 256, (height // 12, width // 12, 3), dtype=np.uint8)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        reduced, full = seconds([partial(read_small, data, SHORT_SIDE), partial(read_small, data, None)], repeats)
        bits = round(8 * len(data) / (width * height), 1)  # web photographs have 1 to 2.5
        row = {
            "what": f"JPEG {width}x{height} to {SHORT_SIDE}",
            "bits_a_pixel": bits,
            "reduced_ms": round(reduced * 1e3, 2),
        }
        rows.append(row | {"full_ms": round(full * 1e3, 2), "speed_up": round(full / reduced, 2), "bar": ">= 2 if big"})
    return rows


def bench_threads(folder: Path) -> list[dict[str, object]]:
    """Speed-up of two decoding threads over one; 2 means that decoding releases the interpreter lock."""
    path = str(folder / "250.mp4")
    image = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8))[
        1
    ].tobytes()
    rows = []
    for name, work in (
        ("video", lambda _: ours(path, range(0, NUM_FRAMES, 4))),
        ("image", lambda _: read_image(image)),
    ):
        spent = [float("inf")] * 2
        for threads in (1, 2) * 3:
            with ThreadPoolExecutor(threads) as pool:
                start = time.perf_counter()
                list(pool.map(work, range(8)))
                spent[threads - 1] = min(spent[threads - 1], time.perf_counter() - start)
        rows.append({"what": f"{name}, two threads against one", "speed_up": round(spent[0] / spent[1], 2)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        video = bench_video(Path(folder), repeats)
        rows = [*bench_images(repeats), *video, *bench_threads(Path(folder))]
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
