"""Write backbone features of pictures and videos to HDF5 shards, for de-duplication and fc-only training.

    omni features --backbone resnet50 --weights resnet50.safetensors --shards feats/ web.jsonl > feats.jsonl

    omni features --checkpoint tsn.pth --fps 2 --shards feats/ videos/ > feats.jsonl

Each line names the shard and the row of its features; a shard is an INPUT wherever JSONL is.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicli.commands import options as o
from omnicli.commands.running import StageRun, digest_of, run_stage
from omnicli.commands.stream_options import StreamOptions
from omnicli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from omnicli.streams.flow import Stage

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
        float, typer.Option("--fps", min=0.001, help="Frames a second of a video.", rich_help_panel=MODEL)
    ] = 1.0,
    shards_dir: o.ShardsDir = None,
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
    if shards_dir is None and not missing and not dry_run:
        raise UsageError("features are arrays and go to files: give --shards DIR")
    if checkpoint and (backbone or weights):
        raise UsageError("--checkpoint holds a backbone and its weights: give it alone")

    def make() -> "Stage":
        from omnicli.engine.device import pick_device, pick_precision, set_threads
        from omnicli.models.teacher import load_extractor, load_teacher
        from omnicli.scoring import extract_features
        from omnicli.stages.features import feature_records

        where = pick_device(device)
        set_threads()
        dtype = pick_precision(precision, where)
        if checkpoint:
            teacher = load_teacher(checkpoint, where, dtype)
        else:
            teacher = load_extractor(backbone or DEFAULT_BACKBONE, weights, where, dtype)
        extract = partial(extract_features, teacher=teacher, fps=fps, root=root, batch_size=batch_size, workers=workers)
        return lambda records, on_drop: feature_records(records, extract=extract, on_drop=on_drop)

    options = {
        "backbone": None if checkpoint else backbone or DEFAULT_BACKBONE,
        "weights": digest_of(weights, ModelError) if weights else None,
        "checkpoint": digest_of(checkpoint, ModelError) if checkpoint else None,
        "fps": fps, "batch_size": batch_size, "device": device, "precision": precision,
    }  # fmt: skip
    run = StageRun(name="features", make=make, options=options, shard_kind="features")
    run_stage(run, StreamOptions(
        inputs=inputs, files_from=files_from, null_separated=null_separated, root=root, limit=limit, shard=shard,
        out=out, rejects=rejects, summary=summary, shards_dir=shards_dir, resume=resume, max_bad=max_bad,
        missing=missing, shards_total=shards_total, dry_run=dry_run, quiet=quiet, verbose=verbose,
    ))  # fmt: skip
