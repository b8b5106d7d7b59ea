"""Turn folders, lists and tars of media into records.

    omni index web_imgs/ --source gg-k400 > web.jsonl

    omni index train/ --labels --classes classes.txt --root train -o train.jsonl
    omni index kinetics_val.csv --root /data/k400/val --probe -o val.jsonl

A folder's name becomes the query of what lies in it, or with --labels its class. Lists of mmaction, Kinetics and UCF101
are recognised. --root is taken off the paths and given to later stages again, so that data can move.
"""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicli.commands.options import shared as o
from omnicli.commands.options.checks import StreamOptions
from omnicli.commands.run.runner import StageSpec, digest_of, run_stage
from omnicli.errors import InputError, UsageError

if TYPE_CHECKING:
    from omnicli.streams.stage_run import Stage

WRITES = "What is written"


class ListFormat(StrEnum):
    """Annotation lists; recognised where the option is not given."""

    mmaction = "mmaction"
    frames = "frames"
    kinetics = "kinetics"
    ucf101 = "ucf101"


def command(
    context: typer.Context,
    inputs: o.Inputs = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Folder names are classes: write class_name, not query.",
                           rich_help_panel=WRITES)
    ] = False,
    classes: Annotated[
        Path | None,
        typer.Option("--classes", metavar="FILE", help="Class names, one a line: write label too (0-based line).",
                     rich_help_panel=WRITES),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="NAME", help="The crawl they come from, such as gg-k400.",
                     rich_help_panel=WRITES),
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Open every file; write width, height, fps, num_frames, duration_sec.",
                           rich_help_panel=WRITES)
    ] = False,
    frames: Annotated[
        bool, typer.Option("--frames", help="A folder of numbered images is one video of frames.",
                           rich_help_panel=WRITES)
    ] = False,
    list_format: Annotated[
        ListFormat | None,
        typer.Option("--list-format", help="What annotation lists are, where their lines fit two kinds.",
                     show_default="recognised", rich_help_panel=WRITES),
    ] = None,
    workers: o.Workers = None,
    files_from: o.FilesFrom = None,
    null_separated: o.NullSeparated = False,
    root: o.Root = None,
    limit: o.Limit = None,
    shard: o.ShardOption = None,
    out: o.Out = None,
    rejects: o.Rejects = None,
    summary: o.Summary = None,
    resume: o.Resume = True,
    max_bad: o.MaxBad = None,
    missing: o.Missing = False,
    shards_total: o.ShardsTotal = None,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:  # fmt: skip
    workers_source = context.get_parameter_source("workers")
    if not probe and workers_source is not None and workers_source.name == "COMMANDLINE":
        raise UsageError("--workers goes with --probe: nothing else opens files in threads")
    deciding = {
        "labels": labels,
        "classes": digest_of(classes, InputError) if classes else None,
        "source": source,
        "probe": probe,
        "frames": frames,
        "list_format": list_format.value if list_format else None,
        "root": root,
    }

    def make() -> "Stage":
        from omnicli.cpus import available_cores
        from omnicli.stages.index import index_records
        from omnicli.streams.class_names import ClassIndex, read_classes

        measure = None
        if probe:
            from omnicli.media.probe import probe_media

            measure = partial(probe_media, root=root)
        known = ClassIndex(read_classes(classes)) if classes else None
        return lambda records, on_drop: index_records(
            records, labels=labels, classes=known, source=source, measure=measure,
            workers=workers or available_cores(), on_drop=on_drop,
        )  # fmt: skip

    run_stage(StageSpec(name="index", make=make, options=deciding), StreamOptions(
        inputs=inputs, files_from=files_from, null_separated=null_separated, root=root, limit=limit, shard=shard,
        list_format=list_format.value if list_format else None, frames=frames,
        out=out, rejects=rejects, summary=summary, resume=resume, max_bad=max_bad, missing=missing,
        shards_total=shards_total, dry_run=dry_run, quiet=quiet, verbose=verbose,
    ))  # fmt: skip
