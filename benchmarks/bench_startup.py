"""Measure the start-up time of ``omni``; prints JSON. Bar: a median below 0.3 s.

python benchmarks/bench_startup.py
"""

import json
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "omni --help": ["--help"],
    "omni --version": ["--version"],
    "omni balance": ["balance", "-q", "-"],
    "omni filter, deciding again from stored scores": ["filter", "-q", "-"],
}
RUNS = 11


def main() -> None:
    """Time each command as a process, with warm file caches."""
    rows = []
    for name, arguments in COMMANDS.items():
        seconds = []
        for _ in range(RUNS):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "omnicli", *arguments], input=b"", stdout=subprocess.DEVNULL, check=True
            )
            seconds.append(time.perf_counter() - start)
        rows.append(
            {"what": name, "median_sec": round(statistics.median(seconds), 3), "min_sec": round(min(seconds), 3)}
        )
    print(json.dumps({"bench": "start-up", "bar_sec": 0.3, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
