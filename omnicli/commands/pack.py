"""Write resized frames of images and videos to HDF5 shards, which training reads many times faster than videos.

    omni index --labels target/train | omni pack --shards packed/ - > train.jsonl

    omni pack --short-side 128 --max-frames 64 --shards packed/ videos/ > packed.jsonl

    omni segment --teacher tsn.pth long.jsonl | omni pack --shards packed/ - > packed.jsonl

Each line names the shard and the row of its frames and is an INPUT of every stage, without further options; so is a
shard. An image stays an image, all else becomes a clip. Frames are JPEG, resized as training would resize them, and
keep the times of the original file: start_sec, end_sec, positive_sec and negative_sec mean what they meant. Of a part
only its frames are packed; of a video that segment judged at 1 FPS only the frames it judged, whatever --fps and
--max-frames say. Shards are named as given with --shards, and by their absolute path where --root is given: later
stages need no --root for them and find them with it. If only later stages have one, give --shards an absolute path.

How much faster, depends on size: from 3 times (320x240) to 10 (640x360) and 28 (1280x720) where whole clips are read;
twice that and more for single frames far apart.

Memory: the JPEG files of 2 records a worker, 15 to 25 KB a frame at 256 pixels. Hours of video: --fps, --max-frames, or
cut them with segment first.
"""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from omnicli.commands.options import shared as o
from omnicli.commands.options.checks import StreamOptions
from omnicli.commands.run.runner import StageSpec, run_stage
from omnicli.cpus import available_cores
from omnicli.errors import UsageError

if TYPE_CHECKING:
    from omnicli.streams.stage_run import Stage

FRAMES = "Frames"


def command(
    inputs: o.Inputs = None,
    short_side: Annotated[
        int,
        typer.Option("--short-side", metavar="N", min=1, help="Pixels; smaller media keep their size.",
                     rich_help_panel=FRAMES),
    ] = 256,
    quality: Annotated[
        int, typer.Option("--quality", metavar="N", min=1, max=100, help="Of the JPEG files.", rich_help_panel=FRAMES)
    ] = 85,
    fps: Annotated[
        float | None,
        typer.Option("--fps", metavar="X", min=0.001, help="Frames a second.", show_default="all",
                     rich_help_panel=FRAMES),
    ] = None,
    max_frames: Annotated[
        int | None,
        typer.Option("--max-frames", metavar="N", min=1, help="Of media with more frames, N evenly spread.",
                     show_default="all", rich_help_panel=FRAMES),
    ] = None,
    shards_dir: o.ShardsNeeded = None,
    workers: o.Workers = None,
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
        raise UsageError("frames are arrays and go to files: give --shards DIR")

    def make() -> "Stage":
        from omnicli.stages.pack import PackOptions, pack_records

        packing = PackOptions(short_side=short_side, quality=quality, fps=fps, max_frames=max_frames, root=root)
        pack = partial(pack_records, packing=packing, workers=workers or available_cores())
        return lambda records, on_drop: pack(records, on_drop=on_drop)

    options = {"short_side": short_side, "quality": quality, "fps": fps, "max_frames": max_frames}
    run_stage(StageSpec(name="pack", make=make, options=options, shard_kind="frames"), StreamOptions(
        inputs=inputs, files_from=files_from, null_separated=null_separated, root=root, limit=limit, shard=shard,
        out=out, rejects=rejects, summary=summary, shards_dir=shards_dir, resume=resume, max_bad=max_bad,
        missing=missing, shards_total=shards_total, dry_run=dry_run, quiet=quiet, verbose=verbose,
    ))  # fmt: skip
