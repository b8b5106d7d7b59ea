"""Memory of a training per record and process; JSON, one line per kind of record.

    python benchmarks/bench_memory.py [--records 100000 1000000] [--kinds plain inflated packed]

Bar: <= 600 bytes per record. A student with a tiny backbone takes its first steps on 8 images as the target and so many
web images, with all checks before and the draws of an epoch: the peak of resident memory, less that of the same
training with 1,000 records. ``inflated`` records carry a camera recipe (``omni inflate``), ``packed`` ones are rows of
shards, and all have what ``filter`` and ``balance`` write. Every training is a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from omnicli.motion.camera import make_recipe
from omnicli.motion.homography import Gaussian
from omnicli.streams.record import Record, format_record

NUM_CLASSES = 8
BAR = 600


def web_record(number: int, kind: str) -> dict[str, object]:
    """An image as filter, inflate and balance leave it; all are the same file."""
    label = number % NUM_CLASSES
    record: dict[str, object] = {
        "id": f"gg-k400/class {label}/{number:08d}.jpg", "path": "web.jpg", "media": "image", "source": "gg-k400",
        "query": f"class {label}", "width": 1024, "height": 768, "pseudo_label": label,
        "pseudo_class": f"class {label}", "confidence": 0.8125, "query_score": 0.8125,
        "top_scores": [[(label + rank) % NUM_CLASSES, 0.8 / (rank + 1)] for rank in range(5)],
        "weight": 1.0 + label / 7,
    }  # fmt: skip
    if kind == "packed":
        record |= {"path": f"shards/{number // 10_000:05d}.h5", "row": number % 10_000}
    if kind == "inflated":
        rng = np.random.default_rng(label)
        motion = Gaussian(rng.normal(size=8) * 1e-3, np.diag(rng.random(8) * 1e-6) + rng.random() * 1e-9)
        record["inflation"] = {**make_recipe("perspective-specific", motion, seed=0), "class": f"class {label}"}
    return record


def write_lists(folder: Path, num_records: int, kind: str) -> None:
    """The image, and the lists of target and web records."""
    for name in ("web.jpg", *(f"t{label}.jpg" for label in range(NUM_CLASSES))):
        pixels = np.random.default_rng(len(name)).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), pixels)
    with (folder / "target.jsonl").open("wb") as file:
        for label in range(NUM_CLASSES):
            row = {"id": f"t{label}", "path": f"t{label}.jpg", "media": "image", "class_name": f"class {label}"}
            file.write(format_record(Record(row)))
    with (folder / "web.jsonl").open("wb") as file:
        for number in range(num_records):
            file.write(format_record(web_record(number, kind)))


def train(folder: Path) -> None:
    """One epoch of a student on the lists; prints peak memory and processor time."""
    from omnicli.data.training_clips import read_training_clip
    from omnicli.stages.train import train_student
    from omnicli.streams.read.reader import read_records
    from omnicli.training import inputs
    from omnicli.training.context import TrainingContext
    from omnicli.training.recipe_fields import as_student
    from omnicli.training.recipes import TEACHER_RECIPES

    recipe = replace(
        as_student(TEACHER_RECIPES["few-clips-scratch"]), model="tsn-resnet10t", short_side=36, crop_size=32, epochs=1,
        batch_size=4,
    )  # fmt: skip

    def read_image(record: Record, **how: object) -> np.ndarray:  # rows of shards are not there
        return read_training_clip(Record({**record, "path": "web.jpg", "media": "image", "row": None}), **how)

    setattr(inputs, "read_training_clip", read_image)  # noqa: B010
    begun = time.process_time()
    records = {name: read_records([str(folder / f"{name}.jsonl")], on_drop=print) for name in ("target", "web")}
    context = TrainingContext(workers=2, root=str(folder), allow_overlap=True)
    lines = train_student(
        records["target"], {"web": records["web"]}, recipe=recipe, out=folder / "a.pth", context=context, on_drop=print
    )
    num_lines = len(list(lines))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak": peak, "seconds": time.process_time() - begun, "lines": num_lines}))


def measure(num_records: int, kind: str) -> dict[str, float]:
    """Peak memory in bytes, and seconds of processor time, of a training in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        write_lists(Path(folder), num_records, kind)
        command = [sys.executable, __file__, "--folder", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure every kind at every size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--kinds", nargs="+", default=["plain", "inflated", "packed"])
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.folder:
        train(chosen.folder)
        return
    for kind in chosen.kinds:
        least = measure(1000, kind)
        for count in chosen.records:
            found = measure(count, kind)
            each = round((found["peak"] - least["peak"]) / (count - 1000))
            shown = {"kind": kind, "records": count, "bytes_per_record": each, "bar": BAR, "met": each <= BAR}
            print(json.dumps({**shown, "seconds": round(found["seconds"] - least["seconds"], 1)}), flush=True)


if __name__ == "__main__":
    main()
