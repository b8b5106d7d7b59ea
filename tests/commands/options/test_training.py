"""What the options of training are read as."""

import pytest

from omnicli.commands.options.training import Recipe, TrainingOptions, parse_milestones
from omnicli.errors import UsageError
from omnicli.training.recipes import TEACHER_RECIPES


def test_every_recipe_can_be_named():
    assert {choice.value for choice in Recipe} == set(TEACHER_RECIPES)


def test_clips_are_mirrored_unless_classes_have_a_direction():
    assert TrainingOptions(model="tsn-resnet50").resolve()[1].flip
    assert not TrainingOptions(model="tsn-resnet50", flip=False).resolve()[1].flip


def test_milestones_are_epochs_with_commas():
    assert parse_milestones(None) is None
    assert parse_milestones("40,80") == (40, 80)
    for text in ("40;80", "", "x", "4.5"):
        with pytest.raises(UsageError, match="40,80"):
            parse_milestones(text)
