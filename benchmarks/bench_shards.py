"""Reading packed images in random order from few and from many shards; rates and ratios of one run, as JSON.

    python benchmarks/bench_shards.py [--shards 20 2000] [--images 20000] [--reads 4000] [--repeats 3]

Bar: the same rate from 2,000 shards as from 20 (ratio >= 0.9). ``read`` is what training does, decoding included;
``bytes`` only asks for the times of a row and the bytes of its JPEG file. The images are the same, and all of them have
been read before.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from bench_pack import smooth

from omnicli.media.source import open_media
from omnicli.streams.record import Record
from omnicli.streams.shards.reader import open_shard
from omnicli.streams.shards.writer import ShardWriter

FRAME = cv2.imencode(".jpg", smooth(340, 256, 0), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def pack(folder: Path, num_shards: int, num_images: int) -> list[Record]:
    """The images, evenly spread over the shards."""
    rows = num_images // num_shards
    shards = ShardWriter(folder, stage="pack", kind="frames", provenance={}, rows_per_shard=rows)
    made = []
    for number in range(num_images):
        record = Record({"id": str(number), "media": "image"})
        record.arrays = {"frames": [FRAME], "times": np.zeros(1), "span_sec": (0.0, 0.0)}
        made.append(shards.add(record))
    shards.close()
    return made


def read(records: Sequence[Record]) -> None:
    """The pixels of each row."""
    for record in records:
        with open_media(record) as source:
            source.read([0], short_side=256)


def read_bytes(records: Sequence[Record]) -> None:
    """The times and the bytes of each row."""
    for record in records:
        shard = open_shard(record["path"])
        shard.frame_times(record["row"])
        shard.frames(record["row"], [0])


def main() -> None:
    """Measure every number of shards in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[20, 2000])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--reads", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        packed = {count: pack(Path(folder) / str(count), count, chosen.images) for count in chosen.shards}
        rng = np.random.default_rng(0)
        orders = {
            count: [rows[row] for row in rng.integers(len(rows), size=chosen.reads)] for count, rows in packed.items()
        }
        for rows in packed.values():
            read_bytes(rows)
        for name, call in (("read", read), ("bytes", read_bytes)):
            fastest = dict.fromkeys(packed, float("inf"))
            for _ in range(chosen.repeats):
                for count, rows in orders.items():
                    begun = time.perf_counter()
                    call(rows)
                    fastest[count] = min(fastest[count], time.perf_counter() - begun)
            rates = {count: round(chosen.reads / seconds) for count, seconds in fastest.items()}
            ratio = round(rates[max(rates)] / rates[min(rates)], 2)
            shown = {"what": name, "per_second": rates, "ratio": ratio, "bar": 0.9 if name == "read" else None}
            print(json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()
