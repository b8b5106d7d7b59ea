"""Train one student on the target and all web sources at once.

    omni train --target target/train --auxiliary kept.jsonl --val target/val --model tsn-resnet50 -o student.pth

    omni train --target t.jsonl --auxiliary gg.jsonl --auxiliary ig.jsonl --ratio 2:1:1 --recipe tsn-r50-3seg -o s.pth

    torchrun --nproc-per-node 8 -m omnicli train --target t.jsonl --auxiliary w.jsonl --recipe ircsn-r152-32x2 -o s.pth

    omni train --target t.h5 --auxiliary web.h5 --init tsn.pth --freeze backbone -o student.pth

The loss of a step is the sum over a batch of the target and one of each web source (Eq. 1). Web records carry
pseudo_label (omni filter, omni segment) and, where classes are to be balanced, weight (omni balance). Images, videos,
pieces of them, folders of frames and rows of shards go together; of rows of features (omni features) only a classifier
is learnt, in seconds. One metric record an epoch and source goes to stdout. A killed training goes on with the same
command, bit for bit on a CPU. Records are held in memory, about 2 KB each in every process; clips are not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicli import __version__
from omnicli.commands.options import shared as o
from omnicli.commands.options import training as t
from omnicli.commands.options.checks import check_outputs_differ, refuse_given
from omnicli.commands.run.counters import Ledger
from omnicli.commands.run.runner import digest_of, print_options
from omnicli.commands.run.training_run import drawing, shown_metrics, stopping_when_asked
from omnicli.commands.teacher_train import resolve_recipe
from omnicli.console import Console
from omnicli.errors import InputError, Interrupted, UsageError
from omnicli.training.recipes import StudentRecipe

if TYPE_CHECKING:
    from omnicli.streams.record import Record
    from omnicli.training.distributed import World

SOURCES = "The data"
DEFAULT_ALPHA = 0.2


class Joint(StrEnum):
    """How sources share the updates."""

    together = "together"
    alternate = "alternate"


class Mixup(StrEnum):
    """Whose partners mixup takes."""

    none = "none"
    intra = "intra"
    cross = "cross"


class AuxiliaryLabel(StrEnum):
    """The field that says what a web record shows."""

    pseudo_label = "pseudo_label"
    query = "query"
    label = "label"


def command(
    context: typer.Context,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="INPUT", help="Labelled records; may be repeated. An epoch is one pass of "
                     "them.", rich_help_panel=SOURCES),
    ] = None,
    auxiliary: Annotated[
        list[str] | None,
        typer.Option("--auxiliary", metavar="INPUT", help="Web records; each --auxiliary is a source of its own.",
                     rich_help_panel=SOURCES),
    ] = None,
    ratio: Annotated[
        str | None,
        typer.Option("--ratio", metavar="R:R:...", help="Samples of a step: the target's, and each source's in turn. "
                     "With --joint alternate: batches.", show_default="1:1 for one source, 2:1:...:1 for several",
                     rich_help_panel=SOURCES),
    ] = None,
    joint: Annotated[
        Joint, typer.Option("--joint", help="together: one update for all sources (Eq. 1). alternate: one for the "
                            "batch of each, as in the released code.", rich_help_panel=SOURCES)
    ] = Joint.together,
    auxiliary_label: Annotated[
        AuxiliaryLabel, typer.Option("--auxiliary-label", help="The field that says what a web record shows. Of "
                                     "several queries one is drawn each epoch.", rich_help_panel=SOURCES)
    ] = AuxiliaryLabel.pseudo_label,
    soft_labels: Annotated[
        bool, typer.Option("--soft-labels", help="Teach the teacher's five best scores (top_scores) instead of one "
                           "class.", rich_help_panel=SOURCES)
    ] = False,
    snippets: Annotated[
        str | None, typer.Option("--snippets", metavar="P:N", help="Positive and negative snippets of a segmented "
                                 "video, for 2D models; together the number of segments.", show_default="1:2",
                                 rich_help_panel=SOURCES)
    ] = None,
    query_map: Annotated[
        Path | None, typer.Option("--query-map", metavar="FILE", help="Lines `query<TAB>class name`, for queries that "
                                  "are no class name.", rich_help_panel=SOURCES)
    ] = None,
    classes: t.Classes = None,
    val: t.Val = None,
    model: t.Model = None,
    init: t.Init = None,
    num_segments: t.NumSegments = None,
    num_frames: t.NumFrames = None,
    frame_interval: t.FrameInterval = None,
    short_side: t.ShortSide = None,
    crop_size: t.CropSize = None,
    freeze: t.FreezeOption = None,
    dropout: t.Dropout = None,
    recipe: t.RecipeOption = None,
    epochs: t.Epochs = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, metavar="N", envvar="OMNI_BATCH_SIZE", help="Target samples of one step, "
                     "on each device; --ratio gives the others. The recipe's learning rate grows with all of them.",
                     show_default="the recipe's", rich_help_panel=t.LEARNING),
    ] = None,
    auxiliary_batch_size: Annotated[
        list[int] | None,
        typer.Option("--auxiliary-batch-size", min=1, metavar="N", help="With --joint alternate: samples of a batch of "
                     "each source in turn; once for each.", show_default="--batch-size", rich_help_panel=t.LEARNING),
    ] = None,
    accumulate: Annotated[
        int, typer.Option("--accumulate", min=1, metavar="N", help="Cut each batch into N forward passes and add up "
                          "their gradients: less memory for the same step (batch-norm sees the smaller parts).",
                          rich_help_panel=t.LEARNING)
    ] = 1,
    lr: t.Lr = None,
    backbone_lr_scale: t.BackboneLrScale = None,
    lr_schedule: t.LrScheduleOption = None,
    milestones: t.Milestones = None,
    warmup_epochs: t.WarmupEpochs = None,
    weight_decay: t.WeightDecay = None,
    label_smoothing: t.LabelSmoothing = None,
    mixup: Annotated[
        Mixup, typer.Option("--mixup", help="intra: mix samples of each source among themselves. cross: target and web "
                            "samples with each other (cross-dataset mixup).", rich_help_panel=t.LEARNING)
    ] = Mixup.none,
    mixup_alpha: Annotated[
        float | None, typer.Option("--mixup-alpha", metavar="X", min=0.0, help="λ ~ Beta(α, α).", show_default="0.2",
                                   rich_help_panel=t.LEARNING)
    ] = None,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="A sigmoid for each class: records may have several labels, or lists "
                           "of class names.", rich_help_panel=t.LEARNING)
    ] = False,
    ema: Annotated[
        float, typer.Option("--ema", min=0.0, max=1.0, metavar="DECAY", help="Keep the average of the weights over "
                            "steps instead of the last ones; such as 0.999.", show_default="none",
                            rich_help_panel=t.LEARNING)
    ] = 0.0,
    crop: t.CropOption = None,
    temperature: t.Temperature = True,
    workers: o.Workers = None,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    compile_model: Annotated[
        bool, typer.Option("--compile", help="Translate the model with torch.compile first: minutes, then faster.",
                           rich_help_panel=o.COMPUTE)
    ] = False,
    seed: o.Seed = 0,
    root: o.Root = None,
    out: t.OutFile = None,
    rejects: o.Rejects = None,
    summary: o.Summary = None,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", metavar="DIR", help="Draw the metrics there too.",
                                  rich_help_panel=o.STREAMS)
    ] = None,
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
        "milestones": t.parse_milestones(milestones), "warmup_epochs": warmup_epochs, "weight_decay": weight_decay,
        "label_smoothing": label_smoothing, "mixup_alpha": mixup_alpha, "crop": crop and crop.value,
    }  # fmt: skip
    sharing = {
        "ratio": parse_ratio(ratio), "alternate": joint is Joint.alternate,
        "auxiliary_batch_sizes": tuple(auxiliary_batch_size or ()), "auxiliary_label": auxiliary_label.value,
        "soft_labels": soft_labels, "mixup": mixup.value, "multi_label": multi_label, "ema": ema,
        "num_passes": accumulate, "snippets": parse_ratio(snippets, name="--snippets", example="1:2"),
    }  # fmt: skip
    name, row = resolve_student(recipe and recipe.value, given, sharing, num_web=len(auxiliary or ()))
    if compile_model and row.freeze == "backbone":
        raise UsageError("--compile does nothing while the backbone is frozen: give --freeze batch-norm or nothing")
    if not target:
        raise UsageError("give --target, the labelled records")
    if out is None:
        raise UsageError("train writes a checkpoint: give -o FILE")
    if out.is_dir() or str(out).endswith("/"):
        raise UsageError(f"-o {out}: a folder; train writes one file")
    check_outputs_differ({"-o": out, "--rejects": rejects, "--summary": summary})
    if multi_label:
        refuse_given(context, ("temperature",), "is of one softmax over classes, not for --multi-label")
    calibrate = temperature and not multi_label
    if query_map and auxiliary_label is not AuxiliaryLabel.query:
        raise UsageError("--query-map goes with --auxiliary-label query")
    sources = name_sources(auxiliary or [])
    options = {"recipe": name, **asdict(row), "seed": seed, "temperature": calibrate, "target": target,
               "auxiliary": sources, "val": val, "classes": classes,
               "query_map": query_map and digest_of(query_map, InputError), "out": out}  # fmt: skip
    if dry_run:
        print_options({"omni": __version__, "command": "train", **options})
        return
    data = {"target": target, "sources": sources, "val": val, "classes": classes, "query_map": query_map}
    learning = {"recipe": row, "seed": seed, "calibrate": calibrate, "resume": resume}
    where = {"workers": workers, "device": device, "precision": precision, "root": root, "compile": compile_model}
    books = {"rejects": rejects, "max_bad": max_bad, "summary": summary, "options": options}
    _join(data, out, learning, where, books, tensorboard, {"quiet": quiet, "verbose": verbose})


def resolve_student(
    recipe: str | None, given: Mapping[str, Any], sharing: Mapping[str, Any], *, num_web: int
) -> tuple[str, StudentRecipe]:
    """The recipe, and its row with what the user gave over it.

    Raises:
        UsageError: no architecture, or options that do nothing together.
    """
    _check_sharing(given, sharing, num_web)
    mixes = sharing["mixup"] != "none"
    alpha = given["mixup_alpha"] or DEFAULT_ALPHA
    name, row = resolve_recipe(recipe, {**given, "mixup_alpha": alpha if mixes else 0.0})
    if sharing["multi_label"] and row.label_smoothing:
        raise UsageError("--label-smoothing is for one softmax over classes, not for --multi-label")
    inherited = {field.name: getattr(row, field.name) for field in fields(row)}
    student = StudentRecipe(**inherited, **sharing)
    if given["lr"] is not None:  # said for the step at hand, so nothing is scaled
        student = replace(student, reference_batch_size=0)
    return name, student


def _check_sharing(given: Mapping[str, Any], sharing: Mapping[str, Any], num_web: int) -> None:
    """Refuse what does nothing. Raises UsageError."""
    if given["mixup_alpha"] is not None and sharing["mixup"] == "none":
        raise UsageError("--mixup-alpha goes with --mixup intra or --mixup cross")
    if given["mixup_alpha"] == 0:
        raise UsageError("--mixup-alpha 0 mixes nothing: give a number above 0, or --mixup none")
    if sharing["mixup"] == "cross" and (not num_web or sharing["alternate"]):
        raise UsageError("--mixup cross mixes samples of one step: it needs --auxiliary, and --joint together")
    if sharing["auxiliary_batch_sizes"] and not sharing["alternate"]:
        raise UsageError("--auxiliary-batch-size goes with --joint alternate; --ratio says it otherwise")
    for option, field in (("--joint", "alternate"), ("--soft-labels", "soft_labels"), ("--snippets", "snippets")):
        if sharing[field] and not num_web:
            raise UsageError(f"{option} is for web sources: give --auxiliary")
    if sharing["ema"] == 1:
        raise UsageError("--ema 1 would keep the weights of the first step; give less, such as 0.999")
    num_sizes = len(sharing["auxiliary_batch_sizes"])
    if num_sizes not in (0, num_web):
        raise UsageError(f"--auxiliary-batch-size: given {num_sizes} times for {num_web} sources")
    if sharing["soft_labels"] and (sharing["auxiliary_label"] != "pseudo_label" or sharing["multi_label"]):
        raise UsageError("--soft-labels go with --auxiliary-label pseudo_label, and not with --multi-label")


def parse_ratio(text: str | None, *, name: str = "--ratio", example: str = "2:1:1") -> tuple[int, ...]:
    """``2:1:1`` → (2, 1, 1). Raises UsageError.

    >>> parse_ratio("2:1:1"), parse_ratio(None)
    ((2, 1, 1), ())
    """
    if text is None:
        return ()
    parts = text.split(":")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"{name}: expected whole numbers above 0 such as {example}, got {text!r}")
    return tuple(map(int, parts))


def name_sources(inputs: list[str]) -> dict[str, str]:
    """A name for each web source, from its file, or its folder where the file has but a number.

    >>> name_sources(["a/gg.jsonl.gz", "b/gg.jsonl", "ig/00000.h5", "-"])
    {'gg': 'a/gg.jsonl.gz', 'gg-2': 'b/gg.jsonl', 'ig': 'ig/00000.h5', 'stdin': '-'}
    """
    named: dict[str, str] = {}
    for text in inputs:
        path = Path(text)
        stem = "stdin" if text == "-" else path.name.partition(".")[0] or "web"
        if stem.isdecimal():
            stem = path.parent.name or stem
        taken = [stem, *(f"{stem}-{number}" for number in range(2, len(inputs) + 2))]
        named[next(name for name in taken if name not in named and name != "target")] = text
    return named


def _join(
    data: Mapping[str, Any],
    out: Path,
    learning: Mapping[str, Any],
    where: Mapping[str, Any],
    books: Mapping[str, Any],
    tensorboard: Path | None,
    talk: Mapping[str, bool],
) -> None:
    """Join the other processes, if there are any; only the first one writes."""
    with stopping_when_asked() as asked:  # importing PyTorch takes seconds
        from omnicli.training.distributed import join_world
    if asked():
        raise Interrupted("stopped before the first step; run the same command again")
    with join_world(where["device"]) as world:
        console = Console("train", quiet=talk["quiet"] or not world.is_first, verbose=talk["verbose"])
        console.detail(f"{learning['recipe']}")
        own = books if world.is_first else {"options": books["options"]}
        with Ledger(console, **own) as ledger, drawing(tensorboard if world.is_first else None) as draw:
            for line in _train(data, out, learning, where, console, ledger, world):
                draw(line)


def _train(
    data: Mapping[str, Any],
    out: Path,
    learning: Mapping[str, Any],
    where: Mapping[str, Any],
    console: Console,
    ledger: Ledger,
    world: "World",
) -> Iterator[Mapping[str, Any]]:
    """Train, print the metric records, and yield them."""
    from omnicli.cpus import available_cores
    from omnicli.data.query_labels import read_query_map
    from omnicli.inference.device import pick_precision, set_threads
    from omnicli.stages.train import train_student
    from omnicli.streams.class_names import read_classes
    from omnicli.streams.record import format_record
    from omnicli.streams.write.stdout import open_stdout
    from omnicli.training.context import TrainingContext
    from omnicli.training.distributed import local_share

    cores = local_share(available_cores())
    set_threads(cores)

    def read(inputs: list[str]) -> "Iterator[Record]":
        return ledger.read(inputs, root=where["root"])

    with stopping_when_asked() as asked:
        metrics = train_student(
            read(data["target"]),
            {name: read([text]) for name, text in data["sources"].items()},
            val=read(data["val"]) if data["val"] else None,
            classes=read_classes(data["classes"]) if data["classes"] else None,
            query_map=read_query_map(data["query_map"]) if data["query_map"] else None,
            out=out,
            setting=TrainingContext(
                device=world.device, precision=pick_precision(where["precision"], world.device),
                workers=where["workers"] or cores, root=where["root"], should_stop=asked, world=world,
                compile=where["compile"],
            ),
            on_drop=ledger.on_drop,
            **learning,
        )  # fmt: skip
        last: dict[str, Any] = {}
        with console.progress(lambda: f"{ledger.num_in:,} in, {shown_metrics(last)}"):
            stdout = open_stdout(live=True) if world.is_first else None
            for line in metrics:
                if stdout is not None:
                    stdout.write(format_record(line))
                ledger.result[line["source"]] = line
                if line["source"] == "target":
                    last.update(line)
                yield line
        console.say(f"{ledger.sums()}; {shown_metrics(last)} → {out}")
