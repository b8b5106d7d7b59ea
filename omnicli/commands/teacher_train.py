"""Train the teacher on the labelled target data.

    omni teacher-train target/train --val target/val --model tsn-resnet50 -o tsn.pth > metrics.jsonl

    omni teacher-train k400_train.jsonl --recipe tsn-r50-3seg --root /data/k400 -o tsn.pth

    omni teacher-train k400_train.jsonl --recipe slowonly-r50-4x16 --root /data/k400 -o slowonly.pth

TARGET is any INPUT: records with class_name or label, or a folder with one folder a class. One metric record an epoch
goes to stdout. Without --recipe the trunk stays frozen, which suits a few clips a class; --freeze batch-norm fine-tunes
it, --init scratch trains all of it. A killed training goes on with the same command.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from omnicli import __version__
from omnicli.commands import options as o
from omnicli.commands.ledger import Ledger
from omnicli.commands.running import print_options
from omnicli.console import Console
from omnicli.errors import UsageError
from omnicli.recipes import TEACHER_RECIPES, TeacherRecipe, default_teacher_recipe

MODEL = "The model"
LEARNING = "How it learns"

Recipe = StrEnum("Recipe", {name: name for name in TEACHER_RECIPES})  # type: ignore[misc]  # choices from a table


class Freeze(StrEnum):
    """What of the backbone stays as it was loaded."""

    nothing = "nothing"
    batch_norm = "batch-norm"
    backbone = "backbone"


class LrSchedule(StrEnum):
    """How the learning rate falls."""

    step = "step"
    cosine = "cosine"
    constant = "constant"


class Crop(StrEnum):
    """How the training crop is drawn."""

    random_resized = "random-resized"
    multi_scale = "multi-scale"


def command(
    inputs: o.Inputs = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Architecture: tsn-<timm backbone>, such as tsn-resnet50, "
                     "tsm-<ResNet>, or a 3D model such as slowonly-r50, ircsn-r152, r2plus1d-r34.",
                     rich_help_panel=MODEL),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option("--init", metavar="scratch|imagenet|FILE", help="First weights; FILE is a backbone's, or a "
                     "checkpoint of any program. 2D weights are inflated into 3D models.", show_default="imagenet",
                     rich_help_panel=MODEL),
    ] = None,
    num_segments: Annotated[
        int | None, typer.Option("--num-segments", min=1, metavar="N", help="Snippets of a clip, for 2D models.",
                                 show_default="3, TSM 8", rich_help_panel=MODEL)
    ] = None,
    num_frames: Annotated[
        int | None, typer.Option("--num-frames", min=1, metavar="N", help="Frames of a clip, for 3D models: the 4 of "
                                 "4x16.", show_default="as published", rich_help_panel=MODEL)
    ] = None,
    frame_interval: Annotated[
        int | None, typer.Option("--frame-interval", min=1, metavar="N", help="Frames of the video from one to the "
                                 "next of them: the 16 of 4x16.", show_default="as published", rich_help_panel=MODEL)
    ] = None,
    short_side: Annotated[
        int | None, typer.Option("--short-side", min=8, metavar="PIXELS", help="Resize to this before cropping.",
                                 show_default="8/7 of the crop", rich_help_panel=MODEL)
    ] = None,
    crop_size: Annotated[
        int | None, typer.Option("--crop-size", min=8, metavar="PIXELS", help="The square the model sees.",
                                 show_default="the backbone's own", rich_help_panel=MODEL)
    ] = None,
    freeze: Annotated[
        Freeze | None, typer.Option("--freeze", help="What of the backbone stays as loaded.",
                                    show_default="backbone", rich_help_panel=MODEL)
    ] = None,
    dropout: Annotated[
        float | None, typer.Option("--dropout", min=0.0, max=1.0, help="Before the classifier.",
                                   show_default="0.4 for TSN, 0.5 for others", rich_help_panel=MODEL)
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option("--classes", metavar="FILE", help="Class names, one a line: their order is that of the labels.",
                     rich_help_panel=LEARNING),
    ] = None,
    val: Annotated[
        list[str] | None,
        typer.Option("--val", metavar="INPUT", help="Labelled records to measure each epoch on; may be repeated.",
                     rich_help_panel=LEARNING),
    ] = None,
    recipe: Annotated[
        Recipe | None,
        typer.Option("--recipe", help="Fill what is unset from a row of the paper's settings, or ours for few clips.",
                     show_default="few-clips", rich_help_panel=LEARNING),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Passes over the target.", show_default="the recipe's",
                                 rich_help_panel=LEARNING)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, metavar="N", envvar="OMNI_BATCH_SIZE", help="Clips of one step; the "
                     "recipe's learning rate is scaled with it.", show_default="the recipe's",
                     rich_help_panel=LEARNING),
    ] = None,
    lr: Annotated[
        float | None, typer.Option("--lr", min=0.0, help="Learning rate of the classifier at this batch size.",
                                   show_default="the recipe's", rich_help_panel=LEARNING)
    ] = None,
    backbone_lr_scale: Annotated[
        float | None, typer.Option("--backbone-lr-scale", min=0.0, help="The backbone's learning rate, relative.",
                                   show_default="the recipe's", rich_help_panel=LEARNING)
    ] = None,
    lr_schedule: Annotated[
        LrSchedule | None, typer.Option("--lr-schedule", help="How the learning rate falls.",
                                        show_default="the recipe's", rich_help_panel=LEARNING)
    ] = None,
    milestones: Annotated[
        str | None, typer.Option("--milestones", metavar="N,N", help="Epochs of --lr-schedule step.",
                                 show_default="the recipe's", rich_help_panel=LEARNING)
    ] = None,
    warmup_epochs: Annotated[
        float | None, typer.Option("--warmup-epochs", min=0.0, help="Linear rise at the start.",
                                   show_default="0", rich_help_panel=LEARNING)
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", min=0.0, help="L2 on all weights.", show_default="0.0001",
                                   rich_help_panel=LEARNING)
    ] = None,
    label_smoothing: Annotated[
        float | None, typer.Option("--label-smoothing", min=0.0, max=0.99, help="Share of a label spread over all "
                                   "classes.", show_default="0", rich_help_panel=LEARNING)
    ] = None,
    mixup_alpha: Annotated[
        float | None, typer.Option("--mixup-alpha", min=0.0, help="Intra-dataset mixup, λ ~ Beta(α, α); 0 is none.",
                                   show_default="0", rich_help_panel=LEARNING)
    ] = None,
    crop: Annotated[
        Crop | None, typer.Option("--crop", help="How the training crop is drawn.", show_default="random-resized",
                                  rich_help_panel=LEARNING)
    ] = None,
    temperature: Annotated[
        bool, typer.Option("--temperature/--no-temperature", help="Fit a temperature on held-out training clips, "
                           "where there are enough.", rich_help_panel=LEARNING)
    ] = True,
    workers: o.Workers = None,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    seed: o.Seed = 0,
    files_from: o.FilesFrom = None,
    null_separated: o.NullSeparated = False,
    root: o.Root = None,
    limit: o.Limit = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="The checkpoint; absent until training has finished.",
                     rich_help_panel=o.STREAMS),
    ] = None,
    rejects: o.Rejects = None,
    summary: o.Summary = None,
    resume: o.Resume = True,
    max_bad: o.MaxBad = None,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:  # fmt: skip
    given: dict[str, Any] = {
        "model": model, "init": init, "num_segments": num_segments, "num_frames": num_frames,
        "frame_interval": frame_interval, "short_side": short_side, "crop_size": crop_size,
        "freeze": freeze and freeze.value, "dropout": dropout, "epochs": epochs, "batch_size": batch_size, "lr": lr,
        "backbone_lr_scale": backbone_lr_scale, "schedule": lr_schedule and lr_schedule.value,
        "milestones": _parse_milestones(milestones), "warmup_epochs": warmup_epochs, "weight_decay": weight_decay,
        "label_smoothing": label_smoothing, "mixup_alpha": mixup_alpha, "crop": crop and crop.value,
    }  # fmt: skip
    name, row = resolve_recipe(recipe and recipe.value, given)
    if out is None:
        raise UsageError("teacher-train writes a checkpoint: give -o FILE")
    if out.is_dir() or str(out).endswith("/"):
        raise UsageError(f"-o {out}: a folder; teacher-train writes one file")
    options = {"recipe": name, **asdict(row), "seed": seed, "temperature": temperature,
               "classes": classes, "inputs": inputs or ["-"], "val": val, "out": out}  # fmt: skip
    if dry_run:
        print_options({"omni": __version__, "command": "teacher-train", **options})
        return
    console = Console("teacher-train", quiet=quiet, verbose=verbose)
    console.detail(f"recipe {name}: {row}")
    streams = {"files_from": files_from, "null_separated": null_separated, "limit": limit}
    learning = {"recipe": row, "seed": seed, "calibrate": temperature, "resume": resume}
    where = {"workers": workers, "device": device, "precision": precision, "root": root}
    with Ledger(console, rejects=rejects, max_bad=max_bad, summary=summary, options=options) as ledger:
        _train(inputs or [], val, classes, out, streams, learning, where, console, ledger)


def resolve_recipe(name: str | None, given: Mapping[str, Any]) -> tuple[str, TeacherRecipe]:
    """The recipe, and its row with what the user gave over it.

    Raises:
        UsageError: no architecture, or options that do nothing together.
    """
    name = name or default_teacher_recipe(init=given["init"], freeze=given["freeze"])
    row = replace(TEACHER_RECIPES[name], **{key: value for key, value in given.items() if value is not None})
    if given["lr"] is not None:  # said for this batch size, so nothing is scaled
        row = replace(row, reference_batch_size=row.batch_size)
    if row.model is None:
        raise UsageError("no architecture: give --model, such as --model tsn-resnet50, or a --recipe that has one")
    if row.init == "scratch" and row.freeze != "nothing":
        raise UsageError(f"--freeze {row.freeze} with --init scratch would keep random weights: give --init FILE")
    if given["backbone_lr_scale"] is not None and row.freeze == "backbone":
        raise UsageError("--backbone-lr-scale does nothing while the trunk is frozen: give --freeze batch-norm too")
    if given["milestones"] is not None and row.schedule != "step":
        raise UsageError(f"--milestones goes with --lr-schedule step, not {row.schedule}")
    if row.short_side and row.crop_size and row.crop_size > row.short_side:
        raise UsageError(f"--crop-size {row.crop_size} does not fit into --short-side {row.short_side}")
    return name, row


def _parse_milestones(text: str | None) -> tuple[int, ...] | None:
    """``40,80`` → (40, 80). Raises UsageError."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--milestones: expected epochs such as 40,80, got {text!r}") from None


