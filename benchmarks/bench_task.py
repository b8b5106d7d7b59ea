"""Start of a task and of a job, against the least that each could take; prints one JSON object per row.

    python benchmarks/bench_task.py [--runs 5] [--jobs 300] [--model tsn-resnet50]

Start of a task: ``omni filter`` with a TSN checkpoint on one image, against a process that imports what the stage
computes with and reads the weights into a network. Bar: at most 1.5 times its processor time. Beside them: PyTorch
alone, below which no stage with a model can start, and timm as it is imported by itself and by omni. Runs alternate, so
that other work on the machine meets all.

Start of a job: jobs of one record, in a stage that is open, against a loop that reads the file, writes and syncs the
line and renames it. Bar: at most 50 ms per job.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

BARE = """
import sys, av, cv2, numpy, timm, torch
network = timm.create_model(sys.argv[2].partition("-")[2], num_classes=0)
weights = torch.load(sys.argv[1], weights_only=True)["state_dict"]
network.load_state_dict({name.partition(".")[2]: value for name, value in weights.items()}, strict=False)
with torch.inference_mode():
    network.eval()(torch.zeros(1, 3, 224, 224))
"""
IMPORTS = {
    "torch": "import torch",
    "timm": "import timm",
    "timm_by_omni": "from omnicli.models.libraries import library; library('timm')",
}
CALLS = "open,openat,stat,lstat,newfstatat,statx,access,readlink"


def spent(command: list[str]) -> tuple[float, float]:
    """Processor and wall seconds of a process and its children."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - started


def file_calls(command: list[str]) -> int | None:
    """Calls that look for or open a file; None without strace."""
    if shutil.which("strace") is None:
        return None
    with tempfile.NamedTemporaryFile() as log:
        traced = ["strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", log.name, *command]
        subprocess.run(traced, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        return sum(1 for _ in Path(log.name).open("rb"))


def task_row(folder: Path, model: str, runs: int) -> dict[str, object]:
    """Processor seconds and file calls of the command and of the bare process."""
    import cv2
    import numpy as np

    from omnicli.models.checkpoint import save_checkpoint
    from omnicli.models.factory import create_model, model_spec

    network, spec = create_model(model, num_classes=2), model_spec(model, classes=["a", "b"])
    save_checkpoint(folder / "t.pth", meta={"model": spec.to_meta()}, state_dict=network.state_dict())
    cv2.imwrite(str(folder / "a.jpg"), np.random.default_rng(0).integers(0, 255, (256, 340, 3), np.uint8))
    omni = [
        sys.executable, "-m", "omnicli", "filter", "--teacher", str(folder / "t.pth"), "--rule", "paper", "--threshold",
        "0", "--batch-size", "1", "--precision", "float32", "--device", "cpu", str(folder / "a.jpg"),
    ]  # fmt: skip
    commands = {"omni": omni, "bare": [sys.executable, "-c", BARE, str(folder / "t.pth"), model]}
    commands |= {name: [sys.executable, "-c", code] for name, code in IMPORTS.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(runs + 1):
        for name, command in commands.items():
            times[name].append(spent(command))
    row: dict[str, object] = {"what": "start of a task with a model", "model": model}
    medians = {}
    for name, found in times.items():
        medians[name], wall = (statistics.median(values) for values in zip(*found[1:], strict=True))  # warm caches
        row |= {f"{name}_cpu_sec": round(medians[name], 2), f"{name}_sec": round(wall, 2)}
        row[f"{name}_file_calls"] = file_calls(commands[name])
    return row | {"ratio": round(medians["omni"] / medians["bare"], 2), "bar": 1.5}


def per_call(function: Callable[[Path], object], paths: list[Path]) -> tuple[float, float]:
    """Processor and wall milliseconds per path."""
    cpu, wall = time.process_time(), time.perf_counter()
    for path in paths:
        function(path)
    return 1e3 * (time.process_time() - cpu) / len(paths), 1e3 * (time.perf_counter() - wall) / len(paths)


def job_row(folder: Path, num_jobs: int) -> dict[str, object]:
    """Milliseconds of a job of one record and of the bare loop."""
    from omnicli.jobs import open_stage, plan, run_job

    (folder / "in").mkdir()
    for number in range(num_jobs):
        line = json.dumps({"id": f"{number}", "path": f"{number}.jpg", "media": "image"})
        (folder / "in" / f"{number:05d}.jsonl").write_text(line + "\n")
    argv = ["inflate", "--mode", "still", str(folder / "in"), "-o", f"{folder / 'out'}/"]
    stage = open_stage(argv)
    jobs = {job.source: job for job in plan(argv)}
    (folder / "bare").mkdir()

    def bare(path: Path) -> None:
        out = folder / "bare" / path.name
        with out.with_suffix(".part").open("wb") as file:
            file.write(json.dumps(json.loads(path.read_bytes())).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        out.with_suffix(".part").replace(out)

    first, *paths = jobs
    run_job(stage, jobs[first])
    cpu, wall = per_call(lambda path: run_job(stage, jobs[path]), paths)
    bare_cpu, bare_wall = per_call(bare, paths)
    row: dict[str, object] = {"what": "a job of one record", "cpu_ms": round(cpu, 2), "ms": round(wall, 2)}
    return row | {"bare_cpu_ms": round(bare_cpu, 2), "bare_ms": round(bare_wall, 2), "bar_ms": 50}


def main() -> None:
    """Print both rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--model", default="tsn-resnet50")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(job_row(Path(name), options.jobs)), flush=True)
        print(json.dumps(task_row(Path(name), options.model, options.runs)), flush=True)


if __name__ == "__main__":
    main()
