"""Commands on an engine, and the processes that they start."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
HOOKS = REPOSITORY / "tests" / "support" / "engine_hooks"


def write_jobs(folder: Path, num_jobs: int, num_records: int, *, growing: bool = True) -> None:
    """Input files ``00.jsonl`` and so on, of images that need not exist; ``growing``: each has one more."""
    folder.mkdir(parents=True, exist_ok=True)
    for job in range(num_jobs):
        rows = (
            {"id": f"{job}-{i}", "path": f"{job}-{i}.jpg", "media": "image"} for i in range(num_records + job * growing)
        )
        (folder / f"{job:02d}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "omnicli", "inflate", "--mode", "still", *words]


def hooked(**variables: str) -> dict[str, str]:
    """The variables of a process with these hooks (engine_hooks/)."""
    return {"PYTHONPATH": os.pathsep.join([str(HOOKS), str(REPOSITORY)]), **variables}


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, **hooked(**variables)}


class HeldTraining:
    """A training that waits after ``num_lines`` metric lines until ``let_go()``: what is done to it comes in time.

    Args:
        folder: for a file that tells the training.

    Attributes:
        environment: variables for its process.
    """

    def __init__(self, folder: Path, num_lines: int = 1) -> None:
        self._file = folder / "go"
        self.environment = hooked(HOLD_UNTIL=str(self._file), HOLD_LINES=str(num_lines))

    def let_go(self) -> None:
        self._file.touch()


def run(*words: str, cwd: Path, timeout: float = 300, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*words), cwd=cwd, env=environment(**variables), text=True, capture_output=True, timeout=timeout
    )


def start(*words: str, cwd: Path, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(command(*words), cwd=cwd, env=environment(**variables), text=True, stderr=subprocess.PIPE)


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.jsonl"))}


def markers(folder: Path) -> dict[str, dict[str, int]]:
    return {path.name: json.loads(path.read_text())["counts"] for path in sorted(folder.glob("*.done.json"))}


def wait_until(condition: Callable[[], Any], timeout_sec: float = 60) -> Any:
    """The first true value of ``condition()``."""
    deadline = time.monotonic() + timeout_sec
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise TimeoutError("the condition did not become true")


def children(pid: int) -> list[int]:
    """Processes that ``pid`` has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
