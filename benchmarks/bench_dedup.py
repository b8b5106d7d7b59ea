"""Compare the search of ``omni dedup`` with faiss, measure its memory, estimate the paper's scale; prints JSON.

    python benchmarks/bench_dedup.py [--target 100000] [--queries 2048] [--rows 1000000]

Bars: wall time <= 0.6 x float32 exact search (faiss IndexFlatIP on the same cores), with the same matches; the same
memory for 10^4 and 10^6 web rows. The estimate multiplies measured rates; its assumptions are part of the output.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as the omni command sets it; torch reads it when it loads
import numpy as np
import torch

from omnicli.cpus import available_cores
from omnicli.inference.device import pick_precision, prepare_cpu
from omnicli.models.factory import create_model
from omnicli.stages.dedup.frame_features import Extractors, FrameReader
from omnicli.stages.dedup.search import FrameIndex
from omnicli.stages.dedup.stage import DedupRule, dedup_records
from omnicli.stages.dedup.target import learn_target
from omnicli.stages.dedup.whitening import on_grid
from omnicli.streams.record import Record

DIMS = 256
FLOOR = 0.6
REPEATS = 3
PAPER = {"web_images": 13_000_000, "web_videos": 1_400_000, "target_videos": 240_000}
SECONDS_PER_VIDEO = 10  # assumed, at one frame per second
GPU_TFLOPS = 0.4 * 989  # assumed: 40 % of an H200's nominal dense bfloat16 rate
GPU_FRAMES_PER_SEC = 2500  # assumed: the decoding rate of 16 cores; the forward pass is faster


def main() -> None:
    """Search, memory, estimate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=2048)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the web, for the memory; 0: not measured")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    prepare_cpu()
    if chosen.memory_of:
        print(json.dumps(memory_of(chosen.memory_of)))
        return
    search = compare_search(chosen.target, chosen.queries)
    made = {"bench": "dedup", "cores": available_cores(), "search": search}
    if chosen.rows:
        memory = [child(size) for size in (10_000, chosen.rows)]
        made |= {"memory": memory, "memory_growth": round(memory[-1]["peak_mb"] / memory[0]["peak_mb"], 3)}
    print(json.dumps(made | {"estimate": estimate(search, forward_rate())}, indent=2))


def compare_search(num_rows: int, num_queries: int) -> dict[str, Any]:
    """FrameIndex and faiss on the same vectors, in turn, fastest run of each; 1 % of the queries are near copies."""
    import faiss

    rng = np.random.default_rng(0)
    rows = on_grid(rng.normal(size=(num_rows, DIMS)))
    queries = rng.normal(size=(num_queries, DIMS))
    near = np.arange(0, num_queries, 100)
    queries[near] = rows[rng.integers(num_rows, size=len(near))] * 16 + rng.normal(size=(len(near), DIMS)) * 0.7
    queries = on_grid(queries)
    faiss.omp_set_num_threads(available_cores())
    flat = faiss.IndexFlatIP(DIMS)
    flat.add(rows)
    precision = pick_precision("auto", torch.device("cpu"))
    index = FrameIndex(DIMS, precision=precision)
    index.append(rows)
    best = best_times({
        "faiss_float32": lambda: flat.search(queries, 1),
        "dedup": lambda: index.search(queries, FLOOR),
        "dedup_score_only": lambda: index.search(queries),
    })  # fmt: skip
    theirs, ours = flat.search(queries, 1), index.search(queries, FLOOR)
    is_copy = theirs[0][:, 0] >= FLOOR
    same = bool((is_copy == (ours[1] >= 0)).all() and (theirs[1][is_copy, 0] == ours[1][is_copy]).all())
    return {
        "target_rows": num_rows,
        "queries": num_queries,
        "precision": str(precision),
        "seconds": {name: round(seconds, 3) for name, seconds in best.items()},
        "ratio": round(best["dedup"] / best["faiss_float32"], 3),
        "ratio_score_only": round(best["dedup_score_only"] / best["faiss_float32"], 3),
        "bar": 0.6,
        "copies": int(is_copy.sum()),
        "same_verdicts": same,
        "gflops": round(2 * num_rows * num_queries * DIMS / best["dedup"] / 1e9, 1),
    }


