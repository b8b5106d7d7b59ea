"""`--engine ray`: 200 jobs over three nodes against the plain run, and with a node removed after every 20 jobs.

    python benchmarks/bench_engine.py [--jobs 200] [--records 200] [--sec 0.002]

Each record takes ``--sec`` of waiting, not of computing, so that three workers fit on any machine and the engine is
what is measured. Prints one JSON object per row.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from engine_runs import environment, markers, outputs, run, start, write_jobs
from ray_cluster import RunningCluster

NUM_NODES = 3
REMOVED_EVERY = 20


def done_in(folder: Path) -> list[float]:
    """When each job was finished, in seconds, in this order."""
    return sorted(path.stat().st_mtime for path in folder.glob("*.done.json"))


def steady_rate(times: list[float], num_jobs: int, workers: int) -> float:
    """Jobs per second and worker, between the first quarter and the third."""
    first, last = num_jobs // 4, 3 * num_jobs // 4
    return (last - first) / (times[last] - times[first]) / workers


def with_removals(folder: Path, cluster: RunningCluster, num_jobs: int) -> dict[str, object]:
    words = ("in/", "-o", "removed/", "--engine", "ray", "--ray-address", cluster.address)
    num_removed, started_at = 0, time.monotonic()
    with start(*words, cwd=folder) as driver:
        while driver.poll() is None:
            num_done = len(done_in(folder / "removed")) if (folder / "removed").exists() else 0
            if num_done >= (num_removed + 1) * REMOVED_EVERY and num_done < num_jobs:
                cluster.order("remove")
                cluster.order("add")
                num_removed += 1
            time.sleep(0.05)
        said = driver.communicate()[1]
    return {
        "what": f"a node removed after every {REMOVED_EVERY} jobs",
        "exit_code": driver.returncode,
        "removed": num_removed,
        "jobs_continued": said.count("another one continues the job"),
        "seconds": round(time.monotonic() - started_at, 1),
        "same_bytes": outputs(folder / "removed") == outputs(folder / "plain"),
        "same_sums": markers(folder / "removed") == markers(folder / "plain"),
        "closing": said.splitlines()[-2] if said.count("\n") > 1 else said,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--sec", type=float, default=0.002)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_jobs(folder / "in", options.jobs, options.records, growing=False)
        write_jobs(folder / "one", options.jobs, 1, growing=False)
        hooks = folder / "hooks.json"
        hooks.write_text(json.dumps({"SLOW_SEC": options.sec}))
        run("in/", "-o", "plain/", cwd=folder, timeout=3600, HOOK_FILE=str(hooks))
        plain = steady_rate(done_in(folder / "plain"), options.jobs, 1)
        with RunningCluster(NUM_NODES, environment=environment(HOOK_FILE=str(hooks))) as cluster:
            engine = ("--engine", "ray", "--ray-address", cluster.address)
            run("in/", "-o", "ray/", *engine, cwd=folder, timeout=3600)
            ray = steady_rate(done_in(folder / "ray"), options.jobs, NUM_NODES)
            rates = {"plain_records_per_sec": round(plain * options.records, 1)}
            rates["ray_records_per_sec_and_worker"] = round(ray * options.records, 1)
            same = outputs(folder / "ray") == outputs(folder / "plain")
            row = {"what": "rate per worker", **rates, "ratio": round(ray / plain, 3), "same_bytes": same}
            print(json.dumps(row), flush=True)
            print(json.dumps(with_removals(folder, cluster, options.jobs)), flush=True)
            hooks.write_text("{}")
            run("one/", "-o", "short/", *engine, cwd=folder, timeout=3600)
            run("one/", "-o", "short-plain/", cwd=folder, timeout=3600)
            ms = 1e3 / steady_rate(done_in(folder / "short"), options.jobs, NUM_NODES)
            plain_ms = 1e3 / steady_rate(done_in(folder / "short-plain"), options.jobs, 1)
            row = {"what": "one job of one record, in all", "ms": round(ms, 1), "plain_ms": round(plain_ms, 1)}
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
