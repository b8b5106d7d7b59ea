"""What a GPU does with this package: is it right, and how fast; everything in one run, as one JSON document.

    bash benchmarks/gpu.sh > gpu.json
    bash benchmarks/gpu.sh --sections parity,images > gpu.json
    bash benchmarks/gpu.sh --device cpu --smoke > gpu.json

Media, models and weights are generated. Each section has its own time and its own errors: what fails is told with its
traceback, and the others go on. The result of each is told as a line of JSON as soon as it is known, on stderr or,
where the variable OUT names a folder, in OUT/gpu.jsonl. ``--smoke`` only sees that everything runs, also without a GPU.

The exit code is 1 where a section failed or computed something else than a CPU; bars of speed that are missed are told.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as the omni command settles it; torch reads it when it loads
import av
import cv2
import gpu_checks
import gpu_speed
import numpy as np
import timm
import torch
import torchvision
from gpu_media import Bench

from omnicli import __version__
from omnicli.cpus import available_cores
from omnicli.inference.device import pick_device, prepare_cpu

PATIENCE = 1.2  # a section that does not look at its clock is stopped when so much of its time is over
SMOKE_PATIENCE = 15.0  # on a small machine that others use too
LEAST_SEC = 5.0  # no section is begun with less


class OutOfTime(Exception):
    """The time of a section is over."""


class Stopped(BaseException):
    """Somebody wants the report now."""


@dataclass(frozen=True)
class Section:
    """One part of the run.

    Attributes:
        name: in the report.
        call: fills ``Bench.found`` and ``Bench.checks``.
        budget_sec: of time.
    """

    name: str
    call: Callable[[Bench], None]
    budget_sec: float


def environment(bench: Bench) -> None:
    """What this was measured on."""
    bench.found |= {
        "omni": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "av": av.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cores": available_cores(),
        "memory_gb": rounded_gb(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
        "device": str(bench.device),
        "tf32_in_convolutions": torch.backends.cudnn.allow_tf32,
        "compiler": shutil.which("gcc") or shutil.which("cc"),
    }
    if bench.on_gpu:
        card = torch.cuda.get_device_properties(bench.device)
        bench.found |= {"card": card.name, "card_memory_gb": rounded_gb(card.total_memory), "driver": driver()}
        host = torch.empty(1 << 28, dtype=torch.uint8, pin_memory=True)
        there = torch.empty_like(host, device=bench.device)
        there.copy_(host, non_blocking=True)
        seconds = bench.best(lambda: there.copy_(host, non_blocking=True))
        bench.found["host_to_device_gb_per_sec"] = rounded_gb(host.numel() / seconds)


def rounded_gb(num_bytes: float) -> float:
    """In GiB."""
    return round(num_bytes / 2**30, 1)


def driver() -> str | None:
    """Its version."""
    try:
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


SECTIONS = (  # by what they are worth
    Section("environment", environment, 10),
    Section("parity", gpu_checks.parity, 60),
    Section("filtering", gpu_checks.filtering, 45),
    Section("training", gpu_checks.training, 60),
    Section("commands", gpu_checks.commands, 75),
    Section("images", gpu_speed.images, 50),
    Section("steps", gpu_speed.steps, 35),
    Section("search", gpu_speed.search, 35),
    Section("videos", gpu_speed.videos, 60),
    Section("layouts", gpu_speed.layouts, 35),
    Section("compiling", gpu_speed.compiling, 110),
)


class Report:
    """The JSON document, and the lines that tell of it while it grows."""

    def __init__(self) -> None:
        self.sections: dict[str, Any] = {}
        self.started_at = time.monotonic()
        out = os.environ.get("OUT")
        self.path = Path(out) / "gpu.jsonl" if out else None

    def add(self, name: str, entry: dict[str, Any]) -> None:
        """Keep what a section found, and tell it."""
        self.sections[name] = entry
        line = json.dumps({"section": name, **entry}, default=str)
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        else:
            say(line)
        missed = [check["name"] for check in entry["checks"] if not check["met"]]
        told = f"; not met: {', '.join(missed)}" if missed else ""
        say(f"{name}: {'done' if entry['ok'] else 'FAILED'}, {entry['seconds']} s, {len(entry['checks'])} checks{told}")

    @property
    def is_right(self) -> bool:
        """True if nothing failed and nothing was computed wrongly."""
        checks = [check for entry in self.sections.values() for check in entry["checks"]]
        right = all(check["met"] for check in checks if check["kind"] == "correct")
        return right and all(entry["ok"] for entry in self.sections.values())

    def document(self) -> dict[str, Any]:
        """All of it, what was not met first."""
        checks = [{"section": name, **check} for name, entry in self.sections.items() for check in entry["checks"]]
        return {
            "bench": "gpu",
            "right": self.is_right,
            "seconds": round(time.monotonic() - self.started_at, 1),
            "failed": [name for name, entry in self.sections.items() if not entry["ok"]],
            "not_met": [check for check in checks if not check["met"]],
            "sections": self.sections,
        }


def say(text: str) -> None:
    """Tell who is waiting."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise OutOfTime inside the block when so much time is over."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTime(f"stopped after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_section(section: Section, device: torch.device, is_smoke: bool, seconds: float) -> dict[str, Any]:
    """What goes into the report of it, whatever happens."""
    start = time.monotonic()
    error = None
    with tempfile.TemporaryDirectory(prefix="omni-gpu-", ignore_cleanup_errors=True) as folder:
        bench = Bench(device, is_smoke, Path(folder), start + seconds)
        try:
            with at_most(seconds * PATIENCE):
                section.call(bench)
        except Exception:
            error = traceback.format_exc()[-4000:]
        finally:
            leave_no_trace(device)
    entry: dict[str, Any] = {"ok": error is None and not bench.errors, "seconds": round(time.monotonic() - start, 1)}
    if error:
        entry["error"] = error
    if bench.errors:
        entry["errors"] = bench.errors
    if device.type == "cuda":
        entry["peak_gb"] = rounded_gb(torch.cuda.max_memory_allocated(device))
    return entry | {"found": bench.found, "checks": bench.checks}


def leave_no_trace(device: torch.device) -> None:
    """Settings and memory as the next section expects them."""
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = True
    if device.type == "cuda":
        torch.cuda.empty_cache()


def main() -> None:
    """Run the sections in turn, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [section.name for section in SECTIONS]
    parser.add_argument("--sections", default=",".join(names), help="some of them, separated by commas")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does everything run?")
    parser.add_argument("--seconds", type=float, help="for all sections together (330, and with --smoke 3000)")
    chosen = parser.parse_args()
    wanted = chosen.sections.split(",")
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(names)}")
    device = pick_device(chosen.device)
    prepare_cpu()
    report = Report()
    ends_at = time.monotonic() + (chosen.seconds or (3000.0 if chosen.smoke else 330.0))
    signal.signal(signal.SIGTERM, stop_now)
    try:
        for section in (section for section in SECTIONS if section.name in wanted):
            left = ends_at - time.monotonic()
            if left < LEAST_SEC:
                report.add(section.name, {"ok": False, "seconds": 0.0, "error": "no time left", "checks": []})
                continue
            budget = min(section.budget_sec * (SMOKE_PATIENCE if chosen.smoke else 1), left / PATIENCE)
            report.add(section.name, run_section(section, device, chosen.smoke, budget))
    except Stopped:
        say("stopped: this is what was found until now")
    sys.stdout.write(json.dumps(report.document(), indent=2, default=str) + "\n")
    sys.stdout.flush()
    os._exit(0 if report.is_right else 1)  # threads that a stopped section left behind are not waited for


def stop_now(number: int, frame: FrameType | None) -> None:
    """On SIGTERM."""
    raise Stopped


if __name__ == "__main__":
    main()
