"""Compare reading packed frames with reading the videos and images they come from; prints JSON with ratios of one run.

    python benchmarks/bench_pack.py [--data DIR] [--repeats 5]

Reads what training reads: three snippets per video (TSN), eight dense frames per video (twice 4 frames, 8 apart), one
per image, resized to a short side of 256. Bars: packed frames >= 10 x as fast as videos, and >= 1.5 x as fast as
images. The script makes videos and images of sizes common on the web; --data adds a folder of real ones. All times are
CPU times of one thread, the fastest of several runs.

``floor_ms`` is cv2.imdecode of the same JPEG files in memory, plus cv2.resize where frames are smaller than wanted: no
reader of JPEG frames can be faster. Where ``floor_ratio`` is below the bar, the bar cannot be reached: decoding frames
of 320x240 and enlarging them to 256 takes a quarter of the time that decoding the video takes.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
from bench_decode import seconds

from omnicli.data.frame_sampling import clip_indices_train
from omnicli.media.resizing import fitting_size, resize_short_side
from omnicli.media.source import open_media
from omnicli.stages.pack import PackOptions, pack_records
from omnicli.streams.read.reader import read_records
from omnicli.streams.record import Record
from omnicli.streams.shards.reader import open_shard
from omnicli.streams.shards.writer import ShardWriter

SHORT_SIDE = 256
NUM_MEDIA = 12
SIZES = ((640, 360), (1280, 720))
IMAGES = ((640, 480), (1280, 960))
Choose = Callable[[int, np.random.Generator], np.ndarray]


def smooth(width: int, height: int, seed: int) -> np.ndarray:
    """An image with the detail of a web photograph: about 1.5 bits per pixel as JPEG."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 12, width // 12, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def write_videos(folder: Path, width: int, height: int) -> list[Record]:
    """Videos of ten seconds with a keyframe every five, as on video sites."""
    records = []
    for number in range(NUM_MEDIA):
        path, image = folder / f"{width}-{number}.mp4", smooth(width + 400, height + 400, number)
        with av.open(str(path), "w") as file:
            options = {"crf": "23", "preset": "veryfast", "x264-params": "keyint=125"}
            stream = file.add_stream("libx264", rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for index in range(250):
                top, left = int(200 + 190 * np.sin(index / 40)), int(200 + 190 * np.cos(index / 25))
                pixels = np.ascontiguousarray(image[top : top + height, left : left + width])
                file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            file.mux(stream.encode(None))
        records.append(Record({"id": str(path), "path": str(path), "media": "video"}))
    return records


def write_images(folder: Path, width: int, height: int) -> list[Record]:
    """JPEG files at quality 85."""
    records = []
    for number in range(NUM_MEDIA * 4):
        path = folder / f"{width}-{number}.jpg"
        cv2.imwrite(str(path), smooth(width, height, number), [cv2.IMWRITE_JPEG_QUALITY, 85])
        records.append(Record({"id": str(path), "path": str(path), "media": "image"}))
    return records


def packed(records: Sequence[Record], folder: Path) -> list[Record]:
    """The records as rows of shards."""
    shards = ShardWriter(folder, stage="pack", kind="frames", provenance={})
    numbered = [Record(record, position=position) for position, record in enumerate(records)]
    packing = PackOptions(short_side=SHORT_SIDE)
    made = [
        shards.add(record) for record in pack_records(numbered, packing=packing, workers=2, on_drop=lambda *left: None)
    ]
    shards.close()
    return made


def read(records: Sequence[Record], choose: Choose) -> None:
    """Read what training reads of each record, with the same random choices for files and rows."""
    for number, record in enumerate(records):
        with open_media(record) as source:
            indices = np.unique(choose(source.num_frames, np.random.default_rng(number)))
            resize_short_side(source.read(indices.tolist(), short_side=SHORT_SIDE), SHORT_SIDE)


def jpeg_files(records: Sequence[Record], choose: Choose) -> list[list[bytes]]:
    """The JPEG files of each row that ``read`` decodes."""
    files = []
    for number, record in enumerate(records):
        with open_media(record) as source:
            indices = np.unique(choose(source.num_frames, np.random.default_rng(number)))
        files.append(open_shard(record["path"]).frames(record["row"], indices.tolist()))
    return files


def decode_bare(rows: Sequence[Sequence[bytes]]) -> None:
    """Only decode and resize."""
    for files in rows:
        for data in files:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            height, width = pixels.shape[:2]
            wanted = fitting_size(height, width, SHORT_SIDE)
            if (height, width) != wanted:
                cv2.resize(pixels, wanted[::-1], interpolation=cv2.INTER_LINEAR)


def snippets(num_frames: int, rng: np.random.Generator) -> np.ndarray:
    return clip_indices_train(num_frames, num_clips=3, clip_frames=1, frame_interval=1, rng=rng)[:, 0]


def clips(num_frames: int, rng: np.random.Generator) -> np.ndarray:
    return clip_indices_train(num_frames, num_clips=1, clip_frames=8, frame_interval=8, rng=rng).reshape(-1)


def main() -> None:
    """Measure every kind of media, as files and as rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder with real videos and images")
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = {f"video {width}x{height}": write_videos(folder, width, height) for width, height in SIZES}
        kinds |= {f"image {width}x{height}": write_images(folder, width, height) for width, height in IMAGES}
        if chosen.data:
            real = list(read_records([str(chosen.data)], on_drop=lambda *left: None))
            for media in ("video", "image"):
                kinds[f"real {media}"] = [record for record in real if record.get("media") == media][:100]
        for kind, files in kinds.items():
            if not files:
                continue
            rows = packed(files, folder / kind.replace(" ", "-"))
            is_still = rows[0]["media"] == "image"
            for what, choose in (("3 snippets", snippets), ("8 dense frames", clips))[: 1 if is_still else None]:
                bare = partial(decode_bare, jpeg_files(rows, choose))
                calls = [partial(read, files, choose), partial(read, rows, choose), bare]
                slow, fast, floor = seconds(calls, chosen.repeats)
                ratio, bar = round(slow / fast, 2), 1.5 if is_still else 10.0
                row = {"media": kind, "what": "image" if is_still else what, "records": len(rows)}
                times = {"files_ms": slow, "packed_ms": fast, "floor_ms": floor}
                times = {name: round(some / len(rows) * 1e3, 2) for name, some in times.items()}
                ratios = {"ratio": ratio, "floor_ratio": round(slow / floor, 2), "bar": bar, "met": ratio >= bar}
                print(json.dumps(row | times | ratios), flush=True)


if __name__ == "__main__":
    main()
