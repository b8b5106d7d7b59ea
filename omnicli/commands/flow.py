"""Write the optical flow of videos to HDF5 shards, for the second stream of two-stream models.

    omni index --labels target/train | omni flow --shards flow/ - > flow.jsonl

    omni flow --method raft --weights raft_large.pth --device cuda --shards flow/ videos/ > flow.jsonl

Each output line names the shard and row of its flow (media: flow); a shard is an INPUT of the same rows. Frames are
resized to --short-side first. Displacements are clipped to 20 pixels, the attribute bound of a shard, and stored as
8-bit JPEG pairs, x and y, one pair for each two consecutive frames. Videos, folders of frames and rows that omni pack
wrote without leaving frames out are accepted; images and single frames are rejects. Times stay those of the original
file.

dis (OpenCV) needs no weights and computes about 40 pairs per second and core at 256 pixels. raft and raft-small
(torchvision) want a GPU; their weights are downloaded, or given as --weights.

Memory: the JPEG files of 2 records per worker, about 10 KB per pair at 256 pixels.
"""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from omnicli.commands.options.compute import ComputeOptions
from omnicli.commands.options.digests import digest_of
from omnicli.commands.options.groups import DATA, MODEL, Adapt, takes_groups
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.streams import RequiredShardsDir, StreamOptions
from omnicli.commands.run.one_output import StageSpec
from omnicli.commands.run.runner import run_stage
from omnicli.errors import ModelError, UsageError
from omnicli.streams.stage_run import Stage

BOUND = 20.0  # that of omnicli.media.flow_pixels, which imports OpenCV


class Method(StrEnum):
    """Methods by name."""

    dis = "dis"
    raft = "raft"
    raft_small = "raft-small"


@takes_groups
def command(
    streams: Annotated[StreamOptions, Adapt(shards_dir=RequiredShardsDir)],
    compute: Annotated[ComputeOptions, Adapt("precision", "batch_size", "compile_mode")],
    logging: LoggingOptions,
    method: Annotated[
        Method, typer.Option("--method", help="How flow is computed.", rich_help_panel=MODEL)
    ] = Method.dis,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="FILE", help="Weights of RAFT.", show_default="torchvision's, downloaded",
                     rich_help_panel=MODEL),
    ] = None,
    short_side: Annotated[
        int,
        typer.Option("--short-side", metavar="PIXELS", min=16, help="Short side of the frames; smaller media keep "
                     "their size.", rich_help_panel=DATA),
    ] = 256,
    quality: Annotated[
        int, typer.Option("--quality", metavar="N", min=1, max=100, help="JPEG quality.", rich_help_panel=DATA)
    ] = 95,
) -> None:  # fmt: skip
    if streams.shards_dir is None and not logging.dry_run:
        raise UsageError("flow writes arrays to HDF5 shards: give --shards DIR")
    if method == Method.dis and weights:
        raise UsageError("--weights are those of RAFT: add --method raft")

    def make() -> "Stage":
        from omnicli.stages.flow import FlowOptions, dis_flow, flow_records

        flow = dis_flow
        if method != Method.dis:
            from omnicli.models.raft import RaftFlow, load_raft

            device, _ = compute.resolve()
            flow = RaftFlow(load_raft("large" if method == Method.raft else "small", weights, device), device)
        options = FlowOptions(short_side=short_side, quality=quality, bound=BOUND, root=streams.root)
        run = partial(flow_records, compute=flow, options=options, workers=compute.num_workers())
        return lambda records, on_drop: run(records, on_drop=on_drop)

    digest = digest_of(weights, ModelError) if weights else None
    options = {
        "method": method.value, "weights": digest, "short_side": short_side, "quality": quality, "bound": BOUND,
    }  # fmt: skip
    run_stage(StageSpec(name="flow", make=make, options=options, shard_kind="flow"), streams, logging)
