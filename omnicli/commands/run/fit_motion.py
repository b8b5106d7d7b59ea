"""``inflate --fit``: videos in, one motion file out."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from omnicli import __version__
from omnicli.commands.invocation import refuse_to_prepare
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.streams import StreamOptions, check_folder_exists
from omnicli.commands.run.counters import ReadAccountant
from omnicli.commands.run.summary import print_options
from omnicli.errors import UsageError
from omnicli.process import stopping_stage

if TYPE_CHECKING:
    from omnicli.motion.motion_file import Motion


def run_fit(streams: StreamOptions, logging: LoggingOptions, *, max_pairs: int, seed: int, workers: int | None) -> None:
    """Fit the camera motion of videos and write it to ``-o``. Raises OmniError."""
    refuse_to_prepare("--fit")
    options = {"omni": __version__, "command": "inflate --fit", "max_pairs": max_pairs, "seed": seed,
               "limit": streams.limit}  # fmt: skip
    if logging.dry_run:
        print_options({**options, "inputs": streams.inputs or ["-"], "output": streams.output})
        return
    if not streams.output or streams.to_folder:
        raise UsageError("--fit writes one file: give -o motion.json")
    streams.check(whole_stream="--fit")
    check_folder_exists(Path(streams.output))
    from omnicli.cpus import available_cores
    from omnicli.motion.motion_file import write_motion
    from omnicli.stages.inflate.fit import fit_motion

    console = logging.console("inflate")
    pairs = Counter[str]()
    with stopping_stage(resumable=False), ReadAccountant(console, streams, options=options) as accountant:
        with console.progress(lambda: f"{accountant.sums()}; {pairs['used']:,} pairs of frames"):
            motion = fit_motion(
                accountant.read(streams), max_pairs=max_pairs, seed=seed, workers=workers or available_cores(),
                root=streams.root, on_drop=accountant.on_drop, on_pairs=lambda count: pairs.update(used=count),
            )  # fmt: skip
        write_motion(Path(streams.output), motion)
        accountant.result = {"pairs": motion.agnostic.num_pairs, "left_out": motion.left_out,
                             "classes": len(motion.classes)}  # fmt: skip
        for line in (accountant.sums(), *_describe(motion)):
            console.say(line)


def _describe(motion: "Motion") -> list[str]:
    """What was fitted, in sentences."""
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
    scales = try_paths("perspective-agnostic", fitted.gaussian, num_frames=4, frame_interval=16)
    lines.append(
        f"a 4x16 clip shows {sorted(scales)[len(scales) // 2]:.0%} of an image's sides; "
        f"{(scales < MIN_CROP).mean():.1%} of the motions are drawn again (a crop under {MIN_CROP:.0%})"
    )
    return lines
