"""Names of outputs that each task of an array has for itself: ``-o 'kept.{part}.jsonl'``."""

import re
from dataclasses import replace
from pathlib import Path

from omnicli.commands.options.streams import StreamOptions
from omnicli.errors import UsageError

PART = "{part}"


def with_part(streams: StreamOptions) -> StreamOptions:
    """The options with the part in place of ``{part}`` in the names of outputs.

    Raises:
        UsageError: ``--part`` is malformed, ``{part}`` has none, or the tasks of ``auto`` would write one file.
    """
    from omnicli.streams.partition import parse_part

    names = {"-o": streams.output, "--rejects": streams.rejects, "--summary": str(streams.summary or ""),
             "--shards": str(streams.shards_dir or "")}  # fmt: skip
    if not streams.part or streams.takes_next:
        for option, name in names.items():
            if PART in (name or ""):
                raise UsageError(f"{option} {name}: {PART} needs --part I/N or --part auto")
        return streams
    part = parse_part(streams.part)
    if streams.part == "auto" and part.total > 1 and not streams.to_folder:
        for option, name in list(names.items())[:2]:
            if name and PART not in name and not _has_number(name, part.index) and not _is_special(name):
                raise UsageError(
                    f"{option} {name}: each of {part.total} tasks would write this file; put {PART} into its name"
                )
    filled = {name: value and value.replace(PART, str(part)) for name, value in names.items()}
    summary, shards = (Path(name) if (name := filled[option]) else None for option in ("--summary", "--shards"))
    return replace(streams, output=filled["-o"], rejects=filled["--rejects"], summary=summary, shards_dir=shards)


def _has_number(name: str, number: int) -> bool:
    """Whether a path has the number in it, as the shell puts it there: ``kept.7.jsonl``, ``kept-007.jsonl``."""
    return re.search(rf"(?<!\d)0*{number}(?!\d)", name) is not None


def _is_special(name: str) -> bool:
    from omnicli.streams.write.atomic import is_special

    return is_special(Path(name))
