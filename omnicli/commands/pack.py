"""Write resized frames of media to HDF5 shards, which training reads many times faster than videos.

    omni index --labels target/train | omni pack --shards packed/ - > train.jsonl

    omni pack --short-side 128 --max-frames 64 --shards packed/ videos/ > packed.jsonl

    omni segment --teacher tsn.pth long.jsonl | omni pack --shards packed/ - > packed.jsonl

Each output line names the shard and row of its frames and is an INPUT of every stage; so is a shard. An image stays an
image, everything else becomes a clip. Frames are stored as JPEG and keep their times in the original file: start_sec,
end_sec, positive_sec and negative_sec keep their meaning. For a clip of a longer video only its frames are packed; for
a video segmented at 1 FPS only the scored frames, whatever --fps and --max-frames say. Output lines name shards as
given with --shards, or by absolute path if --root is given.

Where --fps or --max-frames leave frames out, source_fps says the rate of the video: the frame interval of 3D models
still counts frames of the video (rows that are too sparse for it are refused), and inflate --fit refuses such rows.

An image that omni inflate gave a moving camera is stored at 1.45 times the short side, so that its smallest crop is
enlarged by 1.15 at most. Pack with --for-camera if inflate comes later.

Reading is faster by a factor of 3 (320x240), 10 (640x360) or 28 (1280x720) for whole clips, and by 2 to 4 times that
for single frames that are far apart.

Memory: the JPEG files of 2 records per worker, 15 to 25 KB per frame at 256 pixels. For hours of video, use --fps,
--max-frames, or segment first.
"""

from functools import partial
from typing import Annotated

import typer

from omnicli.commands.options.compute import Workers
from omnicli.commands.options.groups import DATA, RARE, Adapt, takes_groups
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.streams import RequiredShardsDir, StreamOptions
from omnicli.commands.run.one_output import StageSpec
from omnicli.commands.run.runner import run_stage
from omnicli.errors import UsageError
from omnicli.streams.stage_run import Stage


@takes_groups
def command(
    streams: Annotated[StreamOptions, Adapt(shards_dir=RequiredShardsDir)],
    logging: LoggingOptions,
    short_side: Annotated[
        int,
        typer.Option("--short-side", metavar="PIXELS", min=1, help="Short side of a frame; smaller media keep their "
                     "size.", rich_help_panel=DATA),
    ] = 256,
    quality: Annotated[
        int, typer.Option("--quality", metavar="N", min=1, max=100, help="JPEG quality.", rich_help_panel=DATA)
    ] = 85,
    fps: Annotated[
        float | None,
        typer.Option("--fps", metavar="X", min=0.001, help="Frames per second.", show_default="all frames",
                     rich_help_panel=DATA),
    ] = None,
    max_frames: Annotated[
        int | None,
        typer.Option("--max-frames", metavar="N", min=1, help="Keep N evenly spread frames of media with more.",
                     show_default="all frames", rich_help_panel=DATA),
    ] = None,
    for_camera: Annotated[
        bool, typer.Option("--for-camera", help="Store images with room for the moving camera that omni inflate will "
                           "add.", rich_help_panel=DATA), RARE,
    ] = False,
    workers: Workers = None,
) -> None:  # fmt: skip
    if streams.shards_dir is None and not logging.dry_run:
        raise UsageError("pack writes frames to HDF5 shards: give --shards DIR")

    def make() -> "Stage":
        from omnicli.cpus import available_cores
        from omnicli.stages.pack import PackOptions, pack_records

        packing = PackOptions(
            short_side=short_side, quality=quality, fps=fps, max_frames=max_frames, for_camera=for_camera,
            root=streams.root,
        )  # fmt: skip
        pack = partial(pack_records, packing=packing, workers=workers or available_cores())
        return lambda records, on_drop: pack(records, on_drop=on_drop)

    options = {"short_side": short_side, "quality": quality, "fps": fps, "max_frames": max_frames}
    options |= {"for_camera": True} if for_camera else {}
    run_stage(StageSpec(name="pack", make=make, options=options, shard_kind="frames"), streams, logging)
