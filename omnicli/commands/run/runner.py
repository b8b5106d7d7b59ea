"""How every stage runs: options checked, one or many outputs, closing lines, summary, exit code."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnicli.commands.invocation import hand_over
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.part_names import with_part
from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.advice import scarce_queries
from omnicli.commands.run.counters import RecordAccountant
from omnicli.commands.run.fetched import fetched_fields, fetched_lines
from omnicli.commands.run.jobs import deciding_options
from omnicli.commands.run.one_output import OneOutput, StageSpec
from omnicli.commands.run.output_folder import run_folder
from omnicli.commands.run.summary import print_options, write_summary
from omnicli.console import rejected_by_reason, scarce_classes
from omnicli.process import Stop, stopping_stage
from omnicli.reasons import unreadable_by_kind
from omnicli.streams.reading import missing_frames

if TYPE_CHECKING:
    from omnicli.streams.multipass.passes import MultipassStage
    from omnicli.streams.stage_run import Stage


def run_stage(spec: StageSpec, streams: StreamOptions, logging: LoggingOptions) -> None:
    """Run one stage from INPUTs to outputs. Raises OmniError."""
    streams = with_part(streams)
    streams.check(whole_stream=spec.whole_stream)
    if hand_over(spec, streams, logging):
        return
    deciding = deciding_options(spec, streams)
    if logging.dry_run:
        print_options(deciding | {"inputs": streams.inputs or ["-"], "part": streams.part, "output": streams.output})
        return
    console = logging.console(spec.name)
    if not streams.to_folder:  # which takes each file once
        from omnicli.streams.read.repeated import warn_of_repeated

        warn_of_repeated(streams.inputs or [], console.say)
    accountant = RecordAccountant(streams.max_bad)
    with stopping_stage(resumable=_can_resume(spec, streams)) as stop:
        spec = replace(spec, make=partial(_make, spec, stop))
        if streams.to_folder:
            is_finished = run_folder(spec, streams, accountant, console)
        else:
            output = OneOutput(spec, streams, deciding | {"shard": streams.part}, accountant, console)
            output.run(spec.make())
            is_finished = True
    if not is_finished:
        return
    for line in (accountant.closing_line(), *accountant.failures(), *fetched_lines(accountant.counters)):
        console.say(line)
    kept = {name: accountant.counters[f"kept: {name}"] for name in spec.classes}
    scarce: list[str] = []
    if accountant.counters["in"]:
        remedy = spec.remedy if rejected_by_reason(accountant.counters) else "nothing was rejected: collect more"
        scarce = [*scarce_classes(kept, "kept records", remedy), *scarce_queries(accountant.counters)]
    closing = spec.closing(accountant.counters)
    for line in (*(note for note in accountant.notes if note not in closing), *closing, *scarce):
        console.say(line)
    concluded = spec.conclude(console) if spec.conclude and not accountant.failed else {}
    if streams.summary:
        write_summary(streams.summary, {**_summary(spec, accountant), **concluded})
    accountant.raise_if_jobs_failed()
    accountant.raise_if_too_many_bad()


def _can_resume(spec: StageSpec, streams: StreamOptions) -> bool:
    """Whether a stopped run leaves a state to continue from."""
    from omnicli.streams.write.atomic import is_special

    return bool(streams.output) and not spec.whole_stream and not is_special(Path(streams.output or ""))


def _make(spec: StageSpec, stop: Stop) -> "Stage | MultipassStage":
    """The stage, loaded; an import may have swallowed the exception of a signal."""
    stage = spec.make()
    stop.check()
    return stage


def _summary(spec: StageSpec, accountant: RecordAccountant) -> dict[str, Any]:
    counters = accountant.counters
    own = {key: count for key, count in counters.items() if key.startswith(f"{spec.name}: ")}
    return {
        "command": spec.name,
        "in": counters["in"],
        "kept": counters["kept"],
        "out": counters["out"],
        "rejected": rejected_by_reason(counters),
        "unreadable": counters["unreadable"],
        "unreadable_by_kind": unreadable_by_kind(counters),
        **missing_frames(counters),
        **fetched_fields(counters),
        "resumed": accountant.num_resumed,
        "seconds": round(accountant.seconds, 3),
        "options": dict(spec.options),
        **({"counts": own} if own else {}),
        **({"failed": {result.source: result.reason for result in accountant.failed}} if accountant.failed else {}),
        **spec.facts,
    }