def best_times(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of the fastest run of each."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(REPEATS):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def child(num_rows: int) -> dict[str, Any]:
    """``memory_of`` in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", str(num_rows)]
    made: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return made


def memory_of(num_rows: int) -> dict[str, Any]:
    """Peak memory of the whole stage with this many web frames, ten per video, and 2,000 target frames."""

    def videos(count: int, name: str) -> Iterator[Record]:
        return (Record({"id": f"{name}{i}", "seed": i}, position=i) for i in range(count))

    def extract(records: Iterable[Record], **options: Any) -> Iterator[tuple[Record, np.ndarray, np.ndarray]]:
        for record in records:
            rng = np.random.default_rng(hash(record["id"]) % 2**32)
            yield record, rng.standard_normal((10, 512), np.float32), np.arange(10.0)

    reader = FrameReader(lambda: Extractors(extract, extract), backbone={})
    target = learn_target(
        videos(200, "t"), reader=reader, threshold=FLOOR, needs_threshold=True, whiten_dim=DIMS, seed=0,
        device=torch.device("cpu"), precision=pick_precision("auto", torch.device("cpu")), unreadable=[],
    )  # fmt: skip
    start = time.perf_counter()
    kept = dedup_records(
        videos(num_rows // 10, "w"), target=target, reader=reader, rule=DedupRule(), on_drop=lambda record, reason: None
    )
    num_kept = sum(1 for _ in kept)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"web_rows": num_rows, "kept": num_kept, "peak_mb": round(peak), "rows_per_sec": round(num_rows / seconds)}


def forward_rate() -> float:
    """Frames per second of a ResNet-50 backbone at 224 pixels on all cores, tensors in memory."""
    precision = pick_precision("auto", torch.device("cpu"))
    model = create_model("tsn-resnet50", num_classes=1).eval().set_precision(precision)
    frames = torch.randn(16, 3, 1, 224, 224).to(precision)
    with torch.inference_mode():
        seconds = best_times({"forward": lambda: model.features(frames)})["forward"]
    return len(frames) / seconds


def estimate(search: dict[str, Any], frames_per_sec: float) -> dict[str, Any]:
    """Hours at the paper's scale, from measured and assumed rates."""
    web = PAPER["web_images"] + PAPER["web_videos"] * SECONDS_PER_VIDEO
    target = PAPER["target_videos"] * SECONDS_PER_VIDEO
    tera = 2 * web * target * DIMS / 1e12
    cores = available_cores()
    machines = {
        f"{cores} cores (measured rates)": (frames_per_sec, search["gflops"] / 1e3),
        "16 cores (in proportion)": (frames_per_sec * 16 / cores, search["gflops"] / 1e3 * 16 / cores),
        "one H200 with 16 cores (assumed rates)": (GPU_FRAMES_PER_SEC, GPU_TFLOPS),
    }
    return {
        "scale": PAPER,
        "assumed": f"videos of {SECONDS_PER_VIDEO} s at 1 frame per second; decoding beside the forward pass; H200: "
        f"{GPU_TFLOPS:.0f} TFLOPS, {GPU_FRAMES_PER_SEC} frames/s",
        "web_frames": web,
        "target_frames": target,
        "memory_gb_of_target": round(target * (2 * DIMS + 16) / 1e9, 2),
        "hours": {
            name: {"features": round((web + target) / rate / 3600, 1), "search": round(tera / flops / 3600, 2)}
            for name, (rate, flops) in machines.items()
        },
        "features_per_sec": round(frames_per_sec, 1),
    }


if __name__ == "__main__":
    main()
