"""Options of training that have no effect beside the others are refused."""

import pytest

from omnicli.commands.options.recipe_checks import check_recipe
from omnicli.commands.options.training import TrainingOptions
from omnicli.errors import UsageError
from omnicli.training.recipe_fields import TeacherRecipe


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"layer_decay": 0.75}, r"--layer-decay has no effect on frozen blocks \(--freeze backbone\)"),
        ({"drop_path": 0.1}, "--drop-path has no effect"),
        ({"gradient_checkpointing": True}, "--gradient-checkpointing has no effect"),
        ({"drop_path": 0.1, "freeze": "encoder"}, r"--drop-path has no effect on frozen blocks \(--freeze encoder\)"),
        ({"backbone_lr_scale": 0.1}, "--backbone-lr-scale has no effect"),
        ({"schedule": "cosine", "milestones": "1,2"}, "--milestones needs --lr-schedule step, not cosine"),
        ({"init": "scratch", "freeze": "backbone"}, "--freeze backbone with --init scratch"),
        ({"short_side": 200, "crop_size": 224}, "--crop-size 224 does not fit into --short-side 200"),
        ({"wise_ft": 0.5}, "--wise-ft mixes with a teacher"),
        ({"model": None}, "no architecture"),
    ],
)
def test_options_without_effect_are_refused_by_name(given, says):
    """The default recipe freezes the backbone."""
    with pytest.raises(UsageError, match=says):
        TrainingOptions(**{"model": "transformers-videomae", **given}).resolve()


def test_the_same_options_in_a_recipe_or_switched_off_are_accepted():
    recipe = TeacherRecipe(model="transformers-videomae", freeze="backbone", layer_decay=0.75, drop_path=0.1)
    check_recipe(recipe, {"gradient_checkpointing": False})
