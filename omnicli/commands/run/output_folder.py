"""``-o DIR/``: one output file per input file; a rerun processes only what is missing."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.counters import RecordAccountant
from omnicli.commands.run.one_output import OneOutput, StageSpec
from omnicli.console import Console
from omnicli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from omnicli.streams.write.output_folder import Job

NUM_NAMED = 3  # skipped files that are named


def run_folder(
    spec: StageSpec, streams: StreamOptions, deciding: Mapping[str, Any], accountant: RecordAccountant, console: Console
) -> bool:
    """Run the stage over every input file that is not done; ``--missing`` only prints the parts with work left.

    Returns:
        False if ``--missing`` printed the parts and nothing was run.

    Raises:
        OmniError: an output in the folder was made with other options, or an input has changed.
    """
    from omnicli.streams.partition import parse_part
    from omnicli.streams.write.output_folder import OutputFolders, find_jobs, is_done, mark_done, missing_array, unmark

    folders = OutputFolders(
        Path(streams.output or "."), Path(streams.rejects) if streams.rejects else None, streams.shards_dir
    )
    skipped: list[str] = []
    jobs = find_jobs(
        _input_files(streams),
        folders,
        part=parse_part(streams.part) if streams.part and not streams.missing else None,
        on_skip=lambda path, what: skipped.append(f"{path}: {what}"),
    )
    if skipped:
        named = "; ".join(skipped[:NUM_NAMED]) + ("; ..." if len(skipped) > NUM_NAMED else "")
        console.say(f"files left out, which hold no records: {len(skipped):,} ({named})")
    wanted = {**deciding, "rejects": bool(streams.rejects)}
    wanted["shards"] = str(streams.shards_dir) if streams.shards_dir else None
    if streams.missing:
        array = missing_array(jobs, wanted, parts=streams.parts or 1)
        if array:
            print(array)  # noqa: T201 (the requested output)
        return False
    left = [job for job in jobs if not streams.resume or not is_done(job, wanted)]
    if len(left) < len(jobs):
        console.say(f"{len(jobs) - len(left):,} of {len(jobs):,} files were done before")
    stage = spec.make() if left else None
    for job in left:
        unmark(job)
        num_bad_before = len(accountant.too_many_bad)
        output = OneOutput(spec, _streams_of(job, streams), deciding, accountant, console, job.shard_prefix)
        counters = output.run(stage)  # type: ignore[arg-type]  # made above, as there is work
        if len(accountant.too_many_bad) == num_bad_before:
            mark_done(job, options=wanted, counters=counters)
        console.detail(f"{job.source} -> {job.out}: {counters['in']:,} in, {counters['kept']:,} kept")
    return True


def _input_files(streams: StreamOptions) -> list[str]:
    from omnicli.streams.read.reader import read_file_list

    inputs = list(streams.inputs or [])
    if streams.files_from:
        inputs += read_file_list(streams.files_from, null_separated=streams.null_separated)
    if not inputs:
        raise UsageError("-o DIR/ writes one output file per input file: name the input files")
    return inputs


def _streams_of(job: "Job", streams: StreamOptions) -> StreamOptions:
    """The options for one job. ``--part`` has chosen the file: its records are not divided again."""
    try:
        for path in (job.out, job.rejects):
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{error.filename}: cannot write: {error.strerror}") from None
    return replace(
        streams,
        inputs=[str(job.source)],
        files_from=None,
        null_separated=False,
        part=None,
        output=str(job.out),
        rejects=str(job.rejects) if job.rejects else None,
    )
