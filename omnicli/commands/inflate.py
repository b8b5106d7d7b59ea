"""Turn web images into clips as a moving camera would see them; other media pass untouched.

    omni inflate --fit target.jsonl -o motion.json

    omni inflate --motion motion.json web.jsonl > aux.jsonl
    omni inflate --motion motion.json --shards clips/ --num-frames 4 --frame-interval 16 web.jsonl > aux.jsonl
    omni report --motion motion.json web_imgs/ -o motion.html

--fit learns how cameras move in videos: corners are tracked from frame to frame, homographies fitted, and their mean
and covariance written for all classes together and for each (class_name, else query). Then --motion writes a recipe
into each image's record, the field inflation (about 0.6 kB); training makes the clip from it, another one each epoch.
A recipe is complete: records need no motion.json where they go. With --shards the clip of epoch 0 is written as pixels.

A clip of 4 frames 16 apart spans 64 frames of a video. Every frame is warped from the image itself, and one crop for
the whole clip shows no border; motions that need a crop under 60 % of the sides are drawn again, and counted.

--fit takes about 6 ms a pair of frames and core, and decoding. Memory: a few kB a class; with --shards two clips a
worker.
"""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicli import __version__
from omnicli.commands.options import shared as o
from omnicli.commands.options.checks import StreamOptions, check_streams, is_folder, refuse_given
from omnicli.commands.run.counters import Ledger
from omnicli.commands.run.runner import StageSpec, digest_of, print_options, run_stage, stopping_on_sigterm
from omnicli.console import Console
from omnicli.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from omnicli.motion.motion_file import Motion
    from omnicli.streams.record import Record
    from omnicli.streams.stage_run import Stage

FITTING, MOVING, PIXELS = "Fitting", "Motion", "Pixels"
WITH_FIT = ("max_pairs",)
WITHOUT_FIT = ("motion", "mode", "shards_dir", "shard", "resume", "missing", "shards_total")
WITH_SHARDS = ("num_frames", "frame_interval", "short_side", "quality")


class Mode(StrEnum):
    """Ways to inflate (Table 8)."""

    still = "still"
    translate_random = "translate-random"
    translate_constant = "translate-constant"
    perspective_agnostic = "perspective-agnostic"
    perspective_specific = "perspective-specific"


def command(
    context: typer.Context,
    inputs: o.Inputs = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Learn the motion of videos: INPUTs are the target, -o the motion file.",
                           rich_help_panel=FITTING)
    ] = False,
    max_pairs: Annotated[
        int, typer.Option("--max-pairs", metavar="N", min=1, help="Pairs of consecutive frames looked at in one video.",
                          rich_help_panel=FITTING)
    ] = 100,
    motion: Annotated[
        Path | None, typer.Option("--motion", metavar="FILE", help="What --fit wrote; --mode still needs none.",
                                  rich_help_panel=MOVING)
    ] = None,
    mode: Annotated[
        Mode, typer.Option("--mode", help="still: no motion. translate-random, translate-constant: straight, at a "
                           "speed of each frame or of the clip. perspective-agnostic: as in all videos. "
                           "perspective-specific: as in those of the image's class (unknown: all).",
                           rich_help_panel=MOVING)
    ] = Mode.perspective_agnostic,
    shards_dir: o.ShardsDir = None,
    num_frames: Annotated[
        int, typer.Option("--num-frames", metavar="N", min=1, help="Frames of a clip.", rich_help_panel=PIXELS)
    ] = 4,
    frame_interval: Annotated[
        int, typer.Option("--frame-interval", metavar="N", min=1, help="Steps of the camera from one to the next.",
                          rich_help_panel=PIXELS)
    ] = 16,
    short_side: Annotated[
        int, typer.Option("--short-side", metavar="N", min=1, help="Pixels; the shape is the image's.",
                          rich_help_panel=PIXELS)
    ] = 256,
    quality: Annotated[
        int, typer.Option("--quality", metavar="N", min=1, max=100, help="Of the JPEG files.", rich_help_panel=PIXELS)
    ] = 85,
    seed: o.Seed = 0,
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
    streams = StreamOptions(
        inputs=inputs, files_from=files_from, null_separated=null_separated, root=root, limit=limit, shard=shard,
        out=out, rejects=rejects, summary=summary, shards_dir=shards_dir, resume=resume, max_bad=max_bad,
        missing=missing, shards_total=shards_total, dry_run=dry_run, quiet=quiet, verbose=verbose,
    )  # fmt: skip
    if fit:
        refuse_given(context, WITHOUT_FIT + WITH_SHARDS, "does not go with --fit")
        _fit(streams, max_pairs=max_pairs, seed=seed, workers=workers)
        return
    refuse_given(context, WITH_FIT, "goes with --fit")
    if shards_dir is None:
        refuse_given(context, WITH_SHARDS, "goes with --shards: a recipe has no pixels")
        refuse_given(context, ("workers",), "goes with --fit or --shards: a recipe opens no files")
    if motion is None and mode is not Mode.still:
        raise UsageError(
            f"--mode {mode.value} needs --motion FILE; make one with omni inflate --fit target.jsonl -o motion.json"
        )
    shape = {"num_frames": num_frames, "frame_interval": frame_interval, "short_side": short_side, "quality": quality}
    run_stage(_stage(mode, motion, seed, shape if shards_dir else None, workers, root), streams)


