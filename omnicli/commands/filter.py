"""Keep the web images and videos a teacher believes, and label them.

    omni filter --teacher tsn.pth web_imgs/ > kept.jsonl

    omni filter --teacher tsn.pth --score-only web.jsonl -o scored.jsonl
    omni filter --keep-fraction 0.3 --per query --label-by query --classes classes.txt scored.jsonl > kept.jsonl

Each record gains pseudo_label, pseudo_class, confidence, top_scores and query_score. A record stays if its confidence
reaches --threshold, or by one of the rules marked Instead; the closing lines show what other thresholds would keep.
Without --teacher, the scores that an earlier run wrote decide again, at no cost; what --rejects wrote is an input, too.
Images need a 2D teacher (tsn-...); of videos, 2D and 3D teachers judge. Rows of features (omni features) of the
teacher's own backbone are judged by its classifier alone, in no time; --as-media lets them leave as the media they are
of.
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
from omnicli.errors import InputError, ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from omnicli.inference.protocols import ScoreRecords
    from omnicli.streams.record import OnDrop, Record
    from omnicli.streams.stage_run import Stage

DEFAULT_THRESHOLD = 0.5  # Ours: the paper gives none
DECIDE = "Who is kept"
OF_A_TEACHER = ("num_segments", "num_clips", "num_frames", "frame_interval", "model", "batch_size", "workers", "device",
                "precision")  # fmt: skip


class LabelBy(StrEnum):
    """Where the pseudo-label comes from."""

    teacher = "teacher"
    query = "query"


class Per(StrEnum):
    """What makes a group for --keep-fraction and --top."""

    klass = "class"
    query = "query"
    source = "source"


def command(
    context: typer.Context,
    inputs: o.Inputs = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option("--teacher", metavar="FILE", help="Checkpoint of a teacher; the scores of several are averaged.",
                     rich_help_panel=DECIDE),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="X", min=0.0, max=1.0, help="Keep confidence at or above this.",
                     show_default=str(DEFAULT_THRESHOLD), rich_help_panel=DECIDE),
    ] = None,
    keep_fraction: Annotated[
        float | None,
        typer.Option("--keep-fraction", min=0.0, max=1.0, metavar="F",
                     help="Instead: keep this share, the most confident.", rich_help_panel=DECIDE),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option("--top", min=0, metavar="K", help="Instead: keep the K most confident.", rich_help_panel=DECIDE),
    ] = None,
    per: Annotated[
        Per | None,
        typer.Option("--per", help="Share or number of each of these, not of the whole stream.",
                     rich_help_panel=DECIDE),
    ] = None,
    score_only: Annotated[
        bool, typer.Option("--score-only", help="Instead: keep all, decide later from the written scores.",
                           rich_help_panel=DECIDE)
    ] = False,
    label_by: Annotated[
        LabelBy | None,
        typer.Option("--label-by", help="teacher: label = best class (the paper). query: label = the class "
                     "searched for, confidence = the teacher's score for it.", show_default="teacher",
                     rich_help_panel=DECIDE),
    ] = None,
    agree: Annotated[
        bool, typer.Option("--agree", help="Besides, keep only where the best class is the one searched for.",
                           rich_help_panel=DECIDE)
    ] = False,
    query_map: Annotated[
        Path | None,
        typer.Option("--query-map", metavar="FILE", help="Lines `query<TAB>class name`, for queries that are no class "
                     "name.", rich_help_panel=DECIDE),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option("--classes", metavar="FILE", help="Class names, one a line: of a teacher of another program, or "
                     "to label again without a teacher.", rich_help_panel=DECIDE),
    ] = None,
    num_segments: Annotated[
        int | None,
        typer.Option("--num-segments", min=1, metavar="N", help="Snippets of a video that a 2D teacher looks at.",
                     show_default="as in training", rich_help_panel=o.COMPUTE),
    ] = None,
    num_clips: o.NumClips = 10,
    num_frames: o.NumFrames = None,
    frame_interval: o.FrameInterval = None,
    model: o.ModelName = None,
    batch_size: o.BatchSize = 32,
    workers: o.Workers = None,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    seed: o.Seed = 0,
    as_media: o.AsMedia = False,
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
    _check_rule(threshold, keep_fraction, top, score_only, per)
    if not teachers:
        _check_without_teacher(context, {"--label-by": label_by, "--agree": agree, "--query-map": query_map}, classes)
    from omnicli.stages.filter import FilterRule, check_queries, count_confidence, filter_records, keep_curve

    decides_alone = keep_fraction is None and top is None and not score_only
    rule = FilterRule(
        label_by=(label_by or LabelBy.teacher).value if teachers or classes else "stored",
        threshold=(DEFAULT_THRESHOLD if threshold is None else threshold) if decides_alone else None,
        keep_fraction=keep_fraction,
        top=top,
        per=per.value if per else None,
        agree=agree,
        score_only=score_only,
    )
    foreign = {"name": model, "num_frames": num_frames, "frame_interval": frame_interval}
    views = {"num_segments": num_segments, "num_clips": num_clips}
    scoring = {**views, **foreign, "batch_size": batch_size, "device": device, "precision": precision}
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

        score, names = None, tuple(read_classes(classes)) if classes else ()
        if teachers:
            told = {**foreign, "num_segments": num_segments, "classes": names or None}
            score, names = _load_scorer(teachers, told, {**views, "root": root}, batch_size, workers, device, precision)
        queries = Queries(ClassIndex(names), read_query_map(query_map) if query_map else {}, seed)

        def stage(records: "Iterable[Record]", on_drop: "OnDrop") -> "Iterator[Record]":
            return filter_records(records, score=score, queries=queries, rule=rule, on_drop=on_drop)

        return leaving_as_media(stage, root) if as_media else stage

    whole_stream = "--keep-fraction" if keep_fraction is not None else "--top" if top is not None else None
    run = StageSpec(
        name="filter",
        make=make,
        options=deciding,
        whole_stream=whole_stream,
        observe=count_confidence,
        check=check_queries if agree or label_by == LabelBy.query else None,
        closing=keep_curve,
    )
    run_stage(run, StreamOptions(
        inputs=inputs, files_from=files_from, null_separated=null_separated, root=root, limit=limit, shard=shard,
        out=out, rejects=rejects, summary=summary, resume=resume, max_bad=max_bad, missing=missing,
        shards_total=shards_total, dry_run=dry_run, quiet=quiet, verbose=verbose,
    ))  # fmt: skip


def _check_rule(
    threshold: float | None, keep_fraction: float | None, top: int | None, score_only: bool, per: Per | None
) -> None:
    """One way to decide. Raises UsageError."""
    given = {
        "--threshold": threshold is not None,
        "--keep-fraction": keep_fraction is not None,
        "--top": top is not None,
        "--score-only": score_only,
    }
    chosen = [name for name, is_given in given.items() if is_given]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} decide in different ways: give one")
    if per and not (given["--keep-fraction"] or given["--top"]):
        raise UsageError("--per goes with --keep-fraction or --top")


def _check_without_teacher(context: typer.Context, of_labels: Mapping[str, Any], classes: Path | None) -> None:
    """Stored scores decide: nothing is looked at, and labels need class names. Raises UsageError."""
    refuse_given(context, OF_A_TEACHER, "goes with --teacher: stored scores need no files")
    given = [name for name, value in of_labels.items() if value]
    if given and not classes:
        raise UsageError(f"{given[0]} needs class names: give --teacher, or --classes with stored scores")


def _load_scorer(
    paths: Sequence[Path],
    told: Mapping[str, Any],
    look: Mapping[str, Any],
    batch_size: int,
    workers: int | None,
    device: str,
    precision: str,
) -> "tuple[ScoreRecords, tuple[str, ...]]":
    """``score_records`` with its teachers, and their classes."""
    from omnicli.inference.device import pick_device, pick_precision, set_threads
    from omnicli.inference.ensemble import align_classes
    from omnicli.inference.scorer import score_records
    from omnicli.inference.views import ViewOptions
    from omnicli.models.loading import load_model

    where = pick_device(device)
    set_threads()
    teachers = [load_model(path, where, pick_precision(precision, where), **told) for path in paths]
    views = ViewOptions(**look)
    score = partial(score_records, models=teachers, views=views, batch_size=batch_size, workers=workers)
    return score, align_classes(teachers)
