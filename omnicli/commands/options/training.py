"""Options of training, each spelled once: teacher-train and train take them all."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from omnicli.commands.options import shared as o
from omnicli.errors import UsageError
from omnicli.training.recipes import TEACHER_RECIPES

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
    random = "random"


Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="Architecture: tsn-<timm backbone>, such as tsn-resnet50, "
                 "tsm-<ResNet>, or a 3D model such as slowonly-r50, ircsn-r152, r2plus1d-r34.",
                 show_default="that of --init FILE, if omni wrote it", rich_help_panel=MODEL),
]  # fmt: skip
Init = Annotated[
    str | None,
    typer.Option("--init", metavar="scratch|imagenet|FILE", help="First weights; FILE is a backbone's, or a "
                 "checkpoint of any program. 2D weights are inflated into 3D models.", show_default="imagenet",
                 rich_help_panel=MODEL),
]  # fmt: skip
NumSegments = Annotated[
    int | None, typer.Option("--num-segments", min=1, metavar="N", help="Snippets of a clip, for 2D models.",
                             show_default="3, TSM 8", rich_help_panel=MODEL)
]  # fmt: skip
NumFrames = Annotated[
    int | None, typer.Option("--num-frames", min=1, metavar="N", help="Frames of a clip, for 3D models: the 4 of "
                             "4x16.", show_default="as published", rich_help_panel=MODEL)
]  # fmt: skip
FrameInterval = Annotated[
    int | None, typer.Option("--frame-interval", min=1, metavar="N", help="Frames of the video from one to the "
                             "next of them: the 16 of 4x16.", show_default="as published", rich_help_panel=MODEL)
]  # fmt: skip
ShortSide = Annotated[
    int | None, typer.Option("--short-side", min=8, metavar="PIXELS", help="Resize to this before cropping.",
                             show_default="8/7 of the crop", rich_help_panel=MODEL)
]  # fmt: skip
CropSize = Annotated[
    int | None, typer.Option("--crop-size", min=8, metavar="PIXELS", help="The square the model sees.",
                             show_default="the backbone's own", rich_help_panel=MODEL)
]  # fmt: skip
FreezeOption = Annotated[
    Freeze | None, typer.Option("--freeze", help="What of the backbone stays as loaded.",
                                show_default="backbone", rich_help_panel=MODEL)
]  # fmt: skip
Dropout = Annotated[
    float | None, typer.Option("--dropout", metavar="X", min=0.0, max=1.0, help="Before the classifier.",
                               show_default="0.4 for TSN, 0.5 for others", rich_help_panel=MODEL)
]  # fmt: skip
Classes = Annotated[
    Path | None,
    typer.Option("--classes", metavar="FILE", help="Class names, one a line: their order is that of the labels.",
                 rich_help_panel=LEARNING),
]  # fmt: skip
Val = Annotated[
    list[str] | None,
    typer.Option("--val", metavar="INPUT", help="Labelled records to measure each epoch on; may be repeated. "
                 "The best epoch is kept beside -o, as NAME.best.pth, without a temperature.",
                 rich_help_panel=LEARNING),
]  # fmt: skip
RecipeOption = Annotated[
    Recipe | None,
    typer.Option("--recipe", help="Fill what is unset from a row of the paper's settings, or ours for few clips.",
                 show_default="few-clips", rich_help_panel=LEARNING),
]  # fmt: skip
Epochs = Annotated[
    int | None, typer.Option("--epochs", metavar="N", min=1, help="Passes over the target.",
                             show_default="the recipe's", rich_help_panel=LEARNING)
]  # fmt: skip
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", min=1, metavar="N", envvar="OMNI_BATCH_SIZE", help="Clips of one step; the "
                 "recipe's learning rate is scaled with it.", show_default="the recipe's",
                 rich_help_panel=LEARNING),
]  # fmt: skip
Lr = Annotated[
    float | None, typer.Option("--lr", metavar="X", min=0.0, help="Learning rate of the classifier at this batch size.",
                               show_default="the recipe's", rich_help_panel=LEARNING)
]  # fmt: skip
BackboneLrScale = Annotated[
    float | None, typer.Option("--backbone-lr-scale", metavar="X", min=0.0, help="The backbone's learning rate, "
                               "relative.", show_default="the recipe's", rich_help_panel=LEARNING)
]  # fmt: skip
LrScheduleOption = Annotated[
    LrSchedule | None, typer.Option("--lr-schedule", help="How the learning rate falls.",
                                    show_default="the recipe's", rich_help_panel=LEARNING)
]  # fmt: skip
Milestones = Annotated[
    str | None, typer.Option("--milestones", metavar="N,N", help="Epochs of --lr-schedule step.",
                             show_default="the recipe's", rich_help_panel=LEARNING)
]  # fmt: skip
WarmupEpochs = Annotated[
    float | None, typer.Option("--warmup-epochs", metavar="X", min=0.0, help="Linear rise at the start.",
                               show_default="0", rich_help_panel=LEARNING)
]  # fmt: skip
WeightDecay = Annotated[
    float | None, typer.Option("--weight-decay", metavar="X", min=0.0, help="L2 on all weights.", show_default="0.0001",
                               rich_help_panel=LEARNING)
]  # fmt: skip
LabelSmoothing = Annotated[
    float | None, typer.Option("--label-smoothing", metavar="X", min=0.0, max=0.99, help="Share of a label spread over "
                               "all classes.", show_default="0", rich_help_panel=LEARNING)
]  # fmt: skip
CropOption = Annotated[
    Crop | None, typer.Option("--crop", help="How the training crop is drawn; random: a square, not resized.",
                              show_default="random-resized", rich_help_panel=LEARNING)
]  # fmt: skip
Temperature = Annotated[
    bool, typer.Option("--temperature/--no-temperature", help="Fit a temperature on held-out target clips, where there "
                       "are enough: a filter's confidence then says how often it is right.", rich_help_panel=LEARNING)
]  # fmt: skip
OutFile = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="FILE", help="The checkpoint; has to be given; absent until training is done.",
                 rich_help_panel=o.STREAMS),
]  # fmt: skip


def parse_milestones(text: str | None) -> tuple[int, ...] | None:
    """``40,80`` → (40, 80). Raises UsageError."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--milestones: expected epochs such as 40,80, got {text!r}") from None
