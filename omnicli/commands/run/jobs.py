"""Jobs: ``-o DIR/`` divided by input file. ``omni`` itself, every engine and Python programs run them in this way.

``plan`` finds the jobs of a command line, ``open_stage`` loads its models once per process, and ``run_job`` runs a job:
done, already, bad or failed.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omnicli import __version__
from omnicli.commands.invocation import prepare
from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.counters import RecordAccountant
from omnicli.commands.run.one_output import OneOutput, StageSpec
from omnicli.console import Console
from omnicli.errors import (
    ClaimedError,
    InputError,
    Interrupted,
    ModelError,
    OmniError,
    OutputError,
    UsageError,
    is_no_room,
    is_out_of_memory,
)
from omnicli.process import crash_log
from omnicli.streams.files.urls import shown

if TYPE_CHECKING:
    from omnicli.streams.multipass.passes import MultipassStage
    from omnicli.streams.stage_run import Stage
    from omnicli.streams.write.claims import Claim
    from omnicli.streams.write.output_folder import Job

EXIT_INTERNAL = 70
Status = Literal["done", "already", "elsewhere", "bad", "failed"]


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """What became of a job; picklable.

    Attributes:
        status: ``done``; ``already``: an earlier run had finished it; ``bad``: complete, but more records are
            unreadable than ``--max-bad`` allows, so that the next run tries again; ``failed``: no output;
            ``elsewhere``: under ``--part next`` another task is making it.
        source: the input file.
        out: the output file.
        counters: of the records, as ``RecordAccountant`` has them; empty unless ``done`` or ``bad``.
        examples: the ID of one unreadable record of each kind.
        num_resumed: records that an earlier process had settled.
        reason: why it is ``bad`` or ``failed``: one line.
        exit_code: what the command would exit with if this were its only job.
        crash_log: the file with tracebacks of internal errors; None without one.
    """

    status: Status
    source: str
    out: str
    counters: Counter[str] = field(default_factory=Counter)
    examples: Mapping[str, str] = field(default_factory=dict)
    num_resumed: int = 0
    reason: str = ""
    exit_code: int = 0
    crash_log: Path | None = None


@dataclass(frozen=True, kw_only=True)
class OpenStage:
    """A stage that is loaded, with its options. Not picklable; runs one job at a time.

    Attributes:
        spec: the stage.
        streams: the options of inputs and outputs.
        stage: the function from records to records.
        console: reports on stderr.
        lines: for people, about what was loaded.
    """

    spec: StageSpec
    streams: StreamOptions
    stage: "Stage | MultipassStage"
    console: Console
    lines: Sequence[str] = ()


def plan(argv: Sequence[str]) -> "list[Job]":
    """One job per input file of a command line with ``-o DIR/``, finished or not; nothing is loaded or written.

    Args:
        argv: the words after ``omni``: ``["filter", "--teacher", "tsn.pth", "web/", "-o", "kept/"]``.

    Raises:
        OmniError: the options are wrong, an input does not exist or has changed, or outputs were made otherwise.
    """
    from omnicli.streams.write.markers import is_done

    spec, streams = _prepared(argv)
    jobs = find_jobs_of(streams)
    if streams.resume:
        for job in jobs:
            is_done(job, options_of_folder(spec, streams))  # refuses other options before anything is run
    return jobs


def open_stage(argv: Sequence[str]) -> OpenStage:
    """The stage of a command line, loaded: models are on their device. Raises OmniError."""
    spec, streams = _prepared(argv)
    console = Console(spec.name)
    console.quiet = True
    before = spec.closing({})
    stage = spec.make()
    lines = [line for line in spec.closing({}) if line not in before]
    return OpenStage(spec=spec, streams=streams, stage=stage, console=console, lines=lines)


def run_job(stage: OpenStage, job: "Job", *, should_stop: Callable[[], bool] | None = None) -> JobResult:
    """Run one job to its end, or from where a killed process left it.

    What is wrong with this input or its unfinished output is the result, ``failed``; what would stop every other job is
    raised.

    Args:
        stage: of ``open_stage``.
        job: of ``plan``, with the same command line.
        should_stop: asked before each record; True saves the state and raises Interrupted.

    Raises:
        Interrupted: ``should_stop``, or a signal; the next ``run_job`` continues.
        OutputError: the output cannot be written.
        OmniError: under ``--strict``, whatever is wrong with a record.
        MemoryError: or another error for want of memory.
    """
    try:
        return _run_job(stage, job, should_stop)
    except (Interrupted, OutputError, UsageError, ModelError):
        raise
    except OmniError as error:
        if stage.streams.strict:
            raise
        return _failed(job, str(error), error.exit_code)
    except BrokenPipeError:
        raise
    except Exception as error:
        if stage.streams.strict or is_out_of_memory(error) or is_no_room(error):
            raise
        crash_log.add(error, shown(job.source))
        return _failed(job, f"internal error: {type(error).__name__}: {error}", EXIT_INTERNAL)


def find_jobs_of(streams: StreamOptions, on_skip: Callable[[Path, str], None] = lambda path, what: None) -> "list[Job]":
    """The jobs of ``-o DIR/``, or of one ``--part`` of them. Raises OmniError."""
    from omnicli.streams.partition import parse_part
    from omnicli.streams.write.output_folder import OutputFolders, find_jobs

    folders = OutputFolders(
        Path(streams.output or "."), Path(streams.rejects) if streams.rejects else None, streams.shards_dir
    )
    part = parse_part(streams.part) if streams.part and not (streams.missing or streams.takes_next) else None
    return find_jobs(_input_files(streams), folders, part=part, on_skip=on_skip)


def deciding_options(spec: StageSpec, streams: StreamOptions) -> dict[str, Any]:
    """Every option that changes an output, as JSON values."""
    return {"omni": __version__, "command": spec.name, **spec.options, "limit": streams.limit}


def options_of_folder(spec: StageSpec, streams: StreamOptions) -> dict[str, Any]:
    """``deciding_options`` and which files are written: what the markers of ``-o DIR/`` hold."""
    shards = str(streams.shards_dir) if streams.shards_dir else None
    return {**deciding_options(spec, streams), "rejects": bool(streams.rejects), "shards": shards}


def _prepared(argv: Sequence[str]) -> tuple[StageSpec, StreamOptions]:
    prepared = prepare(argv)
    if not prepared.streams.to_folder:
        raise UsageError(f"{prepared.spec.name}: jobs write one output file per input file: give -o DIR/")
    return prepared.spec, prepared.streams


def _run_job(stage: OpenStage, job: "Job", should_stop: Callable[[], bool] | None) -> JobResult:
    from omnicli.streams.write.resume import claim_output

    streams = _streams_of(job, stage.streams)
    try:
        claim = claim_output(job.out, waits=not stage.streams.takes_next)
    except ClaimedError as error:
        if stage.streams.takes_next:
            return JobResult(status="elsewhere", source=shown(job.source), out=shown(job.out), reason=str(error))
        raise
    with contextlib.closing(claim):
        return _run_claimed(stage, job, streams, claim, should_stop)


def _run_claimed(
    stage: OpenStage, job: "Job", streams: StreamOptions, claim: "Claim", should_stop: Callable[[], bool] | None
) -> JobResult:
    from omnicli.streams.files.stored import size_and_time
    from omnicli.streams.write.markers import is_done, mark_done, unmark

    spec, wanted = stage.spec, options_of_folder(stage.spec, stage.streams)
    if streams.resume and is_done(job, wanted):
        return JobResult(status="already", source=shown(job.source), out=shown(job.out))
    before = size_and_time(job.source)
    unmark(job)
    accountant = RecordAccountant(streams.max_bad)
    deciding = deciding_options(spec, streams)
    output = OneOutput(spec, streams, deciding, accountant, stage.console, job.shard_prefix, should_stop, claim)
    counters = output.run(stage.stage)
    if not accountant.too_many_bad:
        claim.check(shown(job.out))
        if size_and_time(job.source) != before:
            raise InputError(
                f"{shown(job.source)}: has changed while it was read; the same command makes its output again"
            )
        mark_done(job, options=wanted, counters=counters)
    stage.console.detail(f"{job.source} -> {job.out}: {counters['in']:,} in, {counters['kept']:,} kept")
    return JobResult(
        status="bad" if accountant.too_many_bad else "done",
        source=shown(job.source),
        out=shown(job.out),
        counters=counters,
        examples=accountant.examples,
        num_resumed=accountant.num_resumed,
        reason="; ".join(accountant.too_many_bad),
        exit_code=3 if accountant.too_many_bad else 0,
        crash_log=crash_log.path,
    )


def _failed(job: "Job", reason: str, exit_code: int) -> JobResult:
    return JobResult(
        status="failed", source=shown(job.source), out=shown(job.out), reason=reason, exit_code=exit_code,
        crash_log=crash_log.path,
    )  # fmt: skip


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
    from omnicli.streams.files.stored import make_folder

    try:
        for path in (job.out, job.rejects):
            if path:
                make_folder(path.parent)
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
