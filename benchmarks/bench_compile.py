"""Compare compiled inference with the forward pass as it is, model by model, and ``filter`` with both; prints JSON.

    python benchmarks/bench_compile.py [--models tsn-resnet50 slowonly-r50] [--device auto] [--precision auto]

Both passes run in turn. ``speedup`` is of wall time, ``cpu_speedup`` of the seconds of all cores, which other work on
the machine changes less. Compiled code is kept between runs (``TORCHINDUCTOR_CACHE_DIR``), so a second run compiles
faster. ``speedup_over_bare`` is over the same network as PyTorch runs it (CPU): batch-norms are not folded, and freed
memory is given back. Bar: >= 1.3 x for ResNet-50 in bfloat16.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as the omni command sets it; torch reads it when it loads
import torch
from bench_filter import ACTIONS6, run_filter, untrained_teacher
from torch import Tensor

from omnicli.cpus import available_cores
from omnicli.inference.batcher import Forward
from omnicli.inference.compiled import CompiledFunction, with_compiler
from omnicli.inference.device import pick_precision, prepare_cpu
from omnicli.inference.predictor import forward_of
from omnicli.inference.rescoring import made_views
from omnicli.models.factory import create_model, model_spec
from omnicli.models.loading import LoadedModel
from omnicli.streams.read.reader import read_records

MODELS = (
    "tsn-resnet50", "tsm-resnet50", "tsn-tf_efficientnet_b0", "slowonly-r50", "tsn-vit_tiny_patch16_224",
    "torchvision-mvit_v2_s",
)  # fmt: skip
BATCH_SIZE_3D = 4
ROUNDS = 5


def main() -> None:
    """Time every model, then ``filter`` with the first one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--images", type=Path, default=ACTIONS6)
    parser.add_argument("--limit", type=int, default=320)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.bare:
        print(bare_seconds(chosen.bare, chosen.precision, chosen.batch_size))
        return
    prepare_cpu()
    warnings.filterwarnings("error", message=".*not compiled")  # a model that is not compiled is not measured
    for name in chosen.models:
        model = untrained_teacher(name, chosen.device, chosen.precision)
        print(json.dumps(model_row(model, chosen.batch_size)), flush=True)
    teacher = untrained_teacher(chosen.models[0], chosen.device, chosen.precision)
    if chosen.limit:
        print(json.dumps(filter_row(teacher, chosen.images, chosen.limit, chosen.batch_size)), flush=True)


def model_row(model: LoadedModel, batch_size: int) -> dict[str, Any]:
    """Seconds to compile, the speed-up, and how far both are off float32."""
    spec, views = model.spec, views_of(model, batch_size)
    program = CompiledFunction(model.network, spec.name)
    passes = {"eager": forward_of(model.network, model), "compiled": forward_of(program, model)}
    start = time.perf_counter()
    try:
        run(passes["compiled"], views)
    except UserWarning as why:
        return {"bench": "compile", "model": spec.name, "not_compiled": str(why)}
    compile_sec = time.perf_counter() - start
    wall, cpu, outputs = in_turn({name: partial(run, forward, views) for name, forward in passes.items()})
    difference = outputs["compiled"] - outputs["eager"]
    bare = {}
    if model.device.type == "cpu":
        command = [sys.executable, __file__, "--bare", spec.name, "--precision", str(model.precision).partition(".")[2]]
        command += ["--batch-size", str(batch_size)]
        seconds = min(float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(2))
        bare = {
            "bare_per_sec": round(len(views) / seconds, 1),
            "speedup_over_bare": round(seconds / wall["compiled"], 2),
        }
    return {
        "bench": "compile",
        "model": spec.name,
        "precision": str(model.precision),
        "device": str(model.device),
        "batch_size": len(views),
        "compile_sec": round(compile_sec, 1),
        "eager_per_sec": round(len(views) / wall["eager"], 1),
        "speedup": round(wall["eager"] / wall["compiled"], 2),
        "cpu_speedup": round(cpu["eager"] / cpu["compiled"], 2),
        **bare,
        "relative_difference": float(f"{float(difference.abs().max() / outputs['eager'].abs().max()):.2g}"),
    }


def views_of(model: LoadedModel, batch_size: int) -> Tensor:
    """A batch of views as ``filter`` reads them."""
    spec, is_2d = model.spec, model.network.is_2d
    num_frames = 1 if model.network.is_framewise else spec.num_segments if is_2d else spec.num_frames
    return made_views(batch_size if is_2d else BATCH_SIZE_3D, (num_frames, spec.crop_size, spec.crop_size, 3))


def bare_seconds(name: str, precision: str, batch_size: int) -> float:
    """Seconds of a batch through the network as PyTorch runs it, channels last."""
    torch.set_num_threads(available_cores())
    device = torch.device("cpu")
    dtype, spec = pick_precision(precision, device), model_spec(name, classes=[str(k) for k in range(400)])
    network = create_model(name, num_classes=400).eval().to_device(device).set_precision(dtype)
    model = LoadedModel(network, spec, 1.0, "", name, device, dtype)
    bare = partial(run, forward_of(network, model), views_of(model, batch_size))
    bare()
    return in_turn({"bare": bare})[0]["bare"]


def run(forward: Forward, views: Tensor) -> Tensor:
    """Outputs on the host."""
    with torch.inference_mode():
        return forward(views).float().cpu()


def filter_row(teacher: LoadedModel, images: Path, limit: int, batch_size: int) -> dict[str, Any]:
    """Images per second of the whole stage; the program is compiled before."""
    ready = with_compiler(teacher, "on")
    records = list(read_records([str(images)], limit=limit, on_drop=lambda record, reason: None))
    run_filter(records[:batch_size], ready, batch_size)
    stages = {
        name: partial(run_filter, records, model, batch_size)
        for name, model in {"eager": teacher, "compiled": ready}.items()
    }
    wall, cpu, _ = in_turn(stages, rounds=2)
    return {
        "bench": "compile",
        "what": f"filter, {teacher.spec.name}",
        "images": len(records),
        **{f"{name}_per_sec": round(len(records) / seconds, 1) for name, seconds in wall.items()},
        "speedup": round(wall["eager"] / wall["compiled"], 2),
        "cpu_speedup": round(cpu["eager"] / cpu["compiled"], 2),
    }


def in_turn(
    functions: dict[str, Callable[[], Any]], rounds: int = ROUNDS
) -> tuple[dict[str, float], dict[str, float], dict[str, Any]]:
    """The least wall and CPU seconds of each, run in turn, and the last results."""
    wall, cpu = ({name: float("inf") for name in functions} for _ in range(2))
    results = {}
    for _ in range(rounds):
        for name, function in functions.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            results[name] = function()
            wall[name] = min(wall[name], time.perf_counter() - start)
            cpu[name] = min(cpu[name], time.process_time() - start_cpu)
    return wall, cpu, results


if __name__ == "__main__":
    main()
