"""A report of all records of a crawl: what it costs to make, and to open in a headless Chromium. Prints JSON.

    python benchmarks/bench_report.py --records 100000

Bars, at 100,000 records: the page opens within 2 s, and its process holds at most 200 MB, also after 100 pages of all
records were turned.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from browser import Browser

NUM_IMAGES = 200
QUERIES = [f"query {number}" for number in range(20)]
CARDS = "document.querySelectorAll('#all-cards figure').length"


def make_crawl(top: Path, num_records: int) -> None:
    """Scored records of made images, of which the confident are kept."""
    rng = np.random.default_rng(0)
    for number in range(NUM_IMAGES):
        small = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        image = cv2.resize(small, (192, 144), interpolation=cv2.INTER_CUBIC)
        noise = rng.integers(0, 12, image.shape, dtype=np.uint8)
        cv2.imwrite(str(top / f"{number}.jpg"), np.minimum(image, 240) + noise)
    confidences = rng.beta(0.5, 1.0, num_records).round(6)
    with (top / "kept.jsonl").open("w") as kept, (top / "rejects.jsonl").open("w") as rejects:
        for number, confidence in enumerate(confidences.tolist()):
            query = QUERIES[number % len(QUERIES)]
            record = {"id": f"web/{query}/{number:07}.jpg", "path": str(top / f"{number % NUM_IMAGES}.jpg"),
                      "media": "image", "query": query, "pseudo_class": query, "pseudo_label": 0,
                      "confidence": confidence}  # fmt: skip
            if confidence < 0.5:
                record["reason"] = "low confidence"
            (rejects if confidence < 0.5 else kept).write(json.dumps(record) + "\n")


def make_report(top: Path, *options: str) -> dict[str, float]:
    """Seconds of CPU, and the peak of memory in MB, of one run of omni report."""
    command = [sys.executable, "-m", "omnicli", "report", str(top / "kept.jsonl"), "--rejects",
               str(top / "rejects.jsonl"), "-o", str(top / "report.html"), "-q", *options]  # fmt: skip
    started, process = time.perf_counter(), subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return {"sec": round(time.perf_counter() - started, 2), "cpu_sec": round(usage.ru_utime + usage.ru_stime, 2),
            "peak_mb": round(usage.ru_maxrss / 1024)}  # fmt: skip


def memory_mb(pid: int) -> int:
    """Resident memory of a process, what it shares with others counted in part."""
    fields = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return round(int(fields["Pss"].split()[0]) / 1024)


def open_page(top: Path) -> dict[str, float]:
    """Seconds and memory of the process that shows the page."""
    with tempfile.TemporaryDirectory() as folder, Browser(Path(folder)) as browser:
        browser.open(top / "kept.html")
        pids = {one["id"] for one in browser.processes() if one["type"] == "renderer"}
        empty = max(memory_mb(pid) for pid in pids)
        started = time.perf_counter()
        browser.open(top / "report.html")
        opened = time.perf_counter() - started
        pid = max((one["id"] for one in browser.processes() if one["type"] == "renderer"), key=memory_mb)
        found = {"open_sec": round(opened, 3), "mb": memory_mb(pid), "empty_page_mb": empty}
        started = time.perf_counter()
        browser.press("]")
        browser.wait(CARDS)
        found["first_page_sec"] = round(time.perf_counter() - started, 3)
        peak, num_pages = 0, int(browser.run("document.getElementById('all-page').max"))
        started = time.perf_counter()
        for number in range(100):
            browser.run(f"document.getElementById('all-page').value = {1 + number * num_pages // 100}")
            browser.run("document.getElementById('all-page').dispatchEvent(new Event('change'))")
            browser.run("new Promise((done) => setTimeout(done, 50))")
            peak = max(peak, memory_mb(pid))
        return found | {"mb_while_turning_100_pages": peak, "sec_of_100_pages": round(time.perf_counter() - started, 2)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=100_000)
    options = parser.parse_args()
    rows = {}
    for num_records in (options.records // 100, options.records):
        with tempfile.TemporaryDirectory() as folder:
            top = Path(folder)
            make_crawl(top, num_records)
            (top / "kept.html").write_text("<!doctype html><p>empty")
            row = {"overview": make_report(top), "overview_without_sample": make_report(top, "--sample", "0")}
            row["all"] = make_report(top, "--all")
            row["html_mb"] = round((top / "report.html").stat().st_size / 1e6, 2)
            row["parts_mb"] = round(sum(path.stat().st_size for path in (top / "report.parts").iterdir()) / 1e6, 1)
            row["browser"] = open_page(top)
            rows[f"{num_records:,} records"] = row
    print(json.dumps({"cores": os.cpu_count(), **rows}, indent=1))


if __name__ == "__main__":
    main()
