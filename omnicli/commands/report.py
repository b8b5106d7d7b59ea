"""Make one self-contained HTML page of kept and rejected records, metrics or camera motion.

    omni filter --teacher tsn.pth --rejects rejected.jsonl web/ -o kept.jsonl
    omni report kept.jsonl --rejects rejected.jsonl -o report.html

    omni report kept.jsonl --rejects rejected.jsonl --verdicts verdicts.jsonl -o report.html

    omni report --checkpoint student.pth -o card.html

    omni report --motion motion.json web_imgs/ -o motion.html

    omni teacher-train train/ --val val/ --model tsn-resnet50 -o tsn.pth | omni report - -o curves.html

Records become counts, plots and images; records without a confidence are grouped by query or class. Videos from omni
segment have a timeline of their scores with the positive frames or clips. Rows of features are shown as the media that
they were made from. Suspected duplicates stand beside their targets, verified copies first. Metric lines of training
become curves. The summary of an evaluation becomes a confusion matrix, with the pairs of classes that it confuses
most, or that changed against its --baseline. --checkpoint adds a model card: training data, recipe, classes,
preprocessing, digest, licence, validation accuracy and limits. --motion shows the motion fitted by omni inflate --fit,
and how four of the images would move.

Records and suspected duplicates can be accepted and rejected on the page, by keys (? lists them). It exports the
verdicts for omni filter --verdicts and omni dedup --verdicts. From those about a random sample it estimates which share
of the records above each threshold is right, with 95 % intervals; so do the closing lines with --verdicts.
"""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicli.commands.options.compute import Workers
from omnicli.commands.options.groups import DATA, INPUT_OUTPUT, refuse_given, takes_groups
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.report import PageFile, PageOptions
from omnicli.commands.options.streams import InputOptions
from omnicli.commands.options.verdicts import check_stdin
from omnicli.commands.run.summary import print_options
from omnicli.console import Console
from omnicli.cpus import available_cores
from omnicli.errors import UsageError
from omnicli.models.model_files import local_path

if TYPE_CHECKING:
    from omnicli.stages.report.collector import RecordCollector
    from omnicli.stages.report.model_card import ModelCard

NOT_WITH_MOTION = (
    "checkpoint", "rejects", "by", "per_class", "max_groups", "threshold", "sample", "all_records", "verdict_files",
)  # fmt: skip


@takes_groups
def command(
    context: typer.Context,
    source: InputOptions,
    page: PageOptions,
    logging: LoggingOptions,
    output: PageFile = None,
    rejects: Annotated[
        list[str] | None,
        typer.Option("--rejects", metavar="FILE", help="Rejects of a stage; repeatable.", rich_help_panel=INPUT_OUTPUT),
    ] = None,
    motion: Annotated[
        Path | None,
        typer.Option("--motion", metavar="FILE", help="Show this camera motion on INPUTs, or on a test pattern.",
                     rich_help_panel=DATA),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", metavar="FILE", help="Show the model card of a checkpoint; repeatable. Without "
                     "INPUTs, of nothing else.", rich_help_panel=DATA),
    ] = None,
    verdict_files: Annotated[
        list[Path] | None,
        typer.Option("--verdicts", metavar="FILE", help="Verdicts that the page starts with, and whose precision is "
                     "printed; repeatable.", rich_help_panel=DATA),
    ] = None,
    workers: Workers = None,
) -> None:  # fmt: skip
    if output == "-" or (output is None and not logging.dry_run):
        raise UsageError("report writes a page: give -o report.html")
    if source.null_separated and not source.files_from:
        raise UsageError("-0 needs --files-from")
    if motion is not None:
        refuse_given(context, NOT_WITH_MOTION, "cannot be combined with --motion")
    from omnicli.streams.read.repeated import warn_of_repeated

    is_card = bool(checkpoint) and not (source.inputs or source.files_from or rejects)
    names = list(source.inputs or []) or ([] if source.files_from or is_card else ["-"])
    shown_names = ["records" if name == "-" else name for name in names] or [str(source.files_from)]
    heading = page.title or ", ".join([path.name for path in checkpoint or []] if is_card else shown_names)
    check_stdin([*([] if is_card else source.names), *(rejects or []), *(verdict_files or [])])
    if motion is not None:
        heading, names = page.title or f"Camera motion: {motion}", list(source.inputs or [])
    if logging.dry_run:
        shown = {"motion": str(motion)} if motion else {**asdict(page), "rejects": rejects or [],
                                                         "verdicts": verdict_files or [],
                                                         "checkpoint": checkpoint or []}  # fmt: skip
        print_options({"command": "report", "inputs": names, **shown, "title": heading, "output": str(output)})
        return
    console = logging.console("report")
    warn_of_repeated(names, console.say)
    if motion is not None:
        _report_motion(motion, source, Path(output or ""), heading, workers, console)
    else:
        inputs, cards = None if is_card else source, checkpoint or []
        _report_records(inputs, rejects or [], page, verdict_files, cards, Path(output or ""), heading, workers,
                        console)  # fmt: skip


