"""Turn folders, lists and tars of media into records.

    omni index web_imgs/ --source gg-k400 > web.jsonl

    omni index train/ --labels --classes classes.txt --root train -o train.jsonl
    omni index web_imgs/ --records-per-file 10000 -o records/
    omni index kinetics_val.csv --root /data/k400/val --probe -o val.jsonl
    omni index hmdb51_splits/*_test_split1.txt --split train --root hmdb51 --classes classes.txt -o train.jsonl

The name of a folder below INPUT becomes the query of its files, or their class with --labels. Several folders side by
side, such as web/images/*, give their own names. Hidden files and folders are skipped. Annotation lists of mmaction,
Kinetics, UCF101, HMDB51 and OmniSource's raw videos are detected. --root is removed from the paths; later stages take
it again, so that data can move.
"""

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import typer

from omnicli.commands.options.compute import Seed, Workers
from omnicli.commands.options.groups import Adapt, refuse_given, takes_groups
from omnicli.commands.options.index import DATA_PREFIX, EACH_CLIP, FRAMES, LIST_FORMAT, RAW_VIDEOS, SPLIT, IndexOptions
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.options.subset import SubsetOptions
from omnicli.commands.run.advice import count_without_query, lines_without_query
from omnicli.commands.run.one_output import StageSpec
from omnicli.commands.run.record_files import run_in_files
from omnicli.commands.run.runner import run_stage
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.stage_run import Stage

STREAMS = Adapt(
    frames=FRAMES, list_format=LIST_FORMAT, split=SPLIT, each_clip=EACH_CLIP, raw_videos=RAW_VIDEOS,
    data_prefix=DATA_PREFIX,
)  # fmt: skip


@takes_groups
def command(
    context: typer.Context,
    streams: Annotated[StreamOptions, STREAMS],
    logging: LoggingOptions,
    options: IndexOptions,
    subset: SubsetOptions,
    workers: Workers = None,
    seed: Seed = 0,
) -> None:
    subset.check()
    if not subset.is_drawn:
        refuse_given(context, ("seed",), "needs --max-minutes or --label-share: nothing else is drawn")
    if not options.probe:
        refuse_given(context, ("workers",), "needs --probe: nothing else opens files in threads")

    def make() -> "Stage":
        from omnicli.cpus import available_cores
        from omnicli.stages.index import index_records

        measure = None
        if options.probe:
            from omnicli.media.probe import probe_media

            measure = partial(probe_media, root=streams.root)
        known, class_map = options.known_classes(), options.read_map()

        def stage(records: Iterator[Record], on_drop: OnDrop) -> Iterator[Record]:
            return index_records(
                records, labels=options.labels, classes=known, class_map=class_map, source=options.source,
                measure=measure, workers=workers or available_cores(), on_drop=on_drop,
            )  # fmt: skip

        return subset.applied(stage, seed)

    later = {"split": streams.split, "each_clip": streams.each_clip, "raw_videos": streams.raw_videos,
             "data_prefix": streams.data_prefix}  # fmt: skip
    deciding = {
        **options.deciding(), "frames": streams.frames, "list_format": streams.list_format, "root": streams.root,
        **{name: value for name, value in later.items() if value}, **subset.deciding(),
        **({"seed": seed} if subset.is_drawn else {}),
    }  # fmt: skip
    spec = StageSpec(
        name="index", make=make, options=deciding, whole_stream=subset.whole_stream, observe=count_without_query,
        closing=partial(lines_without_query, inputs=streams.inputs or [], labels=options.labels),
    )  # fmt: skip
    if options.records_per_file is None:
        run_stage(spec, streams, logging)
    else:
        run_in_files(
            lambda one: run_stage(spec, one, logging), streams, options.records_per_file, is_dry=logging.dry_run
        )  # fmt: skip
