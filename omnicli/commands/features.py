"""Write backbone features of media to HDF5 shards, for de-duplication and classifier-only training.

    omni features --backbone resnet50 --weights resnet50.safetensors --shards feats/ web.jsonl > feats.jsonl

    omni features --checkpoint tsn.pth --fps 2 --shards feats/ videos/ > feats.jsonl

    omni features --checkpoint slowonly.pth --num-clips 10 --shards feats/ videos/ > feats.jsonl

Rows fit every model with the same frozen backbone: omni teacher-train, filter, segment, train and eval take them
instead of media, and then take seconds. Each output line names the shard and row of its features; a shard is an INPUT
wherever JSONL is. Output lines name shards as given with --shards, or by absolute path if --root is given.
"""

from functools import partial
from typing import Annotated, Any

import typer

from omnicli.commands.options.compute import ComputeOptions, RoundedPrecision
from omnicli.commands.options.groups import MODEL, Adapt, takes_groups
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.model import BackboneOptions, Modality
from omnicli.commands.options.streams import RequiredShardsDir, StreamOptions
from omnicli.commands.run.one_output import StageSpec
from omnicli.commands.run.runner import run_stage
from omnicli.errors import UsageError
from omnicli.streams.stage_run import Stage


@takes_groups
def command(
    streams: Annotated[StreamOptions, Adapt(shards_dir=RequiredShardsDir)],
    backbone: BackboneOptions,
    compute: Annotated[ComputeOptions, Adapt(precision=RoundedPrecision)],
    logging: LoggingOptions,
    num_clips: Annotated[
        int | None, typer.Option("--num-clips", min=1, metavar="N", help="3D: clips per video.", show_default="10",
                                 rich_help_panel=MODEL)
    ] = None,
    modality: Modality = None,
) -> None:  # fmt: skip
    if streams.shards_dir is None and not logging.dry_run:
        raise UsageError("features writes arrays to HDF5 shards: give --shards DIR")
    backbone.check()
    facts: dict[str, Any] = {}
    lines: list[str] = []

    def make() -> "Stage":
        from omnicli.inference.scorer import extract_features
        from omnicli.stages.features import feature_records
        from omnicli.streams.shards.features import CONTENT

        model = backbone.load(compute, with_content=True, modality=modality)
        if backbone.checkpoint and backbone.fps and not model.network.is_framewise:
            raise UsageError(f"--fps needs a model of single frames; {backbone.checkpoint} takes clips")
        if num_clips and model.network.is_2d:
            raise UsageError("--num-clips is for 3D models; use --fps to choose the frames of a 2D model")
        lines.append(backbone.describe(model))
        facts.update({"looks": model.spec.signature, CONTENT: model.backbone_content})
        extract = partial(
            extract_features, model=model, fps=backbone.fps or 1.0, num_clips=num_clips or 10, root=streams.root,
            batch_size=compute.batch_size, workers=compute.workers,
        )  # fmt: skip
        return lambda records, on_drop: feature_records(records, extract=extract, on_drop=on_drop)

    options = {
        "backbone": backbone.name, "weights": None, "checkpoint": None, **backbone.digests(), "fps": backbone.fps,
        "num_clips": num_clips, **compute.deciding(), **({"modality": modality} if modality else {}),
    }  # fmt: skip
    spec = StageSpec(
        name="features", make=make, options=options, shard_kind="features", facts=facts, closing=lambda _: lines
    )
    run_stage(spec, streams, logging)
