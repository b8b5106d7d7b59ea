"""Compare ``omni filter`` with mmaction2 on the same files, with the same weights on the same cores; prints JSON.

    python benchmarks/bench_mmaction2.py --mmaction2 /path/to/its/python [--images DIR] [--videos DIR]

The model is a TSN ResNet-50 with random weights for 400 classes, which ``omni convert`` writes for mmaction2. Both show
it one centre crop of every image, and of ``--frames`` frames of every video, in batches of about ``--batch-size``
frames. mmaction2 has an interpreter of its own and runs the loop of its ``tools/test.py`` (``mmaction2_scores.py``)
with the fastest number of ``--workers``, processes that load data, which a first run of each finds. omni runs the stage
of ``filter`` in float32, with ``--precision auto``, and with ``--compile on``, too. Imports, the loading and compiling
of models and the start of processes are outside the time. All take turns, ``--rounds`` times; the best time of each
counts. ``cpu_speedup`` is of processor time, which others at work on the machine change less; threads of both wait
passively (OMP_WAIT_POLICY), so that waiting costs none. Where a folder has fewer files than asked for, they are scored
again: in a short run, measuring the error of bfloat16 counts for more than in the long runs that users wait for.

Both compute the same: ``largest_difference`` is that of two centred logits over the largest one;
``difference_to_variation`` is the root mean square of all differences over that of the variation between files. The
row ``same_pixels`` has lossless images of 256 x 256. Other pixels differ where omni reads a large JPEG at reduced
scale, and where decord decodes otherwise.

The interpreter needs mmaction2 1.2.0, mmcv or mmcv-lite 2.1.0, mmengine 0.10.7, decord 0.6.0 and importlib_metadata.
The wheel of mmaction2 1.2.0 lacks ``mmaction/models/localizers/drn/drn.py``, for which an empty ``class DRN`` stands
in; transformers has to be older than 5, or missing. Bars: 1.3 x in float32; 3 x where bfloat16 is native.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as the omni command sets it; torch reads it when it loads
import cv2
import numpy as np
import torch
from bench_filter import ACTIONS6, run_filter

from omnicli.inference.compiled import with_compiler
from omnicli.inference.device import pick_precision, prepare_cpu
from omnicli.inference.scorer import score_records
from omnicli.inference.views import ViewOptions
from omnicli.models.checkpoint import save_checkpoint
from omnicli.models.exact import with_exact
from omnicli.models.factory import create_model, model_spec
from omnicli.models.loading import LoadedModel, load_model, open_model
from omnicli.models.mmaction2 import mmaction2_model
from omnicli.stages.convert import convert
from omnicli.stages.filter.rules import FilterRule
from omnicli.streams.read.reader import read_records
from omnicli.streams.record import Record

CLIPS = ACTIONS6.parents[1] / "target" / "test"
NUM_CLASSES = 400
BARS = {"float32": 1.3, "auto": 3.0, "compiled": 3.0}
COMPARED = 96  # few files, of which logits are compared, and which find the number of workers
SCRIPT = Path(__file__).with_name("mmaction2_scores.py")


class Spent(NamedTuple):
    """Seconds of one run."""

    sec: float
    cpu_sec: float


Ask = Callable[..., Spent]


def main() -> None:
    """Time both programs in turn on images, then on videos."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mmaction2", type=Path, required=True, metavar="PYTHON")
    parser.add_argument("--images", type=Path, default=ACTIONS6)
    parser.add_argument("--videos", type=Path, default=CLIPS)
    parser.add_argument("--num-images", type=int, default=960)
    parser.add_argument("--num-videos", type=int, default=354)
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    prepare_cpu()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        teachers, job = make_models(folder)
        media = {
            "images": copied(some(chosen.images, chosen.num_images), folder / "images"),
            "videos": some(chosen.videos, chosen.num_videos),
        }
        media["same_pixels"] = same_pixels(media["images"][:16], folder / "same_pixels")
        lists = media | {f"few {name}": few(files) for name, files in media.items()}
        job["tasks"] = {name: make_task(folder, name, files, chosen.frames) for name, files in lists.items()}
        (folder / "job.json").write_text(json.dumps(job))
        with asking(chosen.mmaction2, folder / "job.json") as ask:
            ask(task="few same_pixels", workers=0, batch_size=8)
            for name, files in media.items():
                task = job["tasks"][f"few {name}"]
                row = {} if name == "same_pixels" else compare(ask, name, files, teachers, task["num_frames"], chosen)
                row |= agreement(task, few(files), teachers["float32"])
                print(json.dumps({"bench": "mmaction2", "what": name, "files": len(files), **row}), flush=True)


