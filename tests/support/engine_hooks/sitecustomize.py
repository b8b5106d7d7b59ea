"""Jobs that are slow or deadly, and trainings that wait, in every process whose PYTHONPATH begins with this folder.

DEADLY_JOB: the name of an input file whose job kills its process. SLOW_SEC: seconds per record. HOOK_FILE: a file of
such variables as JSON, read before each job; for processes that live longer than one test.

HOLD_LINES and HOLD_UNTIL: a training that has printed so many lines waits until that file exists, at most 60 s, so that
a test which stops it there never comes too late.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def variable(name: str) -> str | None:
    path = os.environ.get("HOOK_FILE")
    return json.loads(Path(path).read_text()).get(name) if path else os.environ.get(name)


if {"DEADLY_JOB", "SLOW_SEC", "HOOK_FILE"} & set(os.environ):
    from omnicli.commands.run import jobs

    run_job = jobs.run_job

    def run_prepared_job(
        stage: jobs.OpenStage, job: Any, *, should_stop: Callable[[], bool] | None = None
    ) -> jobs.JobResult:
        if job.source.name == variable("DEADLY_JOB"):
            os.kill(os.getpid(), signal.SIGKILL)
        slow_sec = float(variable("SLOW_SEC") or "0")

        def wait_and_ask() -> bool:
            time.sleep(slow_sec)
            return should_stop is not None and should_stop()

        return run_job(stage, job, should_stop=wait_and_ask)

    jobs.run_job = run_prepared_job

if "HOLD_UNTIL" in os.environ:
    from omnicli.commands.run.training_run import PrintedLines

    note = PrintedLines.note

    def note_and_wait(self: PrintedLines, count: int) -> None:
        note(self, count)
        deadline = time.monotonic() + 60
        while count == int(os.environ["HOLD_LINES"]) and time.monotonic() < deadline:
            if Path(os.environ["HOLD_UNTIL"]).exists():
                return
            time.sleep(0.01)

    PrintedLines.note = note_and_wait  # type: ignore[method-assign]