def _fit(streams: StreamOptions, *, max_pairs: int, seed: int, workers: int | None) -> None:
    """``--fit``: target videos in, one motion file out."""
    options = {"omni": __version__, "command": "inflate --fit", "max_pairs": max_pairs, "seed": seed,
               "limit": streams.limit}  # fmt: skip
    if streams.dry_run:
        print_options({**options, "inputs": streams.inputs or ["-"], "out": streams.out})
        return
    if not streams.out or is_folder(streams.out):
        raise UsageError("--fit writes one file: give -o motion.json")
    check_streams(streams, whole_stream="--fit")
    if not Path(streams.out).parent.is_dir():
        raise OutputError(f"{streams.out}: cannot write: no folder '{Path(streams.out).parent}'; make it first")
    from omnicli.cpus import available_cores
    from omnicli.motion.motion_file import write_motion
    from omnicli.stages.inflate.fit import fit_motion

    console = Console("inflate", quiet=streams.quiet, verbose=streams.verbose)
    books = Ledger(
        console, rejects=streams.rejects, max_bad=streams.max_bad, summary=streams.summary, options=options
    )  # fmt: skip
    pairs = Counter[str]()
    with stopping_on_sigterm(resumable=False), books as ledger:
        records = ledger.read(
            streams.inputs or [], root=streams.root, files_from=streams.files_from,
            null_separated=streams.null_separated, limit=streams.limit,
        )  # fmt: skip
        with console.progress(lambda: f"{ledger.sums()}; {pairs['used']:,} pairs of frames"):
            motion = fit_motion(
                records, max_pairs=max_pairs, seed=seed, workers=workers or available_cores(), root=streams.root,
                on_drop=ledger.on_drop, on_pairs=lambda count: pairs.update(used=count),
            )  # fmt: skip
        write_motion(Path(streams.out), motion)
        ledger.result = {"pairs": motion.agnostic.num_pairs, "left_out": motion.left_out,
                         "classes": len(motion.classes)}  # fmt: skip
        console.say(ledger.sums())
        for line in _describe(motion):
            console.say(line)


