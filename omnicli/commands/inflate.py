"""Turn web images into clips as a moving camera would see them; other media pass unchanged.

    omni inflate --fit target.jsonl -o motion.json

    omni inflate --motion motion.json web.jsonl > aux.jsonl
    omni inflate --motion motion.json --shards clips/ --num-frames 4 --frame-interval 16 web.jsonl > aux.jsonl
    omni report --motion motion.json web_imgs/ -o motion.html

--fit tracks corners from frame to frame, fits homographies, and writes their mean and covariance over all classes and
per class (class_name, else query). With --motion, each image record gains a recipe in the field inflation (about 0.6
kB); training renders the clip from it, a different one in each epoch. A recipe is complete: later stages do not need
motion.json. With --shards one fixed clip per image is written as pixels.

A clip of 4 frames with an interval of 16 takes 48 camera steps, (4 - 1) x 16. Every frame is warped from the original
image, and one crop for the whole clip avoids borders; a motion whose crop has less than 60 % of the image's side
lengths is drawn again and counted.

--fit takes about 6 ms per pair of frames and core, plus decoding. Memory: a few kB per class; with --shards two clips
per worker.
"""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Annotated

import typer

from omnicli.commands.options.compute import Seed, Workers
from omnicli.commands.options.digests import digest_of_list
from omnicli.commands.options.groups import SELECTION, Adapt, refuse_given, takes_groups
from omnicli.commands.options.inflate import ModeName, MotionOptions, PixelOptions
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.streams import OF_JOBS, ShardsDir, StreamOptions
from omnicli.commands.run.fit_motion import run_fit
from omnicli.commands.run.one_output import StageSpec
from omnicli.commands.run.runner import run_stage
from omnicli.errors import InputError, UsageError
from omnicli.streams.record import Record
from omnicli.streams.stage_run import Stage

WITHOUT_FIT = ("motion", "mode", "shards_dir", "resume", *OF_JOBS)
WITH_SHARDS = ("num_frames", "frame_interval", "short_side", "quality")


@takes_groups
def command(
    *,
    context: typer.Context,
    fit: Annotated[
        bool, typer.Option("--fit", help="Fit the camera motion of videos: INPUTs are the target, -o is the motion "
                           "file.", rich_help_panel=SELECTION)
    ] = False,
    options: MotionOptions,
    pixels: PixelOptions,
    streams: Annotated[StreamOptions, Adapt(shards_dir=ShardsDir)],
    logging: LoggingOptions,
    max_pairs: Annotated[
        int, typer.Option("--max-pairs", metavar="N", min=1, help="With --fit: pairs of consecutive frames per video.",
                          rich_help_panel=SELECTION)
    ] = 100,
    seed: Seed = 0,
    workers: Workers = None,
) -> None:  # fmt: skip
    if fit:
        refuse_given(context, WITHOUT_FIT + WITH_SHARDS, "cannot be combined with --fit")
        run_fit(streams, logging, max_pairs=max_pairs, seed=seed, workers=workers)
        return
    refuse_given(context, ("max_pairs",), "needs --fit")
    if streams.shards_dir is None:
        refuse_given(context, WITH_SHARDS, "needs --shards: a recipe has no pixels")
        refuse_given(context, ("workers",), "needs --fit or --shards: a recipe opens no files")
    if options.motion is None and options.mode != "still":
        raise UsageError(
            f"--mode {options.mode} needs --motion FILE; make one with omni inflate --fit target.jsonl -o motion.json"
        )

    def make() -> "Stage":
        from omnicli.cpus import available_cores
        from omnicli.motion.motion_file import read_motion
        from omnicli.stages.inflate.stage import Camera, inflate_records

        motion = read_motion(options.motion) if options.motion else None
        if options.mode == "perspective-specific" and motion and not motion.classes:
            raise InputError(f"{options.motion}: no class has its own motion; expected videos with class_name")
        camera = Camera(mode=options.mode, motion=motion, seed=seed)
        shape = pixels.shape(workers or available_cores()) if streams.shards_dir else None
        inflate = partial(inflate_records, camera=camera, shape=shape, root=streams.root)
        return lambda records, on_drop: inflate(records, on_drop=on_drop)

    deciding = {"mode": options.mode, "motion": digest_of_list(options.motion), "seed": seed,
                "pixels": vars(pixels) if streams.shards_dir else None}  # fmt: skip
    spec = StageSpec(
        name="inflate", make=make, options=deciding, shard_kind="frames", observe=_count,
        check=partial(_check, mode=options.mode), closing=_closing,
    )  # fmt: skip
    run_stage(spec, streams, logging)


def _count(record: "Record", counters: Counter[str]) -> None:
    """Count images and how they moved; a record that was a clip before is other media, whatever its recipe."""
    pixels = record.arrays
    if pixels is None and record.get("media") != "image":
        counters["inflate: other media"] += 1
        return
    counters["inflate: images"] += 1
    counters["inflate: agnostic instead"] += record["inflation"].get("class", "") is None
    if pixels is not None:
        counters["inflate: redrawn"] += pixels["num_redrawn"]
        counters["inflate: still instead"] += pixels["gave_up"]


def _check(counters: Mapping[str, int], *, mode: ModeName) -> None:
    """If no image has a class with a motion, the option is a mistake. Raises InputError."""
    unknown = counters.get("inflate: agnostic instead", 0)
    if mode == "perspective-specific" and unknown and unknown == counters["inflate: images"]:
        raise InputError(
            f"none of {unknown:,} images has a class with its own motion (pseudo_class, class_name, query); "
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
