"""What flows into a command and out of it, checked before anything is opened."""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from omnicli.errors import OutputError, UsageError


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """The options of ``commands.options`` that say what flows in and out; the same for every stage."""

    inputs: list[str] | None = None
    files_from: str | None = None
    null_separated: bool = False
    root: str | None = None
    limit: int | None = None
    list_format: str | None = None
    frames: bool = False
    shard: str | None = None
    out: str | None = None
    rejects: str | None = None
    summary: Path | None = None
    shards_dir: Path | None = None
    resume: bool = True
    max_bad: str | None = None
    missing: bool = False
    shards_total: int | None = None
    dry_run: bool = False
    quiet: bool = False
    verbose: bool = False


def check_streams(streams: StreamOptions, *, whole_stream: str | None) -> None:
    """Refuse options that contradict each other.

    Args:
        streams: the options.
        whole_stream: the option that makes the stage decide over the whole stream, or None.

    Raises:
        UsageError: names the options and what to do instead.
        OutputError: a folder that something will be written to is missing.
    """
    if whole_stream and (streams.shard or is_folder(streams.out)):
        clash = "--shard" if streams.shard else "-o DIR/"
        raise UsageError(
            f"{whole_stream} decides over the whole stream and cannot go with {clash}: "
            "run what comes before it in shards (filter --score-only), cat the results, then decide"
        )
    if streams.missing and not (is_folder(streams.out) and streams.shards_total):
        raise UsageError("--missing needs -o DIR/ and --shards-total N")
    if streams.shards_total and not streams.missing:
        raise UsageError("--shards-total goes with --missing")
    if is_folder(streams.out) and streams.rejects and not is_folder(streams.rejects):
        raise UsageError("with -o DIR/ the rejects are one file an input file too: --rejects OTHERDIR/")
    if streams.null_separated and not streams.files_from:
        raise UsageError("-0 goes with --files-from")
    check_outputs_differ({"-o": streams.out, "--rejects": streams.rejects, "--summary": streams.summary})
    parse_max_bad(streams.max_bad, 0)
    _check_names(streams)


def check_outputs_differ(outputs: Mapping[str, str | Path | None]) -> None:
    """Refuse two options that would write one file; a device takes the words of both.

    Raises:
        UsageError: names them.
    """
    from omnicli.streams.write.atomic import is_special

    taken: dict[str, str] = {}
    for option, path in outputs.items():
        if not path or is_special(Path(path)):
            continue
        other = taken.setdefault(os.path.realpath(path), option)
        if other != option:
            raise UsageError(f"{option} and {other} are the same file: {path}")


def refuse_given(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Stop at an option on the command line that would do nothing beside the others. Raises UsageError."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"{parameter.opts[0]} {why}")


def _check_names(streams: StreamOptions) -> None:
    """Refuse names that nothing can be written to, before hours of work. Raises UsageError and OutputError."""
    for option, name in (("-o", streams.out), ("--rejects", streams.rejects)):
        if name == "":
            raise UsageError(f"{option}: an empty name")
    if streams.out == "-":
        raise UsageError("-o -: without -o the lines go to stdout")
    rejects = Path(streams.rejects) if streams.rejects and not is_folder(streams.rejects) else None
    for path in (rejects, streams.summary):
        if path and not path.parent.is_dir():
            raise OutputError(f"{path}: cannot write: no folder '{path.parent}'; make it first")


def is_folder(path: str | None) -> bool:
    """True for ``-o DIR/``: one output file an input file."""
    return path is not None and (path.endswith("/") or Path(path).is_dir())


def is_live(streams: StreamOptions) -> bool:
    """True if somebody may be waiting for each line: an input is a pipe."""
    names = streams.inputs or ([] if streams.files_from else ["-"])
    return any(name == "-" or _is_fifo(name) for name in names)


def _is_fifo(name: str) -> bool:
    try:
        return stat.S_ISFIFO(Path(name).stat().st_mode)
    except (OSError, ValueError):
        return False


def parse_max_bad(text: str | None, num_in: int) -> float | None:
    """``N`` or ``P%`` of the input as a number of records; None without the option. Raises UsageError."""
    if text is None:
        return None
    try:
        limit = float(text.removesuffix("%")) / 100 * num_in if text.endswith("%") else float(int(text))
    except ValueError:
        raise UsageError(f"--max-bad: expected a number or a percentage such as 100 or 2%, got {text!r}") from None
    if not limit >= 0:  # nan too
        raise UsageError(f"--max-bad: expected a number or a percentage of 0 or more, got {text!r}")
    return limit
