"""Compare reading one frame per second of a long video with decoding all of it; prints JSON with ratios of one run.

    python benchmarks/bench_segment.py [--minutes 10] [--repeats 3]

Bars: the frames that segment reads of a ten-minute H.264 video, converted and resized, take <= 1.1 x decoding it from
start to end without conversion; with --frames keyframe, <= 0.35 x. All times are CPU times of one thread.
"""

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
from bench_decode import seconds

from omnicli.inference.video_sampling import VideoSampling, wanted_frames
from omnicli.media.source import open_media
from omnicli.streams.record import Record

SHORT_SIDE = 256
GROUPS = (50, 250)
FPS = 25


def write_video(path: Path, minutes: float, gop: int) -> str:
    """640 x 360 at 25 frames per second: a window that moves over a smooth random image."""
    small = np.random.default_rng(0).integers(0, 256, (90 + 60, 160 + 60, 3), dtype=np.uint8)
    image = cv2.resize(small, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    options = {"crf": "23", "preset": "veryfast", "x264-params": f"keyint={gop}:scenecut=0"}
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for index in range(int(minutes * 60 * FPS)):
            top, left = int(150 + 140 * np.sin(index / 40)), int(150 + 140 * np.cos(index / 25))
            pixels = np.ascontiguousarray(image[top : top + 360, left : left + 640])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode(None))
    return str(path)


def decode_all(path: str) -> int:
    """Decode every frame, convert none."""
    with av.open(path) as file:
        file.streams.video[0].codec_context.thread_count = 1
        return sum(1 for _ in file.decode(video=0))


def read_wanted(path: str, sampling: VideoSampling) -> int:
    """Read the frames that segment reads for a 2D teacher."""
    with open_media(Record({"path": path})) as source:
        indices = wanted_frames(source, sampling).tolist()
        return sum(1 for _ in source.walk(indices, short_side=SHORT_SIDE))


def main() -> None:
    """Time each in turn, several times; keep the fastest run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for gop in GROUPS:
            path = write_video(Path(folder) / f"{gop}.mp4", chosen.minutes, gop)
            exact, keyframe = VideoSampling(), VideoSampling(frames="keyframe")
            bare, ours, near = seconds(
                [partial(decode_all, path), partial(read_wanted, path, exact), partial(read_wanted, path, keyframe)],
                chosen.repeats,
            )
            for name, spent, bar in (("exact", ours, 1.1), ("keyframe", near, 0.35)):
                ratio = round(spent / bare, 3)
                row = {"what": f"--frames {name}", "gop": gop, "minutes": chosen.minutes, "bare_s": round(bare, 2)}
                print(json.dumps(row | {"ours_s": round(spent, 2), "ratio": ratio, "bar": bar, "met": ratio <= bar}))


if __name__ == "__main__":
    main()
