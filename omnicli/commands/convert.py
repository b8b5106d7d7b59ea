"""Convert a checkpoint to another format: omni, mmaction2, mmaction (before it), safetensors or ONNX.

    omni convert student.pth student_mmaction2.pth --to mmaction2

    omni convert slowonly_r50_4x16.pth slowonly.pth --classes kinetics400.txt

    omni convert student.pth student.safetensors

    omni convert student.pth student.onnx

IN is any checkpoint that --teacher accepts; no code in it is executed. Metadata that the format of OUT cannot express
is reported and stored in OUT, so that a checkpoint of omni converts back to the same bytes. -v and -n print the model
config that mmaction2 needs beside the file. Memory: about five times the size of IN.

An ONNX program (pip install 'omnicli[onnx]') maps normalised images (N, 3, H, W) or clips (N, 3, T, H, W) to logits,
for any N. It holds class names, preprocessing and temperature, and scores as IN does, which is checked before it is
written. It is a --teacher, and cannot be converted back.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from omnicli import __version__
from omnicli.commands.options.groups import INPUT_OUTPUT, LOGGING, Adapt, takes_groups
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.model import ModelOptions
from omnicli.commands.run.summary import print_options
from omnicli.errors import UsageError
from omnicli.extras import need
from omnicli.models.model_files import local_path
from omnicli.process import stopping_stage
from omnicli.streams.files.stored import size_and_time

if TYPE_CHECKING:
    from omnicli.models.loading import OpenedModel

SUFFIXES: dict[str, "Format"] = {".safetensors": "safetensors", ".onnx": "onnx"}
Format = Literal["omni", "mmaction2", "mmaction", "safetensors", "onnx"]
DRY_RUN = Annotated[
    bool, typer.Option("-n", "--dry-run", help="Read IN, print as JSON what it is and would become, and exit.",
                       rich_help_panel=LOGGING)
]  # fmt: skip


@takes_groups
def command(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="IN", help="A checkpoint of omni or of another program.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Checkpoint to write, atomically.", show_default=False)
    ],
    options: Annotated[ModelOptions, Adapt("modality")],
    logging: Annotated[LoggingOptions, Adapt(dry_run=DRY_RUN)],
    to: Annotated[
        Format | None,
        typer.Option("--to", help="Format of OUT.", show_default="by the suffix of OUT: .safetensors, .onnx, else omni",
                     rich_help_panel=INPUT_OUTPUT),
    ] = None,
) -> None:  # fmt: skip
    target = _target(to, checkpoint, out)
    local_path(checkpoint)
    if target == "onnx":
        need("onnx", "--to onnx")
    console = logging.console("convert")
    with stopping_stage(resumable=False) as stop:
        from omnicli.models.checkpoint import check_writable
        from omnicli.models.loading import open_model
        from omnicli.stages.convert import check_has_place, convert, describe, is_ours

        stop.check()  # an import may have swallowed the exception of a signal
        check_writable(out)
        described: dict[str, Any] = {**options.described(), "num_segments": options.num_segments}
        opened = open_model(checkpoint, classes=options.class_names(), **described)
        _check_described(opened, described)
        if to is None and target == "omni" and is_ours(opened):
            raise UsageError(
                f"{checkpoint}: already a checkpoint of omni; give --to mmaction2, OUT.safetensors or OUT.onnx"
            )
        check_has_place(opened, target)
        facts = describe(opened, target)
        if logging.dry_run:
            print_options({"omni": __version__, "command": "convert", **facts, "out": str(out)})
            return
        sha256 = convert(opened, out, target)
        for sentence in facts["notes"]:
            console.say(sentence)
        if "mmaction2_model" in facts:
            console.detail(f"model = {facts['mmaction2_model']}")
        console.detail(f"sha256 {sha256}")
        console.say(
            f"{facts['name']}, {len(opened.spec.classes):,} classes, {facts['num_tensors']:,} tensors: "
            f"{facts['from']} → {facts['to']}, {size_and_time(out)[0] / 1e6:,.1f} MB"
        )


def _target(to: Format | None, checkpoint: Path, out: Path) -> Format:
    """The format of OUT, by ``--to`` or by suffix. Raises UsageError."""
    if str(out) == "-":
        raise UsageError("OUT -: a checkpoint is a file; stdout carries JSON lines only")
    if out.exists() and checkpoint.exists() and out.samefile(checkpoint):
        raise UsageError(f"{out}: IN and OUT are the same file; name another OUT")
    by_suffix = SUFFIXES.get(out.suffix, "omni")
    for suffix, name in SUFFIXES.items():
        if to is not None and (to == name) != (by_suffix == name):
            raise UsageError(f"--to {to} with OUT {out.name}: --to {name} and the suffix {suffix} need each other")
    return to or by_suffix


def _check_described(opened: "OpenedModel", described: dict[str, Any]) -> None:
    """Refuse options without effect. Raises UsageError."""
    from omnicli.models.checkpoint import Checkpoint

    if isinstance(opened.file, Checkpoint):
        idle, why = ["num_segments"], "stores its number of segments"
    elif opened.network.is_2d:
        idle, why = ["num_frames", "frame_interval"], f"is a {opened.spec.name}, which takes single images"
    else:
        idle, why = ["num_segments"], f"is a {opened.spec.name}, which takes clips"
    given = [f"--{name.replace('_', '-')}" for name in idle if described[name] is not None]
    if given:
        raise UsageError(f"{' and '.join(given)}: {opened.file.path} {why}")
