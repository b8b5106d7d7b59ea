"""Find where long web videos show their class: frames for 2D models, pieces of ten seconds for 3D models.

    omni segment --teacher tsn.pth web_untrimmed/ > snippets.jsonl

    omni segment --teacher slowonly.pth web_untrimmed/ | omni pack --shards packed/ - > clips.jsonl

    omni segment --threshold 0.7 snippets.jsonl > stricter.jsonl

A 2D teacher scores one frame a second. A video stays one record, with the times of the frames it believes in
positive_sec and of the others in negative_sec; training draws one of the first and two of the second as its three
snippets. frame_scores lets any threshold decide again without a teacher; --rejects is an input for that too.

A 3D teacher scores pieces of --clip-sec. Each positive piece becomes a record PARENT#START-END with parent, start_sec
and end_sec, which refer to the video. --shards writes the frames of what stays, as omni pack does with its defaults.
With --score-only all pieces stay, and omni filter --threshold decides.

The class of a video is its label, else its query's class, else the one with the best mean score. A video with no
positive moment leaves as "no positive". Images and clips made of images pass untouched. Rows of features (omni
features) of the teacher's own backbone, taken at --fps, are scored by its classifier alone; --as-media lets them leave
as the videos they are of.

Memory: a video is read as a stream, only its scores are kept; a worker reads one video. 2D: some 20 MB a worker (16
whole frames more where teachers differ in input size). 3D: the frames of three pieces a worker; 10 clips of 8 frames at
224 pixels take some 70 MB. --shards: besides, the JPEG files of the positive pieces of one video.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicli.commands.options import shared as o
from omnicli.commands.options.checks import StreamOptions, refuse_given
from omnicli.commands.run.runner import StageSpec, digest_of, run_stage
from omnicli.cpus import available_cores
from omnicli.errors import InputError, ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from omnicli.inference.protocols import ScoreVideos
    from omnicli.streams.record import OnDrop, Record
    from omnicli.streams.stage_run import Stage

DEFAULT_THRESHOLD = 0.5  # Ours: the paper gives none
DEFAULT_FPS = 1.0  # Sec. 3.5
DEFAULT_CLIP_SEC = 10.0  # Sec. 3.5
DECIDE = "What is positive"
LOOK = "What is looked at"
OF_A_TEACHER = ("label_by", "query_map", "classes", "fps", "frames", "clip_sec", "num_clips", "num_frames",
                "frame_interval", "model", "batch_size", "device", "precision", "seed")  # fmt: skip


class LabelBy(StrEnum):
    """Where the class of a video comes from."""

    known = "known"
    query = "query"
    teacher = "teacher"


class Frames(StrEnum):
    """Which frame stands for a wanted time."""

    exact = "exact"
    keyframe = "keyframe"


def command(
    context: typer.Context,
    inputs: o.Inputs = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option("--teacher", metavar="FILE", help="Checkpoint of a teacher, 2D or 3D; several of a kind vote.",
                     rich_help_panel=DECIDE),
    ] = None,
    threshold: Annotated[
        float,
        typer.Option("--threshold", metavar="X", min=0.0, max=1.0, help="Positive is a score for the video's class at "
                     "or above this.", rich_help_panel=DECIDE),
    ] = DEFAULT_THRESHOLD,
    score_only: Annotated[
        bool, typer.Option("--score-only", help="Keep videos and pieces without a positive moment too.",
                           rich_help_panel=DECIDE)
    ] = False,
    label_by: Annotated[
        LabelBy | None,
        typer.Option("--label-by", help="known: label, else query, else best mean score. query: label, else query; "
                     "videos without leave. teacher: best mean score.", show_default="known", rich_help_panel=DECIDE),
    ] = None,
    query_map: Annotated[
        Path | None,
        typer.Option("--query-map", metavar="FILE", help="Lines `query<TAB>class name`, for queries that are no class "
                     "name.", rich_help_panel=DECIDE),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option("--classes", metavar="FILE", help="Class names, one a line, of a teacher of another program.",
                     rich_help_panel=DECIDE),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option("--fps", metavar="X", min=0.001, help="2D: frames a second.", show_default=f"{DEFAULT_FPS:g}",
                     rich_help_panel=LOOK),
    ] = None,
    frames: Annotated[
        Frames | None,
        typer.Option("--frames", help="2D: the frame on screen at each time, or the nearest keyframe, about five "
                     "times cheaper.", show_default="exact", rich_help_panel=LOOK),
    ] = None,
    clip_sec: Annotated[
        float | None,
        typer.Option("--clip-sec", metavar="X", min=0.1, help="3D: seconds of a piece; a last piece under half of it "
                     "is left out.",
                     show_default=f"{DEFAULT_CLIP_SEC:g}", rich_help_panel=LOOK),
    ] = None,
    num_clips: Annotated[
        int | None,
        typer.Option("--num-clips", min=1, metavar="N", help="3D: clips of a piece that the teacher looks at.",
                     show_default="10", rich_help_panel=LOOK),
    ] = None,
    num_frames: o.NumFrames = None,
    frame_interval: o.FrameInterval = None,
    model: o.ModelName = None,
    batch_size: o.BatchSize = 32,
    workers: o.Workers = None,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    seed: o.Seed = 0,
    as_media: o.AsMedia = False,
    shards_dir: o.ShardsDir = None,
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
    teachers = teacher or []
    foreign = {"name": model, "num_frames": num_frames, "frame_interval": frame_interval}
    look = {"fps": fps, "frames": frames.value if frames else None, "clip_sec": clip_sec, "num_clips": num_clips}
    if not teachers:
        _refuse_without_teacher(context, packs=shards_dir is not None)
    from omnicli.stages.filter import check_queries
    from omnicli.stages.segment import SegmentRule, count_moments, is_untouched, score_curve, segment_records

    rule = SegmentRule(threshold=threshold, label_by=(label_by or LabelBy.known).value, score_only=score_only)
    scoring = {**look, **foreign, "batch_size": batch_size, "device": device, "precision": precision}
    deciding = {
        **asdict(rule),
        "teacher": [digest_of(path, ModelError) for path in teachers],
        **(scoring if teachers else {}),
        "classes": digest_of(classes, InputError) if classes else None,
        "query_map": digest_of(query_map, InputError) if query_map else None,
        "seed": seed,
        "as_media": as_media,
    }

    def make() -> "Stage":
        from omnicli.data.query_labels import Queries, read_query_map
        from omnicli.streams.class_names import ClassIndex, read_classes
        from omnicli.streams.shards.features import leaving_as_media

        score, queries = None, None
        if teachers:
            told = {**foreign, "classes": tuple(read_classes(classes)) if classes else None}
            score, names = _load_scorer(teachers, told, look, root, batch_size, workers, device, precision)
            queries = Queries(ClassIndex(names), read_query_map(query_map) if query_map else {}, seed)

        def stage(records: "Iterable[Record]", on_drop: "OnDrop") -> "Iterator[Record]":
            return segment_records(records, score=score, queries=queries, rule=rule, on_drop=on_drop)

        segmented = leaving_as_media(stage, root) if as_media else stage
        if shards_dir is None:
            return segmented
        from omnicli.stages.pack import PackOptions, packed_stage

        threads = workers or available_cores()
        return packed_stage(segmented, packing=PackOptions(root=root), workers=threads, passes=is_untouched)

    run = StageSpec(
        name="segment",
        make=make,
        options=deciding,
        pieces=True,
        shard_kind="frames",
        observe=count_moments,
        check=check_queries if label_by == LabelBy.query else None,
        closing=score_curve,
    )
    run_stage(run, StreamOptions(
        inputs=inputs, files_from=files_from, null_separated=null_separated, root=root, limit=limit, shard=shard,
        out=out, rejects=rejects, summary=summary, shards_dir=shards_dir, resume=resume, max_bad=max_bad,
        missing=missing, shards_total=shards_total, dry_run=dry_run, quiet=quiet, verbose=verbose,
    ))  # fmt: skip


def _refuse_without_teacher(context: typer.Context, *, packs: bool) -> None:
    """Stored scores have a class and times: nothing but the threshold is left to choose. Raises UsageError."""
    refuse_given(
        context, OF_A_TEACHER, "goes with --teacher; without one, --threshold decides over stored frame_scores"
    )
    if not packs:
        refuse_given(context, ("workers",), "goes with --teacher or --shards: stored scores need no files")


def _load_scorer(
    paths: Sequence[Path],
    told: Mapping[str, Any],
    look: Mapping[str, Any],
    root: str | None,
    batch_size: int,
    workers: int | None,
    device: str,
    precision: str,
) -> "tuple[ScoreVideos, tuple[str, ...]]":
    """``score_videos`` with its teachers, and their classes."""
    from omnicli.inference.device import pick_device, pick_precision, set_threads
    from omnicli.inference.ensemble import align_classes
    from omnicli.inference.video_scorer import VideoSampling, check_same_kind, score_videos
    from omnicli.models.loading import load_model

    where = pick_device(device)
    set_threads()
    teachers = [load_model(path, where, pick_precision(precision, where), **told) for path in paths]
    is_2d = check_same_kind(teachers)
    for option in ("clip_sec", "num_clips") if is_2d else ("fps", "frames"):
        if look[option] is not None:
            kind, other = ("2D", "3D") if is_2d else ("3D", "2D")
            raise UsageError(f"--{option.replace('_', '-')} is for {other} teachers, and {paths[0]} is {kind}")
    moments = VideoSampling(root=root, **{option: value for option, value in look.items() if value is not None})
    score = partial(score_videos, models=teachers, sampling=moments, batch_size=batch_size, workers=workers)
    return score, align_classes(teachers)
