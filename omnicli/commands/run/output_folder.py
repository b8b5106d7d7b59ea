"""``-o DIR/``: the stage over many input files, one output file each; a rerun does only what is missing."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnicli.commands.options.checks import StreamOptions
from omnicli.commands.run.runner import Books, StageSpec, run_file
from omnicli.console import Console
from omnicli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from omnicli.streams.partition import Part
    from omnicli.streams.write.output_folder import Job

NUM_NAMED = 3  # files of those left out that are named


def run_folder(
    run: StageSpec,
    streams: StreamOptions,
    shard: "Part | None",
    deciding: Mapping[str, Any],
    console: Console,
    books: Books,
) -> bool:
    """Run the stage over every input file that is not done; ``--missing`` only prints which shards have work.

    Returns:
        False if nothing was run because it was only asked.

    Raises:
        OmniError: an output there was made with other options, or an input has changed.
    """
    from omnicli.streams.write.output_folder import OutputFolders, find_jobs, is_done, mark_done, missing_array, unmark

    folders = OutputFolders(
        Path(streams.out or "."), Path(streams.rejects) if streams.rejects else None, streams.shards_dir
    )
    left_out: list[str] = []
    jobs = find_jobs(
        _all_inputs(streams), folders, part=None if streams.missing else shard,
        on_skip=lambda path, what: left_out.append(f"{path}: {what}"),
    )  # fmt: skip
    if left_out:
        named = "; ".join(left_out[:NUM_NAMED]) + ("; ..." if len(left_out) > NUM_NAMED else "")
        console.say(f"files left out, which hold no records: {len(left_out):,} ({named})")
    wanted = {**deciding, "rejects": bool(streams.rejects)}
    wanted["shards"] = str(streams.shards_dir) if streams.shards_dir else None
    if streams.missing:
        array = missing_array(jobs, wanted, parts=streams.shards_total or 1)
        if array:
            print(array)  # noqa: T201 (what was asked for)
        return False
    left = [job for job in jobs if not streams.resume or not is_done(job, wanted)]
    if len(left) < len(jobs):
        console.say(f"{len(jobs) - len(left):,} of {len(jobs):,} files were done before")
    stage = run.make() if left else None
    for job in left:
        one = _one_file(job, streams)
        num_bad_before = len(books.too_many_bad)
        unmark(job)
        counters = run_file(run, one, deciding, console, books, stage=stage, shard_prefix=job.shard_prefix)
        if len(books.too_many_bad) == num_bad_before:
            mark_done(job, options=wanted, counters=counters)
        console.detail(f"{job.source} -> {job.out}: {counters['in']:,} in, {counters['kept']:,} kept")
    return True


def _all_inputs(streams: StreamOptions) -> list[str]:
    from omnicli.streams.read.reader import read_file_list

    inputs = list(streams.inputs or [])
    if streams.files_from:
        inputs += read_file_list(streams.files_from, null_separated=streams.null_separated)
    if not inputs:
        raise UsageError("-o DIR/ makes one output file an input file: name the input files")
    return inputs


def _one_file(job: "Job", streams: StreamOptions) -> StreamOptions:
    """The options for one job. ``--shard`` has picked the file: its records are not sharded again."""
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
        shard=None,
        out=str(job.out),
        rejects=str(job.rejects) if job.rejects else None,
    )
