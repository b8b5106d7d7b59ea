"""Compare the forward pass and a training step with freed memory kept mapped and given back; prints JSON per model.

    python benchmarks/bench_allocator.py [--models tsn-resnet50 tsn-tf_efficientnet_lite0] [--rounds 2]

On a CPU. Each measurement is a process of its own, in turn; the fastest of each counts. ``page_faults`` are of one
batch; ``peak_mib`` is the resident memory of the process.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as the omni command sets it; torch reads it when it loads
import torch
from bench_compile import run, views_of
from bench_filter import untrained_teacher

from omnicli.cpus import available_cores
from omnicli.inference.allocator import keep_freed_memory
from omnicli.inference.predictor import forward_of

MODELS = ("tsn-resnet50", "tsn-tf_efficientnet_lite0", "slowonly-r50")
SECONDS = 4.0  # of one measurement


def main() -> None:
    """Start the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(measure(*chosen.child)))
        return
    for model in chosen.models:
        for what, precision in (("forward", "float32"), ("forward", "bfloat16"), ("step", "bfloat16")):
            print(json.dumps({"bench": "allocator", **compare(what, model, precision, chosen.rounds)}), flush=True)


def compare(what: str, model: str, precision: str, rounds: int) -> dict[str, Any]:
    """A row of both allocators."""
    best: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for memory in ("given_back", "kept"):
            command = [sys.executable, __file__, "--child", what, model, precision, memory]
            row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            best[memory] = min(best.get(memory, row), row, key=lambda found: found["seconds"])
    row = {"what": what, "model": model, "precision": precision}
    row |= {f"{memory}_{name}": value for memory, found in best.items() for name, value in found.items()}
    return row | {"speedup": round(best["given_back"]["seconds"] / best["kept"]["seconds"], 2)}


def measure(what: str, model: str, precision: str, memory: str) -> dict[str, float]:
    """Seconds and page faults per batch, and the peak of resident memory in MiB."""
    torch.set_num_threads(available_cores())
    if memory == "kept" and not keep_freed_memory():
        raise SystemExit("this machine's C library does not keep freed memory")
    batch = {"forward": forward_pass, "step": training_step}[what](model, precision)
    batch()
    batch()
    count, start, faults = 0, time.perf_counter(), _num_faults()
    while time.perf_counter() - start < SECONDS:
        batch()
        count += 1
    seconds, faults = time.perf_counter() - start, _num_faults() - faults
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return {"seconds": round(seconds / count, 3), "page_faults": faults // count, "peak_mib": peak}


def forward_pass(name: str, precision: str) -> Callable[[], object]:
    """A forward pass of 32 images or 4 clips, as ``filter`` does it."""
    teacher = untrained_teacher(name, "cpu", precision)
    return partial(run, forward_of(teacher.network, teacher), views_of(teacher, batch_size=32))


def training_step(name: str, precision: str) -> Callable[[], object]:
    """A step with gradients on 8 clips of three segments, or on 2 of a 3D model."""
    teacher = untrained_teacher(name, "cpu", "float32")
    spec, network, is_2d = teacher.spec, teacher.network.train(), teacher.network.is_2d
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    clips = torch.rand(8 if is_2d else 2, 3, 3 if is_2d else spec.num_frames, spec.crop_size, spec.crop_size)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            loss = network(clips).float().logsumexp(dim=1).mean()
        loss.backward()
        optimizer.step()

    return step


def _num_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


if __name__ == "__main__":
    main()
