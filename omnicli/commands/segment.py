"""Find where long web videos show their class: frames for 2D teachers, clips for 3D teachers.

    omni segment --teacher tsn.pth web_untrimmed/ > snippets.jsonl

    omni segment --teacher slowonly.pth web_untrimmed/ | omni pack --shards packed/ - > clips.jsonl

    omni segment --threshold 0.7 snippets.jsonl > stricter.jsonl

A 2D teacher scores one frame per second. A video stays one record: positive_sec holds the times of frames that reach
--threshold, negative_sec those of the others. Training draws one positive and two negative frames as its three
snippets. Without a teacher, frame_scores lets another --threshold, and other_scores another --label-by, decide again,
also over the files written by --rejects.

A 3D teacher scores clips of --clip-sec. Each positive clip becomes a record PARENT#START-END with parent, start_sec and
end_sec, which refer to the video. --shards writes the frames of kept records, as omni pack does with its defaults. With
--score-only all clips are kept, and omni filter --threshold decides. With --per-video a video is one record with
positive_clips, of which training draws one per visit, so that a long video counts as much as a short one.

With a teacher that learnt from few labelled clips, whose scores are low everywhere, a frame or clip of a video of known
class is positive if that class is the teacher's best one (--rule query); --rule paper takes --threshold.

The class of a video is its label, else the class of its query, else the class with the best mean score. A video without
a positive frame or clip is rejected as "no positive". Images, and clips made from images, pass unchanged. Rows of
features (omni features) of the teacher's own backbone, taken at --fps, are scored by its classifier alone; --as-media
writes them as the videos they were made from.

Memory: a video is read as a stream, one per worker, and only its scores are kept. 2D: about 20 MB per worker. 3D: the
frames of three clips per worker, about 70 MB for 10 views of 8 frames at 224 pixels. --shards adds the JPEG files of
the positive clips of one video.
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicli.commands.options.compute import ComputeOptions, Seed, SegmentPrecision
from omnicli.commands.options.digests import digest_of_list, digests_of_models
from omnicli.commands.options.groups import SELECTION, Adapt, refuse_given, takes_groups
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.model import ModelOptions, QueryMap, strength_of
from omnicli.commands.options.segment import SamplingOptions, SegmentOptions
from omnicli.commands.options.streams import AsMedia, ShardsDir, StreamOptions
from omnicli.commands.run.one_output import StageSpec
from omnicli.commands.run.runner import run_stage
from omnicli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from omnicli.data.query_labels import Queries
    from omnicli.inference.protocols import ScoreVideos
    from omnicli.models.strength import Strength
    from omnicli.stages.segment.stage import SegmentRule
    from omnicli.streams.record import OnDrop, Record
    from omnicli.streams.stage_run import Stage

OF_A_TEACHER = ("rule_name", "query_map", "classes", "fps", "frames", "clip_sec", "num_clips", "num_frames",
                "frame_interval", "model", "batch_size", "device", "precision", "compile_mode", "seed",
                "per_video", "cut_labelled")  # fmt: skip


@takes_groups
def command(
    *,
    context: typer.Context,
    teacher: Annotated[
        list[Path] | None,
        typer.Option("--teacher", metavar="FILE", help="Checkpoint of a teacher, 2D or 3D; repeat it to average the "
                     "scores of several, all 2D or all 3D.", rich_help_panel=SELECTION),
    ] = None,
    options: SegmentOptions,
    sampling: SamplingOptions,
    streams: Annotated[StreamOptions, Adapt(shards_dir=ShardsDir)],
    model: Annotated[ModelOptions, Adapt("num_segments")],
    compute: Annotated[ComputeOptions, Adapt(precision=SegmentPrecision)],
    logging: LoggingOptions,
    query_map: QueryMap = None,
    as_media: AsMedia = False,
    seed: Seed = 0,
) -> None:  # fmt: skip
    teachers = teacher or []
    options.check()
    if not teachers:
        refuse_given(context, OF_A_TEACHER, "needs --teacher; without one, stored frame_scores decide")
        if streams.shards_dir is None:
            refuse_given(context, ("workers",), "needs --teacher or --shards: stored scores read no media")
    digests = digests_of_models(teachers)
    from omnicli.stages.filter.closing import check_queries
    from omnicli.stages.segment.closing import count_scored
    from omnicli.stages.segment.stage import is_untouched, segment_records

    strength = strength_of(teachers) if options.is_automatic else None
    rule = options.rule(has_teacher=bool(teachers), strength=strength)
    scoring = {**sampling.deciding(), **model.described(), **compute.deciding()}
    described = asdict(rule)
    if not rule.per_video:  # outputs of earlier versions, which did not know it, can be resumed
        del described["per_video"]
    deciding = {
        **described, "teacher": digests, **(scoring if teachers else {}),
        "classes": digest_of_list(model.classes), "query_map": digest_of_list(query_map), "seed": seed,
        "as_media": as_media,
    }  # fmt: skip

    classes: list[str] = []
    made: list[Queries] = []

    def make() -> "Stage":
        from omnicli.data.query_labels import Queries, read_query_map
        from omnicli.streams.class_names import ClassIndex
        from omnicli.streams.shards.features import output_as_media

        score, queries = None, None
        if teachers:
            chosen = compute.exact_if_auto() if rule.label_by == "teacher" else compute
            score, names = _load_scorer(teachers, model, chosen, sampling, streams.root, per_video=rule.per_video)
            classes[:] = names
            queries = Queries(ClassIndex(names), read_query_map(query_map) if query_map else {}, seed)
            made.append(queries)

        def stage(records: "Iterable[Record]", on_drop: "OnDrop") -> "Iterator[Record]":
            return segment_records(records, score=score, queries=queries, rule=rule, on_drop=on_drop)

        segmented = output_as_media(stage, streams.root) if as_media else stage
        if streams.shards_dir is None:
            return segmented
        from omnicli.stages.pack import PackOptions, packed_stage

        packing = PackOptions(root=streams.root)
        return packed_stage(segmented, packing=packing, workers=compute.num_workers(), passes=is_untouched)

    spec = StageSpec(
        name="segment", make=make, options=deciding, one_to_many=True, shard_kind="frames", observe=count_scored,
        check=partial(check_queries, made=made) if options.label_by == "query" else None,
        closing=partial(_closing, rule=rule, strength=strength), classes=classes, by_query=True,
    )  # fmt: skip
    run_stage(spec, streams, logging)


def _closing(counters: "Mapping[str, int]", *, rule: "SegmentRule", strength: "Strength | None") -> list[str]:
    from omnicli.stages.segment.closing import score_curve

    why = f" (the teacher {strength.describe()})" if strength else ""
    chosen = [f"by best class, where the class of a video is known{why}"] if rule.best_class else []
    return [*chosen, *score_curve(counters)]


def _load_scorer(
    paths: list[Path],
    model: ModelOptions,
    compute: ComputeOptions,
    sampling: SamplingOptions,
    root: str | None,
    *,
    per_video: bool,
) -> "tuple[ScoreVideos, tuple[str, ...]]":
    """``score_videos`` with its teachers, and their classes."""
    from omnicli.inference.ensemble import align_classes
    from omnicli.inference.video_scorer import check_same_kind, score_videos

    teachers = model.load(paths, compute, with_exact=True, is_long=True)
    is_2d = check_same_kind(teachers)
    if per_video and is_2d:
        raise UsageError(f"--per-video is for 3D teachers, and {paths[0]} is 2D, whose videos stay one record anyway")
    chosen = sampling.resolve(is_2d=is_2d, name=paths[0], root=root)
    score = partial(
        score_videos, models=teachers, sampling=chosen, batch_size=compute.batch_size, workers=compute.workers
    )  # fmt: skip
    return score, align_classes(teachers)
