"""Options of training: the model, its data and how it is optimized; teacher-train and train share them."""

import re
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from omnicli.commands.options.groups import DATA, MODEL, OPTIMIZATION, RARE
from omnicli.commands.options.model import Modality
from omnicli.commands.options.recipe_checks import check_recipe
from omnicli.errors import UsageError
from omnicli.extras import need
from omnicli.models.model_files import extra_of_model, local_path
from omnicli.training.recipe_fields import CropName, FreezeName, ScheduleName, TargetLabel, TeacherRecipe
from omnicli.training.recipes import TEACHER_RECIPES, default_teacher_recipe
from omnicli.training.transformer_recipe import OptimizerName

Recipe = StrEnum("Recipe", {name: name for name in TEACHER_RECIPES})  # type: ignore[misc]  # choices from a table
AS_PUBLISHED = "as recipe, else as published"
Classes = Annotated[
    Path | None,
    typer.Option("--classes", metavar="FILE", help="Class names, one per line, in the order of the labels.",
                 rich_help_panel=DATA), RARE,
]  # fmt: skip
Val = Annotated[
    list[str] | None,
    typer.Option("--val", metavar="INPUT", help="Labelled records to validate on; repeatable. The best epoch is "
                 "saved as NAME.best.pth.", rich_help_panel=DATA),
]  # fmt: skip
AllowOverlap = Annotated[
    bool,
    typer.Option("--allow-overlap", help="Go on although records are both learnt from and tested on (same id, parent, "
                 "file or content), or both target and auxiliary.", rich_help_panel=DATA), RARE,
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """A recipe, and what overrides it; fields left None are the recipe's."""

    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Architecture, such as tsn-resnet50 (any timm backbone), "
                     "slowonly-r50, ircsn-r152.", show_default="as --init FILE", rich_help_panel=MODEL),
    ] = None  # fmt: skip
    init: Annotated[
        str | None,
        typer.Option("--init", metavar="scratch|imagenet|FILE", help="Initial weights: none, those of ImageNet "
                     "(downloaded), or a file: a backbone or a checkpoint of any program. 3D models inflate 2D "
                     "weights.", show_default="as recipe; few-clips: imagenet", rich_help_panel=MODEL),
    ] = None  # fmt: skip
    modality: Modality = None
    num_segments: Annotated[
        int | None, typer.Option("--num-segments", min=1, metavar="N", help="2D: snippets per video.",
                                 show_default="as recipe, else 3; TSM: 8", rich_help_panel=MODEL), RARE,
    ] = None  # fmt: skip
    num_frames: Annotated[
        int | None, typer.Option("--num-frames", min=1, metavar="N", help="3D: frames per clip, the 4 of 4x16. "
                                 "2D: pairs of flow.", show_default=AS_PUBLISHED, rich_help_panel=MODEL), RARE,
    ] = None  # fmt: skip
    frame_interval: Annotated[
        int | None, typer.Option("--frame-interval", min=1, metavar="N", help="3D: source frames between sampled "
                                 "frames, the 16 of 4x16.", show_default=AS_PUBLISHED, rich_help_panel=MODEL), RARE,
    ] = None  # fmt: skip
    short_side: Annotated[
        int | None, typer.Option("--short-side", min=8, metavar="PIXELS", help="Size of the short side before "
                                 "cropping.", show_default=AS_PUBLISHED, rich_help_panel=MODEL), RARE,
    ] = None  # fmt: skip
    crop_size: Annotated[
        int | None, typer.Option("--crop-size", min=8, metavar="PIXELS", help="Side of the square input.",
                                 show_default=AS_PUBLISHED, rich_help_panel=MODEL), RARE,
    ] = None  # fmt: skip
    freeze: Annotated[
        FreezeName | None, typer.Option("--freeze", help="Which backbone parameters to freeze. "
                                        "encoder: all but an attentive pooler (V-JEPA 2).",
                                        show_default="as recipe; few-clips: backbone", rich_help_panel=MODEL),
    ] = None  # fmt: skip
    dropout: Annotated[
        float | None, typer.Option("--dropout", metavar="X", min=0.0, max=1.0, help="Dropout before the classifier.",
                                   show_default="as recipe; else TSN 0.4, most 0.5", rich_help_panel=MODEL), RARE,
    ] = None  # fmt: skip
    crop: Annotated[
        CropName | None, typer.Option("--crop", help="Training crop; random crops a square without resizing.",
                                      show_default="as recipe", rich_help_panel=DATA), RARE,
    ] = None  # fmt: skip
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Mirror half of the training clips; not for classes with a "
                                  "direction.", show_default="as recipe: flip", rich_help_panel=DATA), RARE,
    ] = None  # fmt: skip
    recipe: Annotated[
        Recipe | None,
        typer.Option("--recipe", metavar="NAME", help="Settings of a paper, or for few clips, by name; -n "
                     f"prints them.\n{', '.join(TEACHER_RECIPES)}.", rich_help_panel=OPTIMIZATION,
                     show_default="few-clips; its variant for --init scratch or --freeze"),
    ] = None  # fmt: skip
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", min=1, help="Passes over the target.",
                                 show_default="as recipe", rich_help_panel=OPTIMIZATION),
    ] = None  # fmt: skip
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, metavar="N", envvar="OMNI_BATCH_SIZE", show_envvar=False,
                                 help="Target clips per step and process; the recipe's learning rate scales with it.",
                                 show_default="as recipe", rich_help_panel=OPTIMIZATION),
    ] = None  # fmt: skip
    lr: Annotated[
        float | None, typer.Option("--lr", metavar="X", min=0.0, help="Learning rate of the classifier, as given: "
                                   "not scaled.", show_default="as recipe", rich_help_panel=OPTIMIZATION),
    ] = None  # fmt: skip
    backbone_lr_scale: Annotated[
        float | None, typer.Option("--backbone-lr-scale", metavar="X", min=0.0, help="Learning rate of the backbone, "
                                   "relative to --lr.", show_default="as recipe", rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    schedule: Annotated[
        ScheduleName | None, typer.Option("--lr-schedule", help="Schedule of the learning rate.",
                                          show_default="as recipe", rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    milestones: Annotated[
        str | None, typer.Option("--milestones", metavar="N,N", help="Epochs at which --lr-schedule step divides by "
                                 "10.", show_default="as recipe", rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    warmup_epochs: Annotated[
        float | None, typer.Option("--warmup-epochs", metavar="X", min=0.0, help="Epochs of linear warm-up.",
                                   show_default="as recipe", rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    train_clips: Annotated[
        str | None, typer.Option("--train-clips", metavar="N", help="Length in target clips, such as 490M, instead of "
                                 "--epochs; milestones and warm-up keep their shares.", show_default="as recipe",
                                 rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", metavar="X", min=0.0, help="Weight decay (L2) of all weights.",
                                   show_default="as recipe", rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    optimizer: Annotated[
        OptimizerName | None, typer.Option("--optimizer", help="sgd has momentum 0.9; adamw is for transformers, "
                                           "without weight decay of vectors.", show_default="as recipe: sgd",
                                           rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    layer_decay: Annotated[
        float | None, typer.Option("--layer-decay", metavar="X", min=0.01, max=1.0, help="Transformers: factor on the "
                                   "learning rate from each block to the one before it.", show_default="as recipe: 1",
                                   rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    drop_path: Annotated[
        float | None, typer.Option("--drop-path", metavar="X", min=0.0, max=0.9, help="Transformers: share of samples "
                                   "that skip the last block; linearly fewer skip earlier ones.",
                                   show_default="as recipe, else the model's own", rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    gradient_checkpointing: Annotated[
        bool | None, typer.Option("--gradient-checkpointing/--no-gradient-checkpointing", help="Transformers: compute "
                                  "blocks again in the backward pass, which takes less memory.", show_default="off",
                                  rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    label_smoothing: Annotated[
        float | None, typer.Option("--label-smoothing", metavar="X", min=0.0, max=0.99, help="Share of each label that "
                                   "is spread over all classes.", show_default="as recipe",
                                   rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    mixup_alpha: Annotated[
        float | None, typer.Option("--mixup-alpha", metavar="X", min=0.0, help="Mixup with λ ~ Beta(α, α).",
                                   show_default="as recipe: none", rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    cutmix_alpha: Annotated[
        float | None, typer.Option("--cutmix-alpha", metavar="X", min=0.0, help="CutMix with λ ~ Beta(α, α); with "
                                   "mixup, each has half of the batches.", show_default="as recipe: none",
                                   rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    randaugment: Annotated[
        str | None, typer.Option("--randaugment", metavar="SPEC", help="RandAugment of training clips, in timm's "
                                 "words, such as rand-m7-n4-mstd0.5-inc1; or none.", show_default="as recipe: none",
                                 rich_help_panel=DATA), RARE,
    ] = None  # fmt: skip
    random_erasing: Annotated[
        float | None, typer.Option("--random-erasing", metavar="X", min=0.0, max=1.0, show_default="as recipe: 0",
                                   help="Share of training clips in which a box becomes noise.",
                                   rich_help_panel=DATA), RARE,
    ] = None  # fmt: skip
    target_label: Annotated[
        TargetLabel | None, typer.Option("--target-label", metavar="FIELD", help="Class of a target record: label, or "
                                         "query, of whose classes one is drawn per visit (IG-65M).",
                                         show_default="as recipe: label", rich_help_panel=DATA), RARE,
    ] = None  # fmt: skip
    query_map: Annotated[
        Path | None, typer.Option("--query-map", metavar="FILE", help="Tab-separated file that maps queries to class "
                                  "names.", rich_help_panel=DATA), RARE,
    ] = None  # fmt: skip
    wise_ft: Annotated[
        float | None, typer.Option("--wise-ft", metavar="X", min=0.0, max=1.0, help="Share of the trained weights in "
                                   "the result; the others are those of the zero-shot teacher in --init (WiSE-FT).",
                                   show_default="1", rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    temperature: Annotated[
        bool | None, typer.Option("--temperature/--no-temperature", help="Calibrate confidences by a temperature, "
                                  "fitted on held-out target clips; none for fewer than 2,000 clips.",
                                  show_default="few-clips: yes, others: no",
                                  rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    allow_overlap: AllowOverlap = False

    def given(self) -> dict[str, Any]:
        """Fields of a recipe that the user gave. Raises UsageError."""
        names = {field.name for field in fields(TeacherRecipe)}
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name in names}
        values["milestones"] = parse_milestones(self.milestones)
        values["train_clips"] = parse_count(self.train_clips, name="--train-clips")
        return {name: value for name, value in values.items() if value is not None}

    def augmentations(self) -> tuple[str, ...]:
        """The options given for training clips that change their pixels."""
        randaugment = self.randaugment not in (None, "none")
        given = {"--crop": self.crop, "--flip": self.flip, "--randaugment": randaugment,
                 "--random-erasing": self.random_erasing}  # fmt: skip
        return tuple(name for name, value in given.items() if value)

    def resolve(self) -> tuple[str, TeacherRecipe]:
        """The recipe's name, and the recipe with what the user gave.

        Raises:
            UsageError: no architecture, or options without effect.
        """
        given = self.given()
        name = self.recipe.value if self.recipe else default_teacher_recipe(init=self.init, freeze=self.freeze)
        recipe = replace(TEACHER_RECIPES[name], **({"train_clips": None} if self.epochs else {}) | given)
        recipe = _found(recipe)
        if self.lr is not None:  # given for the step at hand, so nothing is scaled
            recipe = replace(recipe, reference_batch_size=0)
        if not recipe.init:
            raise UsageError(f"--recipe {name} starts from trained weights: give --init FILE")
        if recipe.model is None and recipe.init not in ("scratch", "imagenet"):
            recipe = _with_architecture_of_init(recipe)
        check_recipe(recipe, given)
        return name, recipe


def _found(recipe: TeacherRecipe) -> TeacherRecipe:
    """With the folder or file of ``--init hf-hub:OWNER/NAME``.

    Raises:
        ModelError: it cannot be downloaded.
        UsageError: the library of the architecture or of the initial weights is not installed.
    """
    if extra := extra_of_model(recipe.model or ""):
        need(extra, f"--model {recipe.model}")
    return recipe if recipe.init in ("", "scratch", "imagenet") else replace(recipe, init=str(local_path(recipe.init)))


def _with_architecture_of_init(recipe: TeacherRecipe) -> TeacherRecipe:
    """With the architecture of ``--init FILE``, if omni wrote it, and its frames and sizes where none are given.

    Raises:
        ModelError: the file cannot be read.
    """
    from omnicli.models.stored_options import stored_options

    unset = {name: value for name, value in stored_options(recipe.init).items() if getattr(recipe, name) is None}
    return replace(recipe, **unset)


def parse_count(text: str | None, *, name: str) -> int | None:
    """``490M`` → 490,000,000. Raises UsageError.

    >>> parse_count("490M", name="--train-clips"), parse_count("1.5k", name="--train-clips")
    (490000000, 1500)
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)", text.strip())
    count = round(float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]]) if found else 0
    if count < 1:
        raise UsageError(f"{name}: expected a number above 0 such as 20000, 500k or 490M, got {text!r}")
    return count


def parse_milestones(text: str | None) -> tuple[int, ...] | None:
    """``40,80`` → (40, 80). Raises UsageError."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--milestones: expected epochs such as 40,80, got {text!r}") from None
