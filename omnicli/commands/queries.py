"""Turn class names into search queries or hashtags.

    omni queries classes.txt > queries.jsonl

    omni queries classes.txt --hashtags --format map -o tags.tsv
    omni queries --verbs verbs.txt --nouns nouns.txt --hashtags --format map -o tags.tsv
    omni queries classes.txt --keep-labels 90 --format classes > classes90.txt
    omni queries classes.txt --format text | sed 's/^/ytsearch50:/' | yt-dlp --batch-file -
    omni queries classes.txt --since 2015-01-01 --before 2020-01-01 --window-days 90 --format text

The input has one class name per line; each output line is a query with its class. Search engines get the bare class
name, repeated for each window of days if an engine limits the number of results. Hashtags join the words of the name in
their forms and orders, most likely first. Crawl into web/QUERY/, and omni index finds the query of each file. The
output of --format map is the --query-map of omni filter, balance and train, so that a tag counts for its class.
"""

import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer

from omnicli import __version__
from omnicli.commands.options.compute import Seed
from omnicli.commands.options.groups import INPUT_OUTPUT, refuse_given, takes_groups
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.queries import QueryOptions
from omnicli.commands.options.streams import OutputFile, check_outputs_differ
from omnicli.commands.run.summary import print_options
from omnicli.errors import UsageError
from omnicli.stages.queries import Query

OF_QUERIES = ("hashtags", "max_tags", "since", "before", "window_days")
NUM_NAMED = 5  # classes without a query; all of them with -v
Format = Literal["jsonl", "text", "map", "classes"]


@takes_groups
def command(
    context: typer.Context,
    options: QueryOptions,
    logging: LoggingOptions,
    classes: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Class names, one per line. Default, or -: stdin.", show_default=False),
    ] = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="jsonl: records. text: one query per line, windows as after: and before:. map: "
                     "query<TAB>class name. classes: the class names, one per line.", rich_help_panel=INPUT_OUTPUT),
    ] = "jsonl",
    output: OutputFile = None,
    seed: Seed = 0,
) -> None:  # fmt: skip
    options.check()
    check_outputs_differ({"-o": output})
    if options.verbs and classes is not None:
        raise UsageError(f"--verbs and --nouns give the classes: remove {classes}")
    if options.keep_labels is None:
        refuse_given(context, ("seed",), "needs --keep-labels: nothing else is drawn")
    if form == "classes":
        refuse_given(context, OF_QUERIES, "makes queries, and --format classes writes none")
    if logging.dry_run:
        print_options({"omni": __version__, "command": "queries", "classes": classes or "-", **asdict(options),
                       "seed": seed, "format": form, "output": output})  # fmt: skip
        return
    names = options.names(lambda: _source(classes), seed)
    console = logging.console("queries")
    if form == "classes":
        _write(names, Path(output) if output else None)
        console.say(f"{len(names):,} classes")
        return
    found, num_shared = options.queries(names)
    kind = "hashtag" if options.hashtags else "search"
    _write((_line(query, kind, form).removesuffix("\n") for query in found), Path(output) if output else None)
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


def _write(lines: Iterable[str], output: Path | None) -> None:
    """Write each line once. Raises OutputError."""
    from omnicli.streams.write.atomic import named_errors, open_atomic
    from omnicli.streams.write.stdout import open_stdout

    with ExitStack() as stack:
        file: BinaryIO | None = stack.enter_context(open_atomic(output)) if output else None
        writer = file or open_stdout(live=False)
        with named_errors(str(output or "stdout")):
            writer.write("".join(f"{line}\n" for line in dict.fromkeys(lines)).encode())
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
