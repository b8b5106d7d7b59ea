"""Train the teacher on the labelled target data.

    omni teacher-train target/train --val target/val --model tsn-resnet50 -o tsn.pth > metrics.jsonl

    omni teacher-train k400_train.jsonl --recipe tsn-r50-3seg --root /data/k400 -o tsn.pth

    omni teacher-train k400_train.jsonl --recipe slowonly-r50-4x16 --root /data/k400 -o slowonly.pth

Any INPUT will do that says its classes: records with class_name or label, or a folder with one folder a class. One
metric record an epoch goes to stdout, the checkpoint to -o. Without --recipe the backbone stays frozen, which suits a
few
clips a class; --freeze batch-norm fine-tunes it, --init scratch trains all of it. A teacher of images has to be a 2D
model (tsn-...); 3D models see videos only. A killed training goes on with the same command.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from omnicli import __version__
from omnicli.commands.options import shared as o
from omnicli.commands.options import training as t
from omnicli.commands.options.checks import check_outputs_differ
from omnicli.commands.run.counters import Ledger
from omnicli.commands.run.runner import print_options
from omnicli.commands.run.training_run import shown_metrics, stopping_when_asked
from omnicli.console import Console
from omnicli.errors import UsageError
from omnicli.training.recipes import TEACHER_RECIPES, TeacherRecipe, default_teacher_recipe


def command(
    inputs: o.Inputs = None,
    model: t.Model = None,
    init: t.Init = None,
    num_segments: t.NumSegments = None,
    num_frames: t.NumFrames = None,
    frame_interval: t.FrameInterval = None,
    short_side: t.ShortSide = None,
    crop_size: t.CropSize = None,
    freeze: t.FreezeOption = None,
    dropout: t.Dropout = None,
    classes: t.Classes = None,
    val: t.Val = None,
    recipe: t.RecipeOption = None,
    epochs: t.Epochs = None,
    batch_size: t.BatchSize = None,
    lr: t.Lr = None,
    backbone_lr_scale: t.BackboneLrScale = None,
    lr_schedule: t.LrScheduleOption = None,
    milestones: t.Milestones = None,
    warmup_epochs: t.WarmupEpochs = None,
    weight_decay: t.WeightDecay = None,
    label_smoothing: t.LabelSmoothing = None,
    mixup_alpha: Annotated[
        float | None,
        typer.Option(
            "--mixup-alpha",
            metavar="X",
            min=0.0,
            help="Intra-dataset mixup, λ ~ Beta(α, α); 0 is none.",
            show_default="0",
            rich_help_panel=t.LEARNING,
        ),
    ] = None,
    crop: t.CropOption = None,
    temperature: t.Temperature = True,
    workers: o.Workers = None,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    seed: o.Seed = 0,
    files_from: o.FilesFrom = None,
    null_separated: o.NullSeparated = False,
    root: o.Root = None,
    limit: o.Limit = None,
    out: t.OutFile = None,
    rejects: o.Rejects = None,
    summary: o.Summary = None,
    resume: o.Resume = True,
    max_bad: o.MaxBad = None,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    given: dict[str, Any] = {
        "model": model, "init": init, "num_segments": num_segments, "num_frames": num_frames,
        "frame_interval": frame_interval, "short_side": short_side, "crop_size": crop_size,
        "freeze": freeze and freeze.value, "dropout": dropout, "epochs": epochs, "batch_size": batch_size, "lr": lr,
        "backbone_lr_scale": backbone_lr_scale, "schedule": lr_schedule and lr_schedule.value,
        "milestones": t.parse_milestones(milestones), "warmup_epochs": warmup_epochs, "weight_decay": weight_decay,
        "label_smoothing": label_smoothing, "mixup_alpha": mixup_alpha, "crop": crop and crop.value,
    }  # fmt: skip
    name, row = resolve_recipe(recipe and recipe.value, given)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("teacher-train is one process; several train with: torchrun ... -m omnicli train --target ...")
    if out is None:
        raise UsageError("teacher-train writes a checkpoint: give -o FILE")
    if out.is_dir() or str(out).endswith("/"):
        raise UsageError(f"-o {out}: a folder; teacher-train writes one file")
    check_outputs_differ({"-o": out, "--rejects": rejects, "--summary": summary})
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
    books = Ledger(console, rejects=rejects, max_bad=max_bad, summary=summary, options=options)
    with stopping_when_asked() as asked, books as ledger:
        _train(inputs or [], val, classes, out, streams, learning, {**where, "asked": asked}, console, ledger)


def resolve_recipe(name: str | None, given: Mapping[str, Any]) -> tuple[str, TeacherRecipe]:
    """The recipe, and its row with what the user gave over it.

    Raises:
        UsageError: no architecture, or options that do nothing together.
    """
    name = name or default_teacher_recipe(init=given["init"], freeze=given["freeze"])
    row = replace(TEACHER_RECIPES[name], **{key: value for key, value in given.items() if value is not None})
    if given["lr"] is not None:  # said for this batch size, so nothing is scaled
        row = replace(row, reference_batch_size=row.batch_size)
    if row.model is None and row.init not in ("scratch", "imagenet"):
        row = _continued(row)
    if row.model is None:
        raise UsageError("no architecture: give --model, such as --model tsn-resnet50, or a --recipe that has one")
    if row.init == "scratch" and row.freeze != "nothing":
        raise UsageError(f"--freeze {row.freeze} with --init scratch would keep random weights: give --init FILE")
    if given["backbone_lr_scale"] is not None and row.freeze == "backbone":
        raise UsageError("--backbone-lr-scale does nothing while the backbone is frozen: give --freeze batch-norm too")
    if given["milestones"] is not None and row.schedule != "step":
        raise UsageError(f"--milestones goes with --lr-schedule step, not {row.schedule}")
    if row.short_side and row.crop_size and row.crop_size > row.short_side:
        raise UsageError(f"--crop-size {row.crop_size} does not fit into --short-side {row.short_side}")
    return name, row


def _continued(row: TeacherRecipe) -> TeacherRecipe:
    """With the architecture of ``--init FILE``, where omni wrote it, and its frames and sizes where none are given.

    Raises:
        ModelError: the file cannot be read.
    """
    from omnicli.models.factory import stored_options

    unset = {name: value for name, value in stored_options(row.init).items() if getattr(row, name) is None}
    return replace(row, **unset)


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
    from omnicli.cpus import available_cores
    from omnicli.inference.device import pick_device, pick_precision, set_threads
    from omnicli.stages.teacher_train import train_teacher
    from omnicli.streams.class_names import read_classes
    from omnicli.streams.record import format_record
    from omnicli.streams.write.stdout import open_stdout
    from omnicli.training.context import TrainingContext

    device = pick_device(where["device"])
    set_threads()
    last: dict[str, Any] = {}
    setting = TrainingContext(
        device=device,
        precision=pick_precision(where["precision"], device),
        workers=where["workers"] or available_cores(),
        root=where["root"],
        should_stop=where["asked"],
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
    with console.progress(lambda: f"{ledger.num_in:,} in, {shown_metrics(last)}"):
        for line in metrics:
            stdout.write(format_record(line))
            last.update(line)
    ledger.result = last
    console.say(f"{ledger.sums()}; {shown_metrics(last)} → {out}")
