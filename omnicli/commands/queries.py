"""Make search queries or hashtags of class names, for crawlers.

    omni queries classes.txt > queries.jsonl

    omni queries classes.txt --hashtags --format map -o tags.tsv
    omni queries classes.txt --format text | sed 's/^/ytsearch50:/' | yt-dlp --batch-file -
    omni queries classes.txt --since 2015-01-01 --before 2020-01-01 --window-days 90 --format text

One class name a line comes in; what is asked comes out, each with its class. A search engine is asked for the name
itself; where it shows only so many answers, ask again for each window of days. Hashtags join the words of the name in
their forms and orders, the most likely first. Crawl into web/QUERY/ and omni index finds the query of each file;
--format map is what omni filter, balance and train take as --query-map, so that a tag counts for its class.
"""

import os
import sys
from contextlib import ExitStack
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from omnicli import __version__
from omnicli.commands.options import shared as o
from omnicli.commands.run.runner import print_options
from omnicli.console import Console
from omnicli.errors import UsageError

if TYPE_CHECKING:
    from omnicli.stages.queries import Query

ASKED = "What is asked"
DATE = ["%Y-%m-%d"]
NUM_NAMED = 5  # classes without a query; all of them under -v


class Format(StrEnum):
    """How queries are written."""

    jsonl = "jsonl"
    text = "text"
    map = "map"


def command(
    classes: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Class names, one a line; - or none: stdin.", show_default=False),
    ] = None,
    as_hashtags: Annotated[
        bool, typer.Option("--hashtags", help="Hashtags instead of queries to a search engine.", rich_help_panel=ASKED)
    ] = False,
    max_tags: Annotated[
        int | None,
        typer.Option("--max-tags", min=1, metavar="N", help="No more than N tags of a class, those most like its name.",
                     show_default="all", rich_help_panel=ASKED),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option("--since", formats=DATE, metavar="YYYY-MM-DD", help="Ask for what is of this day or later.",
                     rich_help_panel=ASKED),
    ] = None,
    before: Annotated[
        datetime | None,
        typer.Option("--before", formats=DATE, metavar="YYYY-MM-DD", help="Ask for what is of days before this one.",
                     rich_help_panel=ASKED),
    ] = None,
    window_days: Annotated[
        int | None,
        typer.Option("--window-days", min=1, metavar="N", help="Ask again for every N days between the two.",
                     show_default="one window", rich_help_panel=ASKED),
    ] = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="jsonl: records. text: one query a line, windows as after: and before:. map: "
                     "query<TAB>class name.", rich_help_panel=o.STREAMS),
    ] = Format.jsonl,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Write here instead of stdout: whole or not at all.",
                     rich_help_panel=o.STREAMS),
    ] = None,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:  # fmt: skip
    _check(as_hashtags, max_tags, since, before, window_days)
    if dry_run:
        print_options({
            "omni": __version__, "command": "queries", "classes": classes or "-", "hashtags": as_hashtags,
            "max_tags": max_tags, "since": since, "before": before, "window_days": window_days, "format": form.value,
            "out": out,
        })  # fmt: skip
        return
    from omnicli.stages.queries import date_windows, hashtag_queries, search_queries
    from omnicli.streams.class_names import read_classes

    names = read_classes(_source(classes))
    console = Console("queries", quiet=quiet, verbose=verbose)
    if as_hashtags:
        asked, num_shared = hashtag_queries(names, max_tags=max_tags)
        kind = "hashtag"
    else:
        first, end = (since.date(), before.date()) if since and before else (date.min, date.min)
        windows = date_windows(first, end, window_days or (end - first).days) if since else []
        asked, num_shared = list(search_queries(names, windows)), 0
        kind = "search"
    _write(asked, kind, form, out)
    shared = f"; left out: {num_shared:,} that several classes share" if num_shared else ""
    console.say(f"{len(names):,} classes = {len(asked):,} queries{shared}")
    silent = sorted(set(names) - {query.class_name for query in asked})
    if silent:
        num_shown = len(silent) if verbose else NUM_NAMED
        console.say(f"without any: {', '.join(silent[:num_shown])}{' ...' if len(silent) > num_shown else ''}")


def _check(
    as_hashtags: bool,
    max_tags: int | None,
    since: datetime | None,
    before: datetime | None,
    window_days: int | None,
) -> None:
    """Raises UsageError."""
    if max_tags and not as_hashtags:
        raise UsageError("--max-tags goes with --hashtags")
    if as_hashtags and (since or before or window_days):
        raise UsageError("--since, --before and --window-days ask search engines: not with --hashtags")
    if (since is None) != (before is None) or (window_days and since is None):
        raise UsageError("a window of days needs both --since and --before")
    if since and before and since >= before:
        raise UsageError(f"--since {since:%Y-%m-%d} is not before --before {before:%Y-%m-%d}")


def _source(classes: str | None) -> str:
    """The file to read. Raises UsageError where nothing would ever come."""
    if classes not in (None, "-"):
        return str(classes)
    if sys.stdin is None or (classes is None and os.isatty(0)):
        raise UsageError("no FILE: give a file of class names, or pipe them into stdin")
    return "/dev/stdin"


def _write(asked: "list[Query]", kind: str, form: Format, out: Path | None) -> None:
    """Raises OutputError."""
    from omnicli.streams.write.atomic import named_errors, open_atomic
    from omnicli.streams.write.stdout import open_stdout

    lines = dict.fromkeys(_line(query, kind, form) for query in asked)
    with ExitStack() as stack:
        file: BinaryIO | None = stack.enter_context(open_atomic(out)) if out else None
        writer = file or open_stdout(live=False)
        with named_errors(str(out or "stdout")):
            writer.write("".join(lines).encode())
            writer.flush()


def _line(query: "Query", kind: str, form: Format) -> str:
    from omnicli.streams.record import format_record

    match form:
        case Format.text:
            return f"{query.text}{_window(query, ' after:', ' before:')}\n"
        case Format.map:
            return f"{query.text}\t{' '.join(query.class_name.split())}\n"
        case Format.jsonl:
            window = {"since": query.since, "before": query.before} if query.since else {}
            fields = {"id": f"{query.text}{_window(query, '#', '/')}", "query": query.text, "kind": kind}
            fields |= {"class_name": query.class_name} | {name: str(day) for name, day in window.items()}
            return format_record(fields).decode()


def _window(query: "Query", after: str, until: str) -> str:
    return f"{after}{query.since}{until}{query.before}" if query.since else ""