def _describe(motion: "Motion") -> list[str]:
    """What was fitted, in words."""
    from omnicli.motion.camera import MIN_CROP, try_paths

    fitted = motion.agnostic
    skipped = ", ".join(f"{reason} {count:,}" for reason, count in motion.left_out.items())
    lines = [
        f"{fitted.num_pairs:,} pairs of frames used, {sum(motion.left_out.values()):,} left out"
        + (f" ({skipped})" if skipped else "")
        + f"; a motion of its own for {len(motion.classes):,} classes"
    ]
    if motion.too_few_pairs:
        few = ", ".join(f"{name} {count:,}" for name, count in list(motion.too_few_pairs.items())[:5])
        lines.append(f"too few pairs for {len(motion.too_few_pairs):,} classes ({few}): the agnostic motion is theirs")
    scales = try_paths(str(Mode.perspective_agnostic), fitted.gaussian, num_frames=4, frame_interval=16)
    lines.append(
        f"a 4x16 clip shows {sorted(scales)[len(scales) // 2]:.0%} of an image's sides; "
        f"{(scales < MIN_CROP).mean():.1%} of the motions are drawn again (a crop under {MIN_CROP:.0%})"
    )
    return lines


def _stage(
    mode: Mode,
    motion_file: Path | None,
    seed: int,
    shape: dict[str, int] | None,
    workers: int | None,
    root: str | None,
) -> StageSpec:
    """The run that writes recipes, or pixels of this shape."""

    def make() -> "Stage":
        from omnicli.cpus import available_cores
        from omnicli.motion.motion_file import read_motion
        from omnicli.stages.inflate.stage import Camera, ClipShape, inflate_records

        motion = read_motion(motion_file) if motion_file else None
        if mode is Mode.perspective_specific and motion and not motion.classes:
            raise InputError(f"{motion_file}: no class has a motion of its own; expected videos with class_name")
        camera = Camera(mode=mode.value, motion=motion, seed=seed)
        pixels = ClipShape(**shape, workers=workers or available_cores()) if shape else None
        inflate = partial(inflate_records, camera=camera, shape=pixels, root=root)
        return lambda records, on_drop: inflate(records, on_drop=on_drop)

    options = {
        "mode": mode.value, "motion": digest_of(motion_file, InputError) if motion_file else None, "seed": seed,
        "pixels": shape,
    }  # fmt: skip
    return StageSpec(
        name="inflate", make=make, options=options, shard_kind="frames", observe=_count,
        check=partial(_check, mode=mode), closing=_closing,
    )  # fmt: skip


def _count(record: "Record", counters: Counter[str]) -> None:
    """Images and how they fared; a record that came as a clip is other media, whatever recipe made it."""
    pixels = record.arrays
    if pixels is None and record.get("media") != "image":
        counters["inflate: other media"] += 1
        return
    counters["inflate: images"] += 1
    counters["inflate: agnostic instead"] += record["inflation"].get("class", "") is None
    if pixels is not None:
        counters["inflate: redrawn"] += pixels["num_redrawn"]
        counters["inflate: still instead"] += pixels["gave_up"]


def _check(counters: Mapping[str, int], *, mode: Mode) -> None:
    """None of a stream matching is a mistake, not a choice. Raises InputError."""
    unknown = counters.get("inflate: agnostic instead", 0)
    if mode is Mode.perspective_specific and unknown and unknown == counters["inflate: images"]:
        raise InputError(
            f"none of {unknown:,} images is of a class with a motion (pseudo_class, class_name, query); "
            "the classes are in the motion file"
        )


def _closing(counters: Mapping[str, int]) -> list[str]:
    notes = {
        "inflate: redrawn": "motions drawn again (a crop under 60 %, or folded over)",
        "inflate: still instead": "images stand still, as no motion was good",
        "inflate: agnostic instead": "without a motion of their class, the agnostic one instead",
    }
    said = [f"{counters[key]:,} {note}" for key, note in notes.items() if counters.get(key)]
    images, others = counters.get("inflate: images", 0), counters.get("inflate: other media", 0)
    return ["; ".join([f"{images:,} images inflated, {others:,} other media untouched", *said])]