def _report_records(
    source: InputOptions | None, rejects: list[str], page: PageOptions, verdict_files: list[Path] | None,
    checkpoints: list[Path], output: Path, heading: str, workers: int | None, console: Console,
) -> None:  # fmt: skip
    """The page of records and of the cards of checkpoints; without ``source``, of these alone."""
    from omnicli.stages.report.collector import RecordCollector
    from omnicli.stages.report.page import render_report, write_all_records
    from omnicli.stages.report.parts import AllRecords
    from omnicli.stages.report.sample import describe_precision
    from omnicli.streams.files.urls import url_of
    from omnicli.streams.reading import count_missing_frames, incomplete, incomplete_lines
    from omnicli.streams.verdicts import Verdicts, read_verdicts
    from omnicli.streams.write.atomic import is_special

    verdicts = read_verdicts(verdict_files or [])
    num_drawn = max([page.sample, *(verdict.sample.rank + 1 for verdict in verdicts if verdict.sample)])
    every = AllRecords() if page.all_records else None
    collector = RecordCollector(group_by=page.by, size=page.per_class, sample=num_drawn, every=every)
    parts, num_bytes = output.with_suffix(".parts"), 0
    if every is not None and (url_of(output) or is_special(output)):
        raise UsageError(f"--all writes a folder beside the page: give -o FILE, not {output}")
    with console.progress(lambda: _describe(collector)):
        models = _cards(checkpoints)
        for record in source.read(collector.add) if source else []:
            collector.add(record, record.verdict.get("reason"))
        for record in InputOptions(inputs=rejects).read(collector.add) if rejects else []:
            collector.add(record, record.verdict.get("reason") or "rejected")
        html = render_report(
            collector, title=heading, root=source.root if source else None, threshold=page.threshold,
            max_groups=page.max_groups, workers=workers or available_cores(), verdicts=verdicts, models=models,
            parts=parts.name,
        )  # fmt: skip
        if every is not None:
            num_bytes = write_all_records(
                collector, parts, root=source.root if source else None, workers=workers or available_cores()
            )
        _write(output, html)
    what = _describe(collector) if source else ", ".join(f"model card of {path}" for path in checkpoints)
    beside = f" and {parts}/ ({num_bytes / 1e6:.1f} MB)" if every is not None else ""
    console.say(f"{what} → {output} ({len(html) / 1e6:.1f} MB){beside}")
    for line in describe_precision(collector.sample, Verdicts(verdicts)) if verdicts else []:
        console.say(line)
    counters, examples = Counter[str](), dict[str, str]()
    for name, num_missing in incomplete.found():
        count_missing_frames(name, num_missing, counters=counters, examples=examples)
    for line in incomplete_lines(counters, examples):
        console.say(line)


def _cards(checkpoints: list[Path]) -> "list[ModelCard]":
    """The cards of checkpoints. Raises ModelError and UsageError."""
    for path in checkpoints:
        local_path(path)  # names a missing extra before the import takes seconds
    if not checkpoints:
        return []
    from omnicli.stages.report.model_card import read_card

    return [read_card(path) for path in checkpoints]


def _report_motion(
    motion_file: Path, source: InputOptions, output: Path, heading: str, workers: int | None, console: Console
) -> None:
    """``--motion``: the page of a fitted motion."""
    from omnicli.motion.motion_file import read_motion
    from omnicli.stages.report.motion_page import render_motion_report

    motion = read_motion(motion_file)
    bad = Counter[str]()
    records = (
        source.read(lambda record, reason: bad.update([reason])) if source.inputs or source.files_from else iter(())
    )
    with console.progress(lambda: "reading images"):
        html = render_motion_report(
            motion, records, title=heading, root=source.root, workers=workers or available_cores()
        )  # fmt: skip
        _write(output, html)
    console.say(f"{motion.agnostic.num_pairs:,} pairs of frames, {bad.total():,} unreadable INPUTs → {output} "
                f"({len(html) / 1e6:.1f} MB)")  # fmt: skip


def _write(output: Path, html: str) -> None:
    from omnicli.streams.write.atomic import open_atomic

    with open_atomic(output) as file:
        file.write(html.encode("utf-8", "backslashreplace"))


def _describe(collector: "RecordCollector") -> str:
    counts = collector.counts
    extra = len(collector.metrics) + len(collector.summaries)
    return (
        f"{counts.total():,} records = {counts['kept']:,} kept + {counts['rejected']:,} rejected + "
        f"{counts['unreadable']:,} unreadable" + (f", {extra:,} lines of metrics" if extra else "")
    )
