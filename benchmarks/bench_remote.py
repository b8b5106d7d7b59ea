"""Bytes and requests that 25 frames of a 10-minute MP4 on an S3-compatible store take, and the cost of local paths.

    python benchmarks/bench_remote.py

Prints JSON. Bar: at most 15 % of the bytes of the video.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))


def make_video(path: Path, *, minutes: float, fps: int, gop: int) -> None:
    """A video of moving noise at about 0.5 Mbit/s, with its index at the end."""
    noise = np.random.default_rng(0).integers(0, 255, (600, 900, 3), np.uint8)
    with av.open(str(path), "w") as container:
        options = {"g": str(gop), "preset": "ultrafast", "b": "500k", "maxrate": "600k", "bufsize": "600k"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.bit_rate = 500_000
        for index in range(int(minutes * 60 * fps)):
            y, x = index % 400, (3 * index) % 500
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(noise[y : y + 180, x : x + 320]), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def nanoseconds(function: Callable[[str], object], path: str, number: int = 200_000) -> float:
    started = time.perf_counter_ns()
    for _ in range(number):
        function(path)
    return (time.perf_counter_ns() - started) / number


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--gop", type=int, default=50)
    options = parser.parse_args()
    from remote_servers import Store

    from omnicli.data.frame_sampling import segment_indices_test
    from omnicli.media.source import open_media
    from omnicli.streams.files.remote import traffic
    from omnicli.streams.files.urls import allow_typed, url_of
    from omnicli.streams.record import Record

    store = Store()
    os.environ.update(store.environment)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        make_video(path, minutes=options.minutes, fps=options.fps, gop=options.gop)
        store.put(Path(folder))
        allow_typed([store.url])
        result = {"bytes": path.stat().st_size, "minutes": options.minutes, "gop": options.gop}
        frames = {}
        for name, place in (("local", str(path)), ("s3", f"{store.url}/long.mp4")):
            traffic.take()
            started = time.perf_counter()
            with open_media(Record({"path": place})) as source:
                wanted = segment_indices_test(source.num_frames, num_segments=25)
                frames[name] = source.read(wanted, short_side=112)
            result[f"{name}_sec"] = round(time.perf_counter() - started, 2)
            result[f"{name}_fetched"], result[f"{name}_requests"] = traffic.take()
        result["share_fetched"] = round(result["s3_fetched"] / result["bytes"], 4)
        result["same_frames"] = bool((frames["local"] == frames["s3"]).all())
        result["url_check_of_a_local_path_ns"] = round(nanoseconds(url_of, "web/images/archery/000123.jpg"))
        print(json.dumps(result))
    store.close()


if __name__ == "__main__":
    main()
