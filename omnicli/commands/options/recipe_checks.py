"""Options of training that would do nothing beside the others, or that do not fit together."""

from collections.abc import Mapping
from typing import Any

from omnicli.errors import UsageError
from omnicli.training.recipe_fields import FreezeName, TeacherRecipe

FREEZES_BLOCKS: tuple[FreezeName, ...] = ("backbone", "encoder")


def check_recipe(recipe: TeacherRecipe, given: Mapping[str, Any]) -> None:
    """Refuse a recipe without a model, and options without effect.

    Args:
        recipe: with what the user gave.
        given: fields of it that the user gave.

    Raises:
        UsageError: names the option.
    """
    if recipe.randaugment != "none":
        from omnicli.data.randaugment import parse_randaugment

        parse_randaugment(recipe.randaugment)
    if recipe.model is None:
        raise UsageError("no architecture: give --model, such as --model tsn-resnet50, or a --recipe that has one")
    if "epochs" in given and "train_clips" in given:
        raise UsageError("--epochs and --train-clips both give the length; remove one")
    if recipe.wise_ft is not None and not recipe.model.startswith("clip-"):
        raise UsageError("--wise-ft mixes with a teacher of the same classes: give --init FILE of omni zero-shot")
    if "milestones" in given and recipe.schedule != "step":
        raise UsageError(f"--milestones needs --lr-schedule step, not {recipe.schedule}")
    if recipe.short_side and recipe.crop_size and recipe.crop_size > recipe.short_side:
        raise UsageError(f"--crop-size {recipe.crop_size} does not fit into --short-side {recipe.short_side}")
    _check_frozen(recipe, given)


def _check_frozen(recipe: TeacherRecipe, given: Mapping[str, Any]) -> None:
    """Refuse what frozen weights leave without effect. Raises UsageError."""
    frozen = recipe.freeze
    if recipe.init == "scratch" and frozen != "nothing":
        raise UsageError(f"--freeze {frozen} with --init scratch would keep random weights: give --init FILE")
    if "backbone_lr_scale" in given and frozen == "backbone":
        raise UsageError("--backbone-lr-scale has no effect on a frozen backbone: add --freeze batch-norm")
    for name in ("layer_decay", "drop_path", "gradient_checkpointing"):
        if given.get(name) and frozen in FREEZES_BLOCKS:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} has no effect on frozen blocks (--freeze {frozen}): add --freeze nothing")
    if recipe.cutmix_alpha and frozen == "backbone":
        raise UsageError("--cutmix-alpha pastes pixels, and a frozen backbone gives features: remove it, or --freeze")