def make_models(folder: Path) -> tuple[dict[str, LoadedModel], dict[str, Any]]:
    """Teachers as ``omni filter`` loads them, and mmaction2's model."""
    torch.manual_seed(0)
    spec = model_spec("tsn-resnet50", classes=[str(k) for k in range(NUM_CLASSES)])
    network = create_model(spec.name, num_classes=NUM_CLASSES)
    save_checkpoint(folder / "teacher.pth", meta={"model": spec.to_meta()}, state_dict=network.state_dict())
    opened = open_model(folder / "teacher.pth")
    convert(opened, folder / "mmaction2.pth", "mmaction2")
    exact = load_model(folder / "teacher.pth")
    auto = with_exact(exact, pick_precision("auto", torch.device("cpu")))
    teachers = {"float32": exact, "auto": auto, "compiled": with_compiler(auto, "on")}
    config = mmaction2_model(opened.spec, opened.network.fc.in_features)
    return teachers, {"model": config, "checkpoint": str(folder / "mmaction2.pth")}


def some(folder: Path, count: int) -> list[Path]:
    """Files spread over a folder; all of them again and again where it has fewer."""
    files = [Path(record["path"]) for record in read_records([str(folder)], on_drop=lambda record, reason: None)]
    return list(islice(cycle(files[:: max(1, len(files) // count)]), count))


def few(files: Sequence[Path]) -> Sequence[Path]:
    """Some files spread over the list."""
    return files[:: max(1, len(files) // COMPARED)][:COMPARED]


def copied(files: Sequence[Path], folder: Path) -> list[Path]:
    """Images under the names that mmaction2 reads."""
    folder.mkdir()
    return [Path(shutil.copy(file, folder / f"img_{index:05}.jpg")) for index, file in enumerate(files, 1)]


def same_pixels(files: Sequence[Path], folder: Path) -> list[Path]:
    """Lossless images of 256 x 256 pixels, which need no resizing; both programs read content, not suffixes."""
    folder.mkdir()
    made = []
    for index, file in enumerate(files, 1):
        made.append(folder / f"img_{index:05}.jpg")
        made[-1].write_bytes(cv2.imencode(".png", cv2.resize(cv2.imread(str(file)), (256, 256)))[1].tobytes())
    return made


def make_task(folder: Path, name: str, files: Sequence[Path], num_frames: int) -> dict[str, Any]:
    """What ``mmaction2_scores.py`` scores, and its annotation file."""
    is_video = name.endswith("videos")
    lines = [f"{file} 0\n" if is_video else f". {int(file.stem[4:]) - 1} 1 0\n" for file in files]
    (folder / f"{name}.txt").write_text("".join(lines))
    return {
        "list": str(folder / f"{name}.txt"),
        "images": "" if is_video else str(files[0].parent),
        "num_frames": num_frames if is_video else 1,
        "scores": str(folder / f"{name}.npy"),
    }


@contextmanager
def asking(python: Path, job: Path) -> Iterator[Ask]:
    """mmaction2 with its model loaded, which gives its time for task, workers and batch size."""
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "PYTHONPATH")}
    with subprocess.Popen(
        [python, SCRIPT, job], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:

        def ask(**asked: object) -> Spent:
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            spent = answer()
            return Spent(spent["sec"], spent["cpu_sec"])

        def answer() -> dict[str, Any]:
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"mmaction2 ended with exit code {process.wait()}; its message is above")
            return json.loads(line)

        answer()
        yield ask
        process.stdin.close()


def compare(
    ask: Ask, task: str, files: Sequence[Path], teachers: dict[str, LoadedModel], num_frames: int,
    chosen: argparse.Namespace,
) -> dict[str, Any]:  # fmt: skip
    """One row: media per second of each, best of some rounds, in turn."""
    settings = {"task": task, "batch_size": max(1, chosen.batch_size // num_frames)}
    workers = min(chosen.workers, key=lambda workers: ask(**settings | {"task": f"few {task}"}, workers=workers).sec)
    records = records_of(files)
    ways: dict[str, Callable[[], Spent]] = {"mmaction2": partial(ask, workers=workers, **settings)}
    for name, teacher in teachers.items():
        ways[name] = partial(time_filter, records, teacher, num_frames, chosen.batch_size)
        time_filter(records[: chosen.batch_size], teacher, num_frames, chosen.batch_size)  # a full batch is compiled
    runs: dict[str, list[Spent]] = {name: [] for name in ways}
    for _ in range(chosen.rounds):
        for name, way in ways.items():
            runs[name].append(way())
    best = {name: Spent(*map(min, zip(*spent, strict=True))) for name, spent in runs.items()}
    row: dict[str, Any] = {"frames": num_frames, "workers": workers, "auto": str(teachers["auto"].precision)}
    row |= {f"{name}_per_sec": round(len(files) / spent.sec, 1) for name, spent in best.items()}
    for name, bar in BARS.items():
        speedups = (theirs / ours for theirs, ours in zip(best["mmaction2"], best[name], strict=True))
        row |= dict(zip((f"{name}_speedup", f"{name}_cpu_speedup"), (round(each, 2) for each in speedups), strict=True))
        row[f"{name}_bar"] = bar
    return row


def time_filter(records: Sequence[Record], teacher: LoadedModel, num_frames: int, batch_size: int) -> Spent:
    """The stage of ``omni filter`` with its default rule."""
    views, start_cpu = ViewOptions(num_segments=num_frames), time.process_time()
    sec = run_filter(records, teacher, batch_size, views=views, rule=FilterRule())
    return Spent(sec, time.process_time() - start_cpu)


def records_of(files: Sequence[Path]) -> list[Record]:
    """One record per file."""
    return [Record({"id": str(file), "path": str(file)}, position=index) for index, file in enumerate(files)]


def agreement(task: dict[str, Any], files: Sequence[Path], teacher: LoadedModel) -> dict[str, Any]:
    """How far the logits of mmaction2 are from those of omni in float32, on a few files."""
    views = ViewOptions(num_segments=task["num_frames"])
    drops: list[str] = []
    scored = score_records(
        records_of(files), models=[teacher], views=views, batch_size=32, on_drop=lambda record, why: drops.append(why)
    )
    ours, theirs = (centred_logits(scores) for scores in (np.stack([s for _, s in scored]), np.load(task["scores"])))
    if drops:
        raise SystemExit(f"not readable: {drops}")
    difference = ours - theirs
    return {
        "largest_difference": float(f"{np.abs(difference).max() / np.abs(ours).max():.2g}"),
        "difference_to_variation": float(f"{rms(difference) / rms(ours - ours.mean(axis=0)):.2g}"),
        "same_class": float(np.mean(ours.argmax(axis=1) == theirs.argmax(axis=1)).round(3)),
    }


def centred_logits(scores: np.ndarray) -> np.ndarray:
    """(N, K) logits up to a constant per row, from scores."""
    logits = np.log(scores.astype(np.float64))
    return logits - logits.mean(axis=1, keepdims=True)


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


if __name__ == "__main__":
    main()
