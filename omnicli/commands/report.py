"""Make one HTML page of what was kept and what was rejected: counts, plots, images. Opens anywhere, needs no network.

    omni filter --teacher tsn.pth --rejects left.jsonl web/ -o kept.jsonl
    omni report kept.jsonl --rejects left.jsonl -o report.html

    omni report --motion motion.json web_imgs/ -o motion.html

    omni teacher-train train/ --val val/ --model tsn-resnet50 -o tsn.pth | omni report - -o curves.html

Any records do: those without confidence are shown by query or class, lines of training become curves, the summary of an
evaluation a confusion matrix and the pairs of classes it confuses most, or otherwise than its --baseline. With
--motion: what omni inflate --fit found, and how four of the images would move.
"""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicli.commands.options import shared as o
from omnicli.commands.options.checks import refuse_given
from omnicli.commands.run.runner import print_options
from omnicli.console import Console
from omnicli.errors import UsageError

if TYPE_CHECKING:
    from omnicli.stages.report.collector import RecordCollector

PAGE = "Page"
NOT_WITH_MOTION = ("rejects", "group_by", "per_class", "max_groups", "threshold")


class GroupBy(StrEnum):
    """What images and bars are grouped by."""

    query = "query"
    class_ = "class"


def command(
    context: typer.Context,
    inputs: o.Inputs = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="The page; has to be given.", rich_help_panel=o.STREAMS),
    ] = None,
    rejects: Annotated[
        list[str] | None,
        typer.Option("--rejects", metavar="FILE", help="What a stage wrote with its own --rejects; may be repeated.",
                     rich_help_panel=o.STREAMS),
    ] = None,
    title: Annotated[
        str | None, typer.Option("--title", metavar="TEXT", help="Heading.", show_default="the inputs",
                                 rich_help_panel=PAGE)
    ] = None,
    group_by: Annotated[
        GroupBy, typer.Option("--by", help="Group images and bars by what was searched for, or by class.",
                              rich_help_panel=PAGE)
    ] = GroupBy.query,
    per_class: Annotated[
        int, typer.Option("--per-class", metavar="N", min=0, help="Images of each kind and group.",
                          rich_help_panel=PAGE)
    ] = 7,
    max_groups: Annotated[
        int, typer.Option("--max-groups", metavar="N", min=0, help="Groups with images, the largest first.",
                          rich_help_panel=PAGE)
    ] = 24,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="X", min=0.0, max=1.0, help="That of the filter, marked in the plots.",
                     show_default="read off the records", rich_help_panel=PAGE),
    ] = None,
    motion: Annotated[
        Path | None,
        typer.Option("--motion", metavar="FILE", help="Show this camera motion, on INPUTs or a test pattern.",
                     rich_help_panel=PAGE),
    ] = None,
    workers: o.Workers = None,
    files_from: o.FilesFrom = None,
    null_separated: o.NullSeparated = False,
    root: o.Root = None,
    limit: o.Limit = None,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:  # fmt: skip
    if out is None and not dry_run:
        raise UsageError("a page is a file: give -o report.html")
    if null_separated and not files_from:
        raise UsageError("-0 goes with --files-from")
    if motion is not None:
        refuse_given(context, NOT_WITH_MOTION, "does not go with --motion")
        source = {"files_from": files_from, "null_separated": null_separated, "root": root, "limit": limit}
        _report_motion(motion, inputs, out or Path(), title, workers, source, dry_run, Console("report", quiet=quiet))
        return
    names = list(inputs or []) or ([] if files_from else ["-"])
    heading = title or ", ".join("records" if name == "-" else name for name in names) or str(files_from)
    if dry_run:
        print_options({
            "command": "report", "inputs": names, "rejects": rejects or [], "out": str(out), "title": heading,
            "by": group_by.value, "per_class": per_class, "max_groups": max_groups, "threshold": threshold,
        })  # fmt: skip
        return
    from omnicli.cpus import available_cores
    from omnicli.stages.report.collector import RecordCollector
    from omnicli.stages.report.page import render_report
    from omnicli.streams.read.reader import read_records
    from omnicli.streams.write.atomic import open_atomic

    console = Console("report", quiet=quiet, verbose=verbose)
    tally = RecordCollector(group_by=group_by.value, size=per_class)
    with console.progress(lambda: _describe(tally)):
        records = read_records(
            inputs or [],
            files_from=files_from,
            null_separated=null_separated,
            root=root,
            limit=limit,
            on_drop=tally.add,
        )
        for record in records:
            tally.add(record, record.verdict.get("reason"))
        for record in read_records(rejects, on_drop=tally.add) if rejects else []:
            tally.add(record, record.verdict.get("reason") or "rejected")
        page = render_report(
            tally, title=heading, root=root, threshold=threshold, max_groups=max_groups,
            workers=workers or available_cores(),
        )  # fmt: skip
        with open_atomic(out or Path()) as file:
            file.write(page.encode("utf-8", "backslashreplace"))
    console.say(f"{_describe(tally)} → {out} ({len(page) / 1e6:.1f} MB)")


def _report_motion(
    motion_file: Path,
    inputs: list[str] | None,
    out: Path,
    title: str | None,
    workers: int | None,
    source: dict[str, Any],
    dry_run: bool,
    console: Console,
) -> None:
    """``--motion``: the page of a fitted motion."""
    heading = title or f"Camera motion: {motion_file}"
    if dry_run:
        print_options({"command": "report", "motion": str(motion_file), "inputs": inputs or [], "out": str(out),
                       "title": heading})  # fmt: skip
        return
    from omnicli.cpus import available_cores
    from omnicli.motion.motion_file import read_motion
    from omnicli.stages.report.motion_page import render_motion_report
    from omnicli.streams.read.reader import read_records
    from omnicli.streams.write.atomic import open_atomic

    motion = read_motion(motion_file)
    given = inputs or source["files_from"]
    bad = Counter[str]()
    records = read_records(
        inputs or [], **source, on_drop=lambda record, reason: bad.update([reason])
    ) if given else iter(())  # fmt: skip
    with console.progress(lambda: "reading images"):
        page = render_motion_report(
            motion, records, title=heading, root=source["root"], workers=workers or available_cores()
        )
        with open_atomic(out) as file:
            file.write(page.encode("utf-8", "backslashreplace"))
    console.say(f"{motion.agnostic.num_pairs:,} pairs of frames, {bad.total():,} unreadable INPUTs → {out} "
                f"({len(page) / 1e6:.1f} MB)")  # fmt: skip


def _describe(tally: "RecordCollector") -> str:
    counts = tally.counts
    extra = len(tally.metrics) + len(tally.summaries)
    return (
        f"{counts.total():,} records = {counts['kept']:,} kept + {counts['rejected']:,} rejected + "
        f"{counts['unreadable']:,} unreadable" + (f", {extra:,} lines of metrics" if extra else "")
    )
