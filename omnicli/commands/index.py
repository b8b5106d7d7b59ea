"""Turn folders, lists and tars of media into records.

    omni index web_imgs/ --source gg-k400 > web.jsonl

    omni index train/ --labels --classes classes.txt --root train -o train.jsonl
    omni index kinetics_val.csv --root /data/k400/val --probe -o val.jsonl

The name of a folder below INPUT becomes the query of its files, or their class with --labels. Several folders side by
side, such as web/images/*, give their own names. Hidden files and folders are skipped. Annotation lists of mmaction,
Kinetics and UCF101 are detected. --root is removed from the paths; later stages take it again, so that data can move.
"""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from omnicli.commands.options.compute import Workers
from omnicli.commands.options.digests import digest_of_list
from omnicli.commands.options.groups import DATA, INPUT_OUTPUT, RARE, Adapt, refuse_given, takes_groups
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.advice import count_without_query, lines_without_query
from omnicli.commands.run.one_output import StageSpec
from omnicli.commands.run.runner import run_stage
from omnicli.streams.stage_run import Stage

FRAMES = Annotated[
    bool, typer.Option("--frames", help="Read a folder of numbered images as one video.", rich_help_panel=INPUT_OUTPUT)
]  # fmt: skip
LIST_FORMAT = Annotated[
    Literal["mmaction", "frames", "kinetics", "ucf101"] | None,
    typer.Option("--list-format", help="Format of annotation lists, if their lines fit two formats.",
                 show_default="detected", rich_help_panel=INPUT_OUTPUT), RARE,
]  # fmt: skip


@takes_groups
def command(
    context: typer.Context,
    streams: Annotated[StreamOptions, Adapt(frames=FRAMES, list_format=LIST_FORMAT)],
    logging: LoggingOptions,
    labels: Annotated[
        bool, typer.Option("--labels", help="Folder names are classes: write class_name instead of query.",
                           rich_help_panel=DATA)
    ] = False,
    classes: Annotated[
        Path | None,
        typer.Option("--classes", metavar="FILE", help="Class names, one per line: write label too, the 0-based line.",
                     rich_help_panel=DATA),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="NAME", help="Name of the crawl, such as gg-k400.", rich_help_panel=DATA),
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Open every file and write width, height, fps, num_frames, duration_sec.",
                           rich_help_panel=DATA)
    ] = False,
    workers: Workers = None,
) -> None:  # fmt: skip
    if not probe:
        refuse_given(context, ("workers",), "needs --probe: nothing else opens files in threads")

    def make() -> "Stage":
        from omnicli.cpus import available_cores
        from omnicli.stages.index import index_records
        from omnicli.streams.class_names import ClassIndex, read_classes

        measure = None
        if probe:
            from omnicli.media.probe import probe_media

            measure = partial(probe_media, root=streams.root)
        known = ClassIndex(read_classes(classes)) if classes else None
        return lambda records, on_drop: index_records(
            records, labels=labels, classes=known, source=source, measure=measure,
            workers=workers or available_cores(), on_drop=on_drop,
        )  # fmt: skip

    options = {
        "labels": labels, "classes": digest_of_list(classes), "source": source, "probe": probe,
        "frames": streams.frames, "list_format": streams.list_format, "root": streams.root,
    }  # fmt: skip
    spec = StageSpec(
        name="index", make=make, options=options, observe=count_without_query,
        closing=partial(lines_without_query, inputs=streams.inputs or [], labels=labels),
    )  # fmt: skip
    run_stage(spec, streams, logging)
