"""Measure the speed and memory of ``omni balance``, from a file and from stdin; prints JSON.

    python benchmarks/bench_balance.py [--records 100000 1000000 3500000] [--classes 400] [--folder DIR]

Bars: at least 150,000 records per second of the command's own CPU time, including start-up, from the second size on;
the same peak memory for the smallest and the largest stream. ``cpu_over_one_bare_decode`` divides the CPU time by that
of reading and decoding every line once (msgspec), so that it does not depend on the load of the machine.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

RUNS = 2
MIB = 1024  # ru_maxrss is in KiB


def main() -> None:
    """Time every size from a file and from stdin, ``RUNS`` times each; keep the fastest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[100_000, 1_000_000, 3_500_000])
    parser.add_argument("--classes", type=int, default=400)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        for num_records in chosen.records:
            web = write_crawl(Path(folder) / "web.jsonl", num_records, chosen.classes)
            bare = min(decode_once(web) for _ in range(RUNS))
            for source in ("file", "stdin"):
                cpu, wall, peak = min(balance(web, source) for _ in range(RUNS))
                rows.append({
                    "records": num_records, "from": source, "records_per_cpu_sec": round(num_records / cpu),
                    "records_per_sec": round(num_records / wall), "cpu_over_one_bare_decode": round(cpu / bare, 2),
                    "peak_mib": round(peak / MIB, 1),
                })  # fmt: skip
    peaks = {source: [row["peak_mib"] for row in rows if row["from"] == source] for source in ("file", "stdin")}
    growth = {source: round(found[-1] / found[0], 3) for source, found in peaks.items()}
    print(
        json.dumps({"bench": "balance", "bar_records_per_sec": 150_000, "rows": rows, "peak_growth": growth}, indent=2)
    )


def write_crawl(path: Path, num_records: int, num_classes: int) -> Path:
    """Lines as ``omni filter`` writes them, classes with a long tail."""
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        for i in range(num_records):
            label = int(num_classes * ((i * 2654435761 % 2**32) / 2**32) ** 4)
            name = f"web/{label:03d}/{i:07d}.jpg"
            confidence = (i * 37 % 1000) / 1000
            best = [[label, confidence], *([other, 0.012345] for other in range(4))]
            file.write(encode({
                "id": name, "path": name, "media": "image", "source": "gg-k400", "query": f"class {label}",
                "pseudo_label": label, "pseudo_class": f"class {label}", "confidence": confidence, "top_scores": best,
                "query_score": confidence,
            }) + b"\n")  # fmt: skip
    return path


def decode_once(path: Path) -> float:
    """CPU seconds to split the file into lines and decode each."""
    decode = msgspec.json.Decoder().decode
    start = time.process_time()
    with path.open("rb") as lines:
        for line in lines:
            decode(line)
    return time.process_time() - start


def balance(path: Path, source: str) -> tuple[float, float, int]:
    """(CPU seconds, wall seconds, peak memory in KiB) of one process."""
    command = [sys.executable, "-m", "omnicli", "balance", "-q", str(path) if source == "file" else "-"]
    start = time.perf_counter()
    with path.open("rb") as stdin:
        process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command}: exit {process.returncode}")
    assert isinstance(usage, resource.struct_rusage)
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - start, usage.ru_maxrss


if __name__ == "__main__":
    main()
