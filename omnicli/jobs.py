"""The engine of ``-o DIR/`` for Python programs: plan a command line, load its stage once, run job after job.

``docs/python.md`` shows how. These names stay, as all those of ``docs/api.md``; the rest of the package may change.
"""

from omnicli.commands.run.jobs import JobResult, OpenStage, open_stage, plan, run_job
from omnicli.streams.write.output_folder import Job

__all__ = ["Job", "JobResult", "OpenStage", "open_stage", "plan", "run_job"]
