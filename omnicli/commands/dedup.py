"""Drop web pictures and videos that copy a target sample, so that no validation data are trained on (Sec. 3.3).

    omni dedup --target k400_val.jsonl --rejects copies.jsonl web.jsonl > fair.jsonl

    omni report fair.jsonl --rejects copies.jsonl -o copies.html

    omni features --shards target_feats/ k400/ > target.jsonl
    omni dedup --target target_feats/ --score-only web.jsonl -o scored.jsonl
    omni dedup --threshold 0.8 scored.jsonl > fair.jsonl

Each frame is a whitened feature of an ImageNet ResNet-50; a record leaves if its most similar pair of frames is at
least as similar as crops of one target frame are to each other on average. What leaves carries `match`: the target's id
and path, both times in seconds, the cosine. Look at it: in the paper fewer than one flag in ten was a real copy.

Memory: 530 bytes a target frame at 256 dimensions (1.3 GB for 240,000 videos of 10 s; twice that where the machine has
no native bfloat16), 1 GB while whitening is fitted, 0.3 GB for blocks, however long the web stream is. TMPDIR: 1 KB a
target frame, and for a while 2 bytes for each of its features (4 KB). --within holds as much again for each web frame
that stays.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicli.commands import options as o
from omnicli.commands.running import StageRun, digest_of, run_stage
from omnicli.commands.stream_options import StreamOptions
from omnicli.errors import InputError, ModelError, UsageError

if TYPE_CHECKING:
    from omnicli.extraction import Extract
    from omnicli.reference import Target
    from omnicli.stages.dedup import Rule
    from omnicli.streams.flow import Stage
    from omnicli.streams.records import Record

DEFAULT_BACKBONE = "resnet50"  # Sec. 3.3
DECIDE = "Who leaves"
MODEL = "Features"


def command(
    inputs: o.Inputs = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="INPUT", help="What must not be copied, above all validation data: any INPUT, "
                     "or a folder of feature shards; may be repeated.", rich_help_panel=DECIDE),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=-1.0, max=1.0, metavar="X", help="Drop similarity at or above this.",
                     show_default="mean similarity of five crops of the same target frame", rich_help_panel=DECIDE),
    ] = None,
    score_only: Annotated[
        bool, typer.Option("--score-only", help="Instead: keep all, with `similarity` and `nearest`; decide later "
                           "with --threshold and without --target.", rich_help_panel=DECIDE)
    ] = False,
    within: Annotated[
        bool, typer.Option("--within", help="Besides, drop what repeats an earlier record that stays.",
                           rich_help_panel=DECIDE)
    ] = False,
    whiten_dim: Annotated[
        int, typer.Option("--whiten-dim", min=1, metavar="N", help="Dimensions after whitening, at most.",
                          rich_help_panel=DECIDE)
    ] = 256,
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", metavar="NAME", help="Any timm backbone.", show_default=DEFAULT_BACKBONE,
                     rich_help_panel=MODEL),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="FILE", help="Its weights.", show_default="ImageNet's, downloaded",
                     rich_help_panel=MODEL),
    ] = None,
    fps: Annotated[
        float, typer.Option("--fps", min=0.001, help="Frames a second of a video.", rich_help_panel=MODEL)
    ] = 1.0,
    as_media: Annotated[
        bool, typer.Option("--as-media", help="Rows of feature shards leave as the pictures and videos they were made "
                           "of, for the stages after this one.", rich_help_panel=MODEL)
    ] = False,
    shards_dir: Annotated[
        Path | None,
        typer.Option("--shards", metavar="DIR", help="Keep the features of what stays in HDF5 shards in this folder; "
                     "each is an INPUT.", rich_help_panel=o.STREAMS),
    ] = None,
    batch_size: o.BatchSize = 32,
    workers: o.Workers = None,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    seed: o.Seed = 0,
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
    targets = target or []
    _check_options(targets, inputs or [], threshold, score_only=score_only, within=within)
    if not targets and (backbone or weights or shards_dir or as_media):
        raise UsageError("--backbone, --weights, --shards and --as-media go with --target")
    from omnicli.stages.dedup import Rule

    rule = Rule(score_only=score_only, within=within, as_media=as_media, keep_features=shards_dir is not None)
    maker = {"backbone": backbone or DEFAULT_BACKBONE}
    if weights:
        maker["weights"] = digest_of(weights, ModelError)
    search = {"whiten_dim": whiten_dim, "device": device, "precision": precision}
    making = {
        "target": _describe_target(targets),
        **maker,
        "fps": fps,
        "batch_size": batch_size,
        **search,
        "seed": seed,
    }
    facts: dict[str, Any] = {}
    lines: list[str] = []

    def make() -> "Stage":
        from omnicli.extraction import FrameReader
        from omnicli.stages.dedup import decide_again, dedup_records

        if not targets:
            return partial(_as_stage, partial(decide_again, threshold=threshold or 0.0))
        load = partial(_load_extract, maker["backbone"], weights, fps, root, batch_size, workers, device, precision)
        reader = FrameReader(load, maker=maker, root=root)
        learnt = _learn(targets, reader, root, threshold, rule, whiten_dim, seed, device, precision)
        lines.extend(_say_target(learnt))
        facts.update(threshold=learnt.threshold, threshold_origin=learnt.origin, target_frames=len(learnt.catalogue))
        return partial(_as_stage, partial(dedup_records, target=learnt, reader=reader, rule=rule))

    run = StageRun(
        name="dedup",
        make=make,
        options={"threshold": threshold, **asdict(rule), **(making if targets else {})},
        whole_stream="--within" if within else None,
        shard_kind="features",
        shard_keeps_paths=True,
        closing=lambda counters: lines,
        facts=facts,
    )
    run_stage(run, StreamOptions(
        inputs=inputs, files_from=files_from, null_separated=null_separated, root=root, limit=limit, shard=shard,
        out=out, rejects=rejects, summary=summary, shards_dir=shards_dir, resume=resume, max_bad=max_bad,
        missing=missing, shards_total=shards_total, dry_run=dry_run, quiet=quiet, verbose=verbose,
    ))  # fmt: skip


def _check_options(
    targets: Sequence[str], inputs: Sequence[str], threshold: float | None, *, score_only: bool, within: bool
) -> None:
    """What is compared with what, and how it is decided. Raises UsageError."""
    if not targets and threshold is None:
        raise UsageError("give --target, or --threshold to decide again by the similarity that --score-only wrote")
    if not targets and (score_only or within):
        raise UsageError("--score-only and --within go with --target")
    if score_only and (threshold is not None or within):
        clash = "--within" if within else "--threshold"
        raise UsageError(f"--score-only drops nothing and {clash} does: give one")
    if "-" in targets:
        raise UsageError("--target -: the target is read before the stream; give a file")
    folders = {Path(name).parent for name in targets if name.endswith((".h5", ".hdf5"))}
    strays = [name for name in inputs if name.endswith((".h5", ".hdf5")) and Path(name).parent in folders]
    if strays:
        raise UsageError(
            f"{strays[0]} lies beside the shard given to --target: a shell gives only the first of *.h5 to the option; "
            "name the folder"
        )


def _describe_target(targets: Sequence[str]) -> list[list[str]]:
    """Names, and digests of those that are files: another target is another run. Raises InputError."""
    return [[name, *([digest_of(Path(name), InputError)] if Path(name).is_file() else [])] for name in targets]


def _load_extract(
    backbone: str,
    weights: Path | None,
    fps: float,
    root: str | None,
    batch_size: int,
    workers: int | None,
    device: str,
    precision: str,
) -> "Extract":
    """``extract_features`` with its model."""
    from omnicli.engine.device import pick_device, pick_precision
    from omnicli.models.teacher import load_extractor
    from omnicli.scoring import extract_features

    where = pick_device(device)
    teacher = load_extractor(backbone, weights, where, pick_precision(precision, where))
    return partial(extract_features, teacher=teacher, fps=fps, root=root, batch_size=batch_size, workers=workers)


def _learn(
    targets: Sequence[str],
    reader: Any,
    root: str | None,
    threshold: float | None,
    rule: "Rule",
    whiten_dim: int,
    seed: int,
    device: str,
    precision: str,
) -> "Target":
    """Read the target."""
    from omnicli.engine.device import pick_device, pick_precision, set_threads
    from omnicli.reference import learn_target
    from omnicli.streams.inputs import read_records

    where = pick_device(device)
    set_threads()
    unreadable: list[tuple[str, str]] = []
    records = read_records(
        targets, root=root, on_drop=lambda record, why: unreadable.append((str(record.get("id")), why))
    )
    return learn_target(
        records, reader=reader, threshold=threshold, needs_threshold=not rule.score_only, whiten_dim=whiten_dim,
        seed=seed, device=where, precision=pick_precision(precision, where), unreadable=unreadable,
    )  # fmt: skip


def _as_stage(stage: Callable[..., "Iterator[Record]"], records: "Iterator[Record]", on_drop: Any) -> Any:
    return stage(records, on_drop=on_drop)


def _say_target(target: "Target") -> list[str]:
    """Closing lines: what was compared with what, and by which threshold."""
    whitening = target.whitening
    how = f"whitened to {whitening.num_dims} dimensions" if whitening.matrix is not None else (
        f"{whitening.num_dims} features, too few different frames to whiten them"
    )  # fmt: skip
    lines = [f"target: {len(target.catalogue.records):,} records, {len(target.catalogue):,} frames, {how}"]
    if target.unreadable:
        name, why = target.unreadable[0]
        lines.append(f"{len(target.unreadable):,} target records cannot be read and guard nothing: {name} ({why}), ...")
    shown = "none" if target.threshold is None else f"{target.threshold:g}"
    return [*lines, f"threshold {shown}: {target.origin}"]
