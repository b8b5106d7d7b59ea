"""Compare ``omni filter`` on images with its parts: decoding alone, and the teacher alone on tensors; prints JSON.

    python benchmarks/bench_filter.py [--images DIR] [--model tsn-resnet50] [--device auto] [--precision auto]

Bar on a CPU: wall time <= 1.05 x (decoding + forward), all on the same cores. Bar on a GPU: <= 1.1 x the slower of
both.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as the omni command sets it; torch reads it when it loads
import torch

from omnicli.cpus import available_cores
from omnicli.data.query_labels import Queries
from omnicli.inference.device import pick_device, pick_precision, prepare_cpu
from omnicli.inference.predictor import forward_of
from omnicli.inference.scorer import score_records
from omnicli.inference.views import ViewOptions, read_views
from omnicli.media.parallel import parallel_map
from omnicli.models.checkpoint import save_checkpoint
from omnicli.models.factory import create_model, model_spec
from omnicli.models.loading import LoadedModel, load_model
from omnicli.stages.filter.rules import FilterRule
from omnicli.stages.filter.stage import filter_records
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.read.reader import read_records
from omnicli.streams.record import Record

ONE_VIEW, KEEP_ALL = ViewOptions(), FilterRule(threshold=0.0)
ACTIONS6 = Path(__file__).resolve().parents[2] / "shared" / "data" / "actions6" / "web" / "image"


def untrained_teacher(name: str, device: str, precision: str) -> LoadedModel:
    """A teacher with random weights, which do not matter for speed."""
    where = pick_device(device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "teacher.pth"
        model, spec = create_model(name, num_classes=400), model_spec(name, classes=[str(k) for k in range(400)])
        save_checkpoint(path, meta={"model": spec.to_meta()}, state_dict=model.state_dict())
        return load_model(path, where, pick_precision(precision, where))


def main() -> None:
    """Time the parts and the whole, twice each in turn; keep the faster run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, default=ACTIONS6)
    parser.add_argument("--model", default="tsn-resnet50")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--limit", type=int, default=320)
    chosen = parser.parse_args()
    prepare_cpu()
    teacher = untrained_teacher(chosen.model, chosen.device, chosen.precision)
    records = list(read_records([str(chosen.images)], limit=chosen.limit, on_drop=lambda record, reason: None))
    parts = {
        "decode": partial(decode, records, teacher),
        "forward": partial(forward, len(records), teacher, chosen.batch_size),
        "filter": partial(run_filter, records, teacher, chosen.batch_size),
    }
    best = dict.fromkeys(parts, float("inf"))
    for _ in range(2):
        for name, part in parts.items():
            best[name] = min(best[name], part())
    on_gpu = teacher.device.type == "cuda"
    reference = max(best["decode"], best["forward"]) if on_gpu else best["decode"] + best["forward"]
    row = {
        "images": len(records),
        "model": chosen.model,
        "device": str(teacher.device),
        "precision": str(teacher.precision),
    }
    row |= {f"{name}_sec": round(seconds, 2) for name, seconds in best.items()}
    row |= {"ratio": round(best["filter"] / reference, 3), "bar": 1.1 if on_gpu else 1.05}
    print(json.dumps({"bench": "filter", **row, "images_per_sec": round(len(records) / best["filter"], 1)}, indent=2))


def decode(records: list[Record], teacher: LoadedModel) -> float:
    """Seconds to decode, resize and crop every image, with all cores."""
    cores = available_cores()
    start = time.perf_counter()
    read = partial(read_views, models=[teacher], views=ViewOptions())
    for _ in parallel_map(read, records, workers=cores, ahead=4 * cores):
        pass
    return time.perf_counter() - start


def forward(num_images: int, teacher: LoadedModel, batch_size: int) -> float:
    """Seconds of the teacher's forward pass on batches of bytes in memory."""
    side = teacher.spec.crop_size
    batch = torch.randint(0, 255, (batch_size, 1, side, side, 3), dtype=torch.uint8)
    run = forward_of(teacher.network, teacher)
    with torch.inference_mode():
        run(batch)
        start = time.perf_counter()
        for _ in range(-(-num_images // batch_size)):
            run(batch).float().cpu()
    return time.perf_counter() - start


def run_filter(
    records: Sequence[Record], teacher: LoadedModel, batch_size: int, *, views: ViewOptions = ONE_VIEW,
    rule: FilterRule = KEEP_ALL,
) -> float:  # fmt: skip
    """Seconds of the whole stage."""
    score = partial(score_records, models=[teacher], views=views, batch_size=batch_size)
    queries = Queries(ClassIndex(teacher.classes))
    start = time.perf_counter()
    for _ in filter_records(
        iter(records), score=score, queries=queries, rule=rule, on_drop=lambda record, reason: None
    ):
        pass
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
