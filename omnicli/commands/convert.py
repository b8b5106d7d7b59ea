"""Write a checkpoint in another format: ours, mmaction2's, old mmaction's, or safetensors.

    omni convert student.pth student_mmaction2.pth --to mmaction2

    omni convert slowonly_r50_4x16.pth slowonly.pth --classes kinetics400.txt

    omni convert student.pth student.safetensors

IN is whatever --teacher takes; nothing in it is ever run. What the format of OUT has no place for is said, and travels
along unseen: converted back, a checkpoint of ours has the bytes it had. With -v, and in -n, the model config that
mmaction2 needs beside the file. Memory: about five times the size of IN.
"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicli import __version__
from omnicli.commands.options import shared as o
from omnicli.commands.run.runner import print_options, stopping_on_sigterm
from omnicli.console import Console
from omnicli.errors import UsageError

if TYPE_CHECKING:
    from omnicli.models.loading import OpenedModel

FORMAT = "Format"
SUFFIX = ".safetensors"


class To(StrEnum):
    """What OUT is for."""

    omni = "omni"
    mmaction2 = "mmaction2"
    mmaction = "mmaction"
    safetensors = "safetensors"


def command(
    checkpoint: Annotated[Path, typer.Argument(metavar="IN", help="A checkpoint of ours or of another program.",
                                               show_default=False)],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="The checkpoint to write; appears whole or not at all.", show_default=False),
    ],
    to: Annotated[
        To | None,
        typer.Option("--to", help="Whose format OUT has; mmaction is the predecessor of mmaction2.",
                     show_default="safetensors for OUT.safetensors, else omni", rich_help_panel=FORMAT),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option("--classes", metavar="FILE", help="Class names, one a line, where IN has none.",
                     rich_help_panel=o.COMPUTE),
    ] = None,
    model: o.ModelName = None,
    num_segments: Annotated[
        int | None, typer.Option("--num-segments", min=1, metavar="N", help="Snippets a video, for a 2D checkpoint of "
                                 "another program.", show_default="as published", rich_help_panel=o.COMPUTE)
    ] = None,
    num_frames: o.NumFrames = None,
    frame_interval: o.FrameInterval = None,
    dry_run: Annotated[
        bool, typer.Option("-n", "--dry-run", help="Read IN, print as JSON what it is and would become, and stop.",
                           rich_help_panel=o.TALK)
    ] = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:  # fmt: skip
    target = _target(to, checkpoint, out)
    told: dict[str, Any] = {
        "name": model, "num_segments": num_segments, "num_frames": num_frames, "frame_interval": frame_interval,
    }  # fmt: skip
    console = Console("convert", quiet=quiet, verbose=verbose)
    with stopping_on_sigterm(resumable=False):
        from omnicli.models.checkpoint import check_writable
        from omnicli.models.loading import open_model
        from omnicli.stages.convert import check_has_place, convert, describe, is_ours
        from omnicli.streams.class_names import read_classes

        check_writable(out)
        opened = open_model(checkpoint, classes=read_classes(classes) if classes else None, **told)
        _check_told(opened, told)
        if to is None and target is To.omni and is_ours(opened):
            raise UsageError(
                f"{checkpoint}: is ours already; --to mmaction2, or OUT{SUFFIX}, makes something else of it"
            )
        check_has_place(opened, target.value)
        facts = describe(opened, target.value)
        if dry_run:
            print_options({"omni": __version__, "command": "convert", **facts, "out": str(out)})
            return
        sha256 = convert(opened, out, target.value)
        for sentence in facts["notes"]:
            console.say(sentence)
        if "mmaction2_model" in facts:
            console.detail(f"model = {facts['mmaction2_model']}")
        console.detail(f"sha256 {sha256}")
        console.say(
            f"{facts['name']}, {len(opened.spec.classes):,} classes, {facts['num_tensors']:,} tensors: "
            f"{facts['from']} → {facts['to']}, {out.stat().st_size / 1e6:,.1f} MB"
        )


def _target(to: To | None, checkpoint: Path, out: Path) -> To:
    """What OUT becomes: as told, or by its suffix. Raises UsageError."""
    if str(out) == "-":
        raise UsageError("OUT -: a checkpoint is a file; stdout carries JSON lines only")
    if out.exists() and checkpoint.exists() and out.samefile(checkpoint):
        raise UsageError(f"{out}: IN and OUT are the same file; name another OUT")
    is_safetensors = out.suffix == SUFFIX
    if to is not None and (to is To.safetensors) != is_safetensors:
        raise UsageError(
            f"--to {to.value} with OUT {out.name}: the suffix {SUFFIX} goes with --to safetensors, and only so"
        )
    return to or (To.safetensors if is_safetensors else To.omni)


def _check_told(opened: "OpenedModel", told: dict[str, Any]) -> None:
    """No option may do nothing. Raises UsageError."""
    from omnicli.models.checkpoint import Checkpoint

    if isinstance(opened.file, Checkpoint):
        idle, why = ["num_segments"], "knows how many itself"
    elif opened.network.is_2d:
        idle, why = ["num_frames", "frame_interval"], f"is a {opened.spec.name}, which looks at single images"
    else:
        idle, why = ["num_segments"], f"is a {opened.spec.name}, which looks at clips"
    given = [f"--{name.replace('_', '-')}" for name in idle if told[name] is not None]
    if given:
        raise UsageError(f"{' and '.join(given)}: {opened.file.path} {why}")
