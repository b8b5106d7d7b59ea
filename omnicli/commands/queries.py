"""Turn class names into search queries or hashtags.

    omni queries classes.txt > queries.jsonl

    omni queries classes.txt --hashtags --format map -o tags.tsv
    omni queries classes.txt --format text | sed 's/^/ytsearch50:/' | yt-dlp --batch-file -
    omni queries classes.txt --since 2015-01-01 --before 2020-01-01 --window-days 90 --format text

The input has one class name per line; each output line is a query with its class. Search engines get the bare class
name, repeated for each window of days if an engine limits the number of results. Hashtags join the words of the name in
their forms and orders, most likely first. Crawl into web/QUERY/, and omni index finds the query of each file. The
output of --format map is the --query-map of omni filter, balance and train, so that a tag counts for its class.
"""

import os
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer

from omnicli import __version__
from omnicli.commands.options.groups import INPUT_OUTPUT, takes_groups
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.queries import QueryOptions
from omnicli.commands.options.streams import OutputFile
from omnicli.commands.run.summary import print_options
from omnicli.errors import UsageError
from omnicli.stages.queries import Query

NUM_NAMED = 5  # classes without a query; all of them with -v
Format = Literal["jsonl", "text", "map"]


@takes_groups
def command(
    options: QueryOptions,
    logging: LoggingOptions,
    classes: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Class names, one per line. Default, or -: stdin.", show_default=False),
    ] = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="jsonl: records. text: one query per line, windows as after: and before:. map: "
                     "query<TAB>class name.", rich_help_panel=INPUT_OUTPUT),
    ] = "jsonl",
    output: OutputFile = None,
) -> None:  # fmt: skip
    options.check()
    if logging.dry_run:
        print_options({"omni": __version__, "command": "queries", "classes": classes or "-", **asdict(options),
                       "format": form, "output": output})  # fmt: skip
        return
    from omnicli.streams.class_names import read_classes

    names = read_classes(_source(classes))
    console = logging.console("queries")
    found, num_shared = options.queries(names)
    _write(found, "hashtag" if options.hashtags else "search", form, Path(output) if output else None)
    shared = f"; left out: {num_shared:,} that several classes share" if num_shared else ""
    console.say(f"{len(names):,} classes = {len(found):,} queries{shared}")
    missing = sorted(set(names) - {query.class_name for query in found})
    if missing:
        num_shown = len(missing) if logging.verbose else NUM_NAMED
        console.say(f"without any: {', '.join(missing[:num_shown])}{' ...' if len(missing) > num_shown else ''}")


def _source(classes: str | None) -> str:
    """The file to read. Raises UsageError if stdin is a terminal or closed."""
    if classes not in (None, "-"):
        return str(classes)
    if sys.stdin is None or (classes is None and os.isatty(0)):
        raise UsageError("no FILE: give a file of class names, or pipe them into stdin")
    return "/dev/stdin"


def _write(queries: "list[Query]", kind: str, form: Format, output: Path | None) -> None:
    """Raises OutputError."""
    from omnicli.streams.write.atomic import named_errors, open_atomic
    from omnicli.streams.write.stdout import open_stdout

    lines = dict.fromkeys(_line(query, kind, form) for query in queries)
    with ExitStack() as stack:
        file: BinaryIO | None = stack.enter_context(open_atomic(output)) if output else None
        writer = file or open_stdout(live=False)
        with named_errors(str(output or "stdout")):
            writer.write("".join(lines).encode())
            writer.flush()


def _line(query: "Query", kind: str, form: Format) -> str:
    from omnicli.streams.record import format_record

    if form == "text":
        return f"{query.text}{_window(query, ' after:', ' before:')}\n"
    if form == "map":
        return f"{query.text}\t{' '.join(query.class_name.split())}\n"
    window = {"since": query.since, "before": query.before} if query.since else {}
    fields = {"id": f"{query.text}{_window(query, '#', '/')}", "query": query.text, "kind": kind}
    fields |= {"class_name": query.class_name} | {name: str(day) for name, day in window.items()}
    return format_record(fields).decode()


def _window(query: "Query", after: str, until: str) -> str:
    return f"{after}{query.since}{until}{query.before}" if query.since else ""
