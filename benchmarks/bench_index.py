"""Time of ``omni index`` over many files, whole and as one of ten parts. Prints JSON.

    python benchmarks/bench_index.py --files 100000

Bars: a part of ten opens a tenth of the files, and takes at most 0.4 of the whole run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LINKS_PER_FILE = 30_000  # ext4 allows 65,000 links to a file; the content is small, and entries are what counts
FILES_PER_FOLDER = 1000
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(2000)


def make_files(top: Path, num_files: int) -> None:
    """Folders of files with the first bytes of a JPEG."""
    for number in range(num_files):
        folder = top / f"class_{number // FILES_PER_FOLDER:04}"
        path = folder / f"{number:07}.jpg"
        if number % LINKS_PER_FILE == 0:
            folder.mkdir(exist_ok=True)
            path.write_bytes(JPEG)
            first = path
        else:
            if number % FILES_PER_FOLDER == 0:
                folder.mkdir(exist_ok=True)
            os.link(first, path)


def seconds(arguments: list[str]) -> tuple[float, float]:
    """Wall time and CPU time of a command."""
    before, started = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "omnicli", *arguments], check=True, stderr=subprocess.DEVNULL)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, spent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        (top / "crawl").mkdir()
        make_files(top / "crawl", options.files)
        out = str(top / "out.jsonl")
        whole = min(seconds(["index", str(top / "crawl"), "-o", out]) for _ in range(options.runs))
        lines = sum(1 for _ in (top / "out.jsonl").open())
        part = min(seconds(["index", str(top / "crawl"), "--part", "0/10", "-o", out]) for _ in range(options.runs))
        print(
            json.dumps({
                "files": options.files, "lines": lines, "whole_sec": round(whole[0], 2), "part_sec": round(part[0], 2),
                "whole_cpu_sec": round(whole[1], 2), "part_cpu_sec": round(part[1], 2),
                "part_to_whole": round(part[0] / whole[0], 3), "files_per_sec": round(options.files / whole[0]),
            })
        )  # fmt: skip


if __name__ == "__main__":
    main()
