"""The option ``--verdicts`` of filter, dedup and report."""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicli.commands.options.digests import digest_of_list
from omnicli.commands.options.groups import SELECTION
from omnicli.errors import UsageError
from omnicli.streams.files.stored import read_stdin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from omnicli.commands.options.streams import StreamOptions
    from omnicli.commands.run.one_output import StageSpec
    from omnicli.streams.verdicts import Verdicts

VerdictFiles = Annotated[
    list[Path] | None,
    typer.Option("--verdicts", metavar="FILE|-", help="Verdicts from omni report: they overrule scores. "
                 "Repeatable.", rich_help_panel=SELECTION),
]  # fmt: skip


def load_verdicts(
    paths: list[Path] | None, about: str, streams: "StreamOptions", *, score_only: bool = False
) -> "Verdicts":
    """The verdicts that a stage applies; none without the option. Raises InputError and UsageError."""
    from omnicli.streams.verdicts import NO_VERDICTS, Verdicts, read_verdicts

    if paths and score_only:
        raise UsageError("--score-only keeps every record and --verdicts rejects some: give one")
    check_stdin([*streams.names, *(paths or [])])
    if paths and streams.engine and "-" in map(str, paths):
        raise UsageError("--verdicts -: the processes of --engine do not read stdin; give a file")
    return Verdicts(read_verdicts(paths), about) if paths else NO_VERDICTS


def check_stdin(names: "Iterable[str | Path]") -> None:
    """Raises UsageError: two of the names are stdin."""
    if [str(name) for name in names].count("-") > 1:
        raise UsageError("stdin (-) can be read only once, for --verdicts or for the records; name a file")


def _digest(path: Path) -> str | None:
    return sha256(read_stdin()).hexdigest() if str(path) == "-" else digest_of_list(path)


def with_verdicts(
    spec: "StageSpec", verdicts: "Verdicts", paths: list[Path] | None, streams: "StreamOptions"
) -> "StageSpec":
    """The stage with the digests of its verdicts among its options, and lines about what was applied.

    Without the option the stage is the same, so that runs of earlier versions continue.
    """
    if not paths:
        return spec
    from dataclasses import replace

    observe, closing = spec.observe, spec.closing
    is_whole = streams.part is None and streams.limit is None and not streams.engine

    def observe_both(record: Any, counters: Any) -> None:
        if observe is not None:
            observe(record, counters)
        verdicts.count(record, counters)

    return replace(
        spec,
        options={**spec.options, "verdicts": [_digest(path) for path in paths]},
        observe=observe_both,
        closing=lambda counters: [*verdicts.closing(counters, is_whole=is_whole), *closing(counters)],
    )
