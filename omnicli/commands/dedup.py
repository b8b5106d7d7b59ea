"""Drop web images and videos that copy a target sample, so that no validation data are trained on (Sec. 3.3).

    omni dedup --target k400_val.jsonl --rejects copies.jsonl web.jsonl > fair.jsonl

    omni report fair.jsonl --rejects copies.jsonl -o copies.html

    omni features --shards target_feats/ k400/ > target.jsonl
    omni dedup --target target_feats/ --score-only web.jsonl -o scored.jsonl
    omni dedup --threshold 0.8 scored.jsonl > fair.jsonl

    omni dedup --method census --target k400_val/ web_videos/ > fair.jsonl

Each frame is a whitened feature of an ImageNet ResNet-50; a record leaves if its most similar pair of frames is at
least as similar as crops of one target frame are to each other on average. What leaves carries `match`: the target's id
and path, both times in seconds, the cosine. Look at it: in the paper fewer than one flag in ten was a real copy.

Memory: 530 bytes a target frame at 256 dimensions (1.3 GB for 240,000 videos of 10 s; twice that where the machine has
no native bfloat16), 1 GB while whitening is fitted, 0.3 GB for blocks, however long the web stream is. TMPDIR: 1 KB a
target frame, and for a while 2 bytes for each of its features (4 KB). --within holds as much again for each web frame
that stays.

--method census compares videos with videos (IG-65M A.2): 64-bit signatures of 16 frames a second, without a model; a
video leaves if a second of it or more occurs in a target video. Images pass. Memory: 10 bytes a target frame.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicli.commands.options import shared as o
from omnicli.commands.options.checks import StreamOptions, refuse_given
from omnicli.commands.run.dedup_census import census_run, describe_target, say_unreadable
from omnicli.commands.run.runner import StageSpec, digest_of, run_stage
from omnicli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from omnicli.inference.protocols import ExtractFeatures
    from omnicli.stages.dedup.frame_features import FrameReader
    from omnicli.stages.dedup.target import Target
    from omnicli.streams.stage_run import Stage

DEFAULT_BACKBONE = "resnet50"  # Sec. 3.3
DEFAULT_DIM = 256  # Ours
DEFAULT_FPS = 1.0  # Sec. 3.5 reads videos so
DECIDE = "Who leaves"
MODEL = "Features"
WITH_MODEL = ("batch_size", "device", "precision", "seed")


class Method(StrEnum):
    """How copies are recognised."""

    features = "features"
    census = "census"


def command(
    context: typer.Context,
    inputs: o.Inputs = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="INPUT", help="What must not be copied, above all validation data: any INPUT, "
                     "or a folder of feature shards; may be repeated.", rich_help_panel=DECIDE),
    ] = None,
    method: Annotated[
        Method, typer.Option("--method", help="features: similar frames (the paper). census: footage in common, videos "
                             "only (IG-65M).", rich_help_panel=DECIDE)
    ] = Method.features,
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
        int | None, typer.Option("--whiten-dim", min=1, metavar="N", help="Dimensions after whitening, at most.",
                                 show_default=str(DEFAULT_DIM), rich_help_panel=DECIDE)
    ] = None,
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
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="Instead: the backbone of a TSN checkpoint of ours.",
                     rich_help_panel=MODEL),
    ] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", metavar="X", min=0.001, help="Frames a second of a video.",
                                   show_default=str(DEFAULT_FPS), rich_help_panel=MODEL)
    ] = None,
    as_media: o.AsMedia = False,
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
    if checkpoint and (backbone or weights):
        raise UsageError("--checkpoint holds a backbone and its weights: give it alone")
    targets = target or []
    of_features = {
        "--threshold": threshold, "--score-only": score_only or None, "--whiten-dim": whiten_dim,
        "--backbone": backbone, "--weights": weights, "--checkpoint": checkpoint, "--fps": fps,
        "--as-media": as_media or None, "--shards": shards_dir,
    }  # fmt: skip
    given = [name for name, value in of_features.items() if value is not None]
    _check_target(targets, inputs or [])
    if method == Method.census:
        if given:
            raise UsageError(f"{', '.join(given)}: of --method features, nothing to census")
        refuse_given(context, WITH_MODEL, "is of --method features: census has no model and draws nothing")
        if not targets and not within:
            raise UsageError("give --target, or --within to look for copies inside the stream alone")
        run = census_run(targets, within, root, workers)
    elif not targets:
        stored = _check_deciding_again(given, threshold, within=within)
        refuse_given(context, (*WITH_MODEL, "workers"), "goes with --target: deciding again opens no files")
        run = StageSpec(name="dedup", make=partial(_decide_again, stored), options={"threshold": threshold})
    else:
        if score_only and (threshold is not None or within):
            clash = "--within" if within else "--threshold"
            raise UsageError(f"--score-only drops nothing and {clash} does: give one")
        rule = {"score_only": score_only, "within": within, "as_media": as_media, "keep_features": bool(shards_dir)}
        making = {
            "backbone": None if checkpoint else backbone or DEFAULT_BACKBONE, "weights": weights,
            "checkpoint": checkpoint, "fps": fps or DEFAULT_FPS,
            "batch_size": batch_size, "device": device, "precision": precision,
        }  # fmt: skip
        learning = {"threshold": threshold, "whiten_dim": whiten_dim or DEFAULT_DIM, "seed": seed}
        run = _features_run(targets, rule, making, learning, root, workers)
    run_stage(run, StreamOptions(
        inputs=inputs, files_from=files_from, null_separated=null_separated, root=root, limit=limit, shard=shard,
        out=out, rejects=rejects, summary=summary, shards_dir=shards_dir, resume=resume, max_bad=max_bad,
        missing=missing, shards_total=shards_total, dry_run=dry_run, quiet=quiet, verbose=verbose,
    ))  # fmt: skip


def _check_target(targets: Sequence[str], inputs: Sequence[str]) -> None:
    """The target is what was meant. Raises UsageError."""
    if "-" in targets:
        raise UsageError("--target -: the target is read before the stream; give a file")
    folders = {Path(name).parent for name in targets if name.endswith((".h5", ".hdf5"))}
    strays = [name for name in inputs if name.endswith((".h5", ".hdf5")) and Path(name).parent in folders]
    if strays:
        raise UsageError(
            f"{strays[0]} lies beside the shard given to --target: a shell gives only the first of *.h5 to the option; "
            "name the folder"
        )


def _check_deciding_again(given: Sequence[str], threshold: float | None, *, within: bool) -> float:
    """The threshold: without a target nothing else acts. Raises UsageError."""
    others = [name for name in given if name != "--threshold"] + ["--within"] * within
    if others:
        raise UsageError(f"{', '.join(others)}: only with --target")
    if threshold is None:
        raise UsageError("give --target, or --threshold to decide again by the similarity that --score-only wrote")
    return threshold


def _decide_again(threshold: float) -> "Stage":
    from omnicli.stages.dedup.stage import decide_again

    return lambda records, on_drop: decide_again(records, threshold=threshold, on_drop=on_drop)


def _features_run(
    targets: Sequence[str],
    rule: Mapping[str, bool],
    making: Mapping[str, Any],
    learning: Mapping[str, Any],
    root: str | None,
    workers: int | None,
) -> StageSpec:
    """Similar frames (Sec. 3.3)."""
    files = {name: digest_of(making[name], ModelError) for name in ("weights", "checkpoint") if making[name]}
    maker = files if making["checkpoint"] else {"backbone": making["backbone"], **files}
    facts: dict[str, Any] = {}
    lines: list[str] = []

    def make() -> "Stage":
        from omnicli.stages.dedup.frame_features import FrameReader
        from omnicli.stages.dedup.stage import DedupRule, dedup_records

        reader = FrameReader(partial(_load_extract, making, root, workers), maker=maker, root=root)
        learnt = _learn(targets, reader, root, making, learning, needs_threshold=not rule["score_only"])
        lines.extend(_say_target(learnt))
        facts.update(threshold=learnt.threshold, threshold_origin=learnt.origin, target_frames=len(learnt.catalogue))
        return lambda records, on_drop: dedup_records(
            records, target=learnt, reader=reader, rule=DedupRule(**rule), on_drop=on_drop
        )

    return StageSpec(
        name="dedup",
        make=make,
        options={"target": describe_target(targets), **rule, **making, **maker, **learning},
        whole_stream="--within" if rule["within"] else None,
        shard_kind="features",
        shard_keeps_paths=True,
        closing=lambda counters: lines,
        facts=facts,
    )


def _load_extract(making: Mapping[str, Any], root: str | None, workers: int | None) -> "ExtractFeatures":
    """``extract_features`` with its model."""
    from omnicli.inference.device import pick_device, pick_precision
    from omnicli.inference.scorer import extract_features
    from omnicli.models.loading import load_extractor, load_model

    device = pick_device(making["device"])
    precision = pick_precision(making["precision"], device)
    if making["checkpoint"]:
        model = load_model(making["checkpoint"], device, precision)
        if not model.network.is_framewise:
            raise UsageError(f"--checkpoint {making['checkpoint']}: looks at clips; frames are compared by a TSN's")
    else:
        model = load_extractor(making["backbone"], making["weights"], device, precision)
    return partial(
        extract_features, model=model, fps=making["fps"], root=root, batch_size=making["batch_size"], workers=workers
    )


def _learn(
    targets: Sequence[str],
    reader: "FrameReader",
    root: str | None,
    making: Mapping[str, Any],
    learning: Mapping[str, Any],
    *,
    needs_threshold: bool,
) -> "Target":
    """Read the target."""
    from omnicli.inference.device import pick_device, pick_precision, set_threads
    from omnicli.stages.dedup.target import learn_target
    from omnicli.streams.read.reader import read_records

    device = pick_device(making["device"])
    set_threads()
    unreadable: list[tuple[str, str]] = []
    records = read_records(
        targets, root=root, on_drop=lambda record, why: unreadable.append((str(record.get("id")), why))
    )
    return learn_target(
        records, reader=reader, needs_threshold=needs_threshold, device=device,
        precision=pick_precision(making["precision"], device), unreadable=unreadable, **learning,
    )  # fmt: skip


def _say_target(target: "Target") -> list[str]:
    """Closing lines: what was compared with what, and by which threshold."""
    whitening = target.whitening
    how = f"whitened to {whitening.num_dims} dimensions" if whitening.matrix is not None else (
        f"{whitening.num_dims} features, too few different frames to whiten them"
    )  # fmt: skip
    lines = [f"target: {len(target.catalogue.records):,} records, {len(target.catalogue):,} frames, {how}"]
    shown = "none" if target.threshold is None else f"{target.threshold:g}"
    return [*lines, *say_unreadable(target.unreadable), f"threshold {shown}: {target.origin}"]