def _train(
    inputs: list[str],
    val: list[str] | None,
    classes: Path | None,
    out: Path,
    streams: Mapping[str, Any],
    learning: Mapping[str, Any],
    where: Mapping[str, Any],
    console: Console,
    ledger: Ledger,
) -> None:
    from omnicli.cores import available_cores
    from omnicli.engine.device import pick_device, pick_precision, set_threads
    from omnicli.feeds import Setting
    from omnicli.stages.teacher_train import train_teacher
    from omnicli.streams.classes import read_classes
    from omnicli.streams.outputs import open_stdout
    from omnicli.streams.records import format_record

    device = pick_device(where["device"])
    set_threads()
    last: dict[str, Any] = {}
    with stopping_when_asked() as asked:
        setting = Setting(
            device=device,
            precision=pick_precision(where["precision"], device),
            workers=where["workers"] or available_cores(),
            root=where["root"],
            should_stop=asked,
        )
        metrics = train_teacher(
            ledger.read(inputs, root=where["root"], **streams),
            val=ledger.read(val, root=where["root"]) if val else None,
            classes=read_classes(classes) if classes else None,
            out=out,
            setting=setting,
            on_drop=ledger.on_drop,
            **learning,
        )
        stdout = open_stdout(live=True)
        with console.progress(lambda: f"{ledger.num_in:,} in, {_shown(last)}"):
            for line in metrics:
                stdout.write(format_record(line))
                last.update(line)
        ledger.result = last
        console.say(f"{ledger.sums()}; {_shown(last)} → {out}")


@contextlib.contextmanager
def stopping_when_asked() -> Iterator[Any]:
    """SIGTERM and SIGUSR1 (what Slurm sends before the end) are noted, and training stops after the step.

    Yields:
        A function that tells whether one came.
    """
    asked = threading.Event()
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _shown(metrics: Mapping[str, Any]) -> str:
    """The metrics people want to see."""
    if not metrics:
        return "no epoch yet"
    names = {"train_top1_acc": "train top-1", "val_top1_acc": "val top-1"}
    shown = [f"{text} {100 * metrics[name]:.1f} %" for name, text in names.items() if name in metrics]
    return f"epoch {metrics['epoch'] + 1}, " + ", ".join(shown)
