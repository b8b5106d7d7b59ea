"""Jobs that are slow or deadly, in every process whose PYTHONPATH begins with this folder.

DEADLY_JOB: the name of an input file whose job kills its process. SLOW_SEC: seconds per record.
"""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

if os.environ.get("DEADLY_JOB") or os.environ.get("SLOW_SEC"):
    from omnicli.commands.run import jobs

    run_job = jobs.run_job

    def run_prepared_job(
        stage: jobs.OpenStage, job: Any, *, should_stop: Callable[[], bool] | None = None
    ) -> jobs.JobResult:
        if job.source.name == os.environ.get("DEADLY_JOB"):
            os.kill(os.getpid(), signal.SIGKILL)

        def wait_and_ask() -> bool:
            time.sleep(float(os.environ.get("SLOW_SEC", "0")))
            return should_stop is not None and should_stop()

        return run_job(stage, job, should_stop=wait_and_ask)

    jobs.run_job = run_prepared_job
