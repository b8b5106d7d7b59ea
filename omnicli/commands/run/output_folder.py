"""``-o DIR/``: one output file per input file; a rerun processes only what is missing."""

from pathlib import Path
from typing import TYPE_CHECKING

from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.counters import RecordAccountant
from omnicli.commands.run.jobs import OpenStage, find_jobs_of, options_of_folder, run_job
from omnicli.commands.run.one_output import StageSpec
from omnicli.console import Console

if TYPE_CHECKING:
    from omnicli.streams.write.output_folder import Job

NUM_NAMED = 3  # skipped files that are named


def run_folder(spec: StageSpec, streams: StreamOptions, accountant: RecordAccountant, console: Console) -> bool:
    """Run the stage over every input file that is not done; ``--missing`` only prints the parts with work left.

    Returns:
        False if ``--missing`` printed the parts and nothing was run.

    Raises:
        OmniError: an output in the folder was made with other options, or an input has changed.
    """
    from omnicli.streams.verdicts import FILES_NOT_READ
    from omnicli.streams.write.markers import is_done
    from omnicli.streams.write.output_folder import missing_array

    jobs = _find(streams, console)
    wanted = options_of_folder(spec, streams)
    if streams.missing:
        array = missing_array(jobs, wanted, parts=streams.parts or 1)
        if array:
            print(array)  # noqa: T201 (the requested output)
        return False
    left = [job for job in jobs if not streams.resume or not is_done(job, wanted)]
    if len(left) < len(jobs):
        console.say(f"{len(jobs) - len(left):,} of {len(jobs):,} files were done before")
        accountant.counters[FILES_NOT_READ] += len(jobs) - len(left)
    if left and streams.engine:
        from omnicli.commands.engine.driver import run_on_engine

        run_on_engine(left, spec, streams, accountant, console)
    elif left:
        stage = OpenStage(spec=spec, streams=streams, stage=spec.make(), console=console)
        _run_here(left, stage, accountant)
    return True


def _run_here(jobs: "list[Job]", stage: OpenStage, accountant: RecordAccountant) -> None:
    """Run the jobs one after another; under ``--part next``, those that no other task has claimed, longest first."""
    from omnicli.streams.files.stored import size_and_time
    from omnicli.streams.files.urls import url_of

    if stage.streams.takes_next:
        if url_of(stage.streams.output or ""):
            stage.console.say(
                "warning: --part next knows of a URL only what tasks of this machine are making; tasks on several "
                "machines would make the same files: there give --part I/N"
            )
        sizes = {job: size_and_time(job.source)[0] for job in jobs}
        jobs = sorted(jobs, key=lambda job: (-sizes[job], job.key))
    num_elsewhere = 0
    for job in jobs:
        result = run_job(stage, job)
        num_elsewhere += result.status == "elsewhere"
        accountant.add_job(result, stage.console)
    if num_elsewhere:
        stage.console.say(f"{num_elsewhere:,} files are being made by other tasks")


def _find(streams: StreamOptions, console: Console) -> "list[Job]":
    """The jobs, and a line about files that hold no records."""
    skipped: list[str] = []

    def on_skip(path: Path, what: str) -> None:
        skipped.append(f"{path}: {what}")

    jobs = find_jobs_of(streams, on_skip)
    if skipped:
        named = "; ".join(skipped[:NUM_NAMED]) + ("; ..." if len(skipped) > NUM_NAMED else "")
        console.say(f"files left out, which hold no records: {len(skipped):,} ({named})")
    return jobs
