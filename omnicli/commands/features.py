"""Write backbone features of images and videos to HDF5 shards, for de-duplication and fc-only training.

    omni features --backbone resnet50 --weights resnet50.safetensors --shards feats/ web.jsonl > feats.jsonl

    omni features --checkpoint tsn.pth --fps 2 --shards feats/ videos/ > feats.jsonl

    omni features --checkpoint slowonly.pth --num-clips 10 --shards feats/ videos/ > feats.jsonl

Each line names the shard and the row of its features; a shard is an INPUT wherever JSONL is. Shards are named as given
with --shards, and by their absolute path where --root is given: later stages find them with --root and without.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicli.commands.options import shared as o
from omnicli.commands.options.checks import StreamOptions
from omnicli.commands.run.runner import StageSpec, digest_of, run_stage
from omnicli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from omnicli.streams.stage_run import Stage

DEFAULT_BACKBONE = "resnet50"  # Sec. 3.3
MODEL = "Model"


def command(
    inputs: o.Inputs = None,
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
        typer.Option("--checkpoint", metavar="FILE", help="Instead: the backbone of a checkpoint of ours.",
                     rich_help_panel=MODEL),
    ] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", metavar="X", min=0.001, help="Frames a second of a video, for 2D models.",
                                   show_default="1", rich_help_panel=MODEL)
    ] = None,
    num_clips: Annotated[
        int | None, typer.Option("--num-clips", min=1, metavar="N", help="Clips of a video, for 3D models.",
                                 show_default="10", rich_help_panel=MODEL)
    ] = None,
    shards_dir: o.ShardsNeeded = None,
    batch_size: o.BatchSize = 32,
    workers: o.Workers = None,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
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
    if shards_dir is None and not dry_run:
        raise UsageError("features are arrays and go to files: give --shards DIR")
    if checkpoint and (backbone or weights):
        raise UsageError("--checkpoint holds a backbone and its weights: give it alone")

    facts: dict[str, object] = {}

    def make() -> "Stage":
        from omnicli.inference.device import pick_device, pick_precision, set_threads
        from omnicli.inference.scorer import extract_features
        from omnicli.models.loading import load_extractor, load_model
        from omnicli.stages.features import feature_records

        where = pick_device(device)
        set_threads()
        dtype = pick_precision(precision, where)
        if checkpoint:
            teacher = load_model(checkpoint, where, dtype)
            if fps and not teacher.network.is_framewise:
                raise UsageError(f"--fps is for models that look at frames one by one; {checkpoint} looks at clips")
        else:
            teacher = load_extractor(backbone or DEFAULT_BACKBONE, weights, where, dtype)
        if num_clips and teacher.network.is_2d:
            raise UsageError("--num-clips is for 3D models; how many frames of a video a 2D model sees is --fps")
        facts["looks"] = teacher.spec.signature
        extract = partial(
            extract_features, model=teacher, fps=fps or 1.0, num_clips=num_clips or 10, root=root,
            batch_size=batch_size, workers=workers,
        )  # fmt: skip
        return lambda records, on_drop: feature_records(records, extract=extract, on_drop=on_drop)

    options = {
        "backbone": None if checkpoint else backbone or DEFAULT_BACKBONE,
        "weights": digest_of(weights, ModelError) if weights else None,
        "checkpoint": digest_of(checkpoint, ModelError) if checkpoint else None,
        "fps": fps, "num_clips": num_clips, "batch_size": batch_size, "device": device, "precision": precision,
    }  # fmt: skip
    run = StageSpec(name="features", make=make, options=options, shard_kind="features", facts=facts)
    run_stage(run, StreamOptions(
        inputs=inputs, files_from=files_from, null_separated=null_separated, root=root, limit=limit, shard=shard,
        out=out, rejects=rejects, summary=summary, shards_dir=shards_dir, resume=resume, max_bad=max_bad,
        missing=missing, shards_total=shards_total, dry_run=dry_run, quiet=quiet, verbose=verbose,
    ))  # fmt: skip
