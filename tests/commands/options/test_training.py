"""What the options of training are read as."""

import pytest

from omnicli.commands.options.training import Recipe, TrainingOptions, parse_count, parse_milestones
from omnicli.errors import UsageError
from omnicli.training.recipes import TEACHER_RECIPES


def test_every_recipe_can_be_named():
    assert {choice.value for choice in Recipe} == set(TEACHER_RECIPES)


def test_clips_are_mirrored_unless_classes_have_a_direction():
    assert TrainingOptions(model="tsn-resnet50").resolve()[1].flip
    assert not TrainingOptions(model="tsn-resnet50", flip=False).resolve()[1].flip


def test_augmentations_are_those_given_that_change_pixels():
    given = TrainingOptions(flip=True, crop="random", randaugment="rand-m7", random_erasing=0.5)
    assert given.augmentations() == ("--crop", "--flip", "--randaugment", "--random-erasing")
    assert TrainingOptions(flip=False, randaugment="none", random_erasing=0.0).augmentations() == ()


def test_milestones_are_epochs_with_commas():
    assert parse_milestones(None) is None
    assert parse_milestones("40,80") == (40, 80)
    for text in ("40;80", "", "x", "4.5"):
        with pytest.raises(UsageError, match="40,80"):
            parse_milestones(text)


@pytest.mark.parametrize(("text", "count"), [("490M", 490_000_000), ("20000", 20_000), ("1.5k", 1500), (None, None)])
def test_a_length_in_clips_may_have_a_unit(text, count):
    assert parse_count(text, name="--train-clips") == count


@pytest.mark.parametrize("text", ["", "0", "-3", "M", "3 million", "1e6"])
def test_any_other_length_is_refused(text):
    with pytest.raises(UsageError, match="--train-clips: expected a number above 0 such as 20000, 500k or 490M"):
        parse_count(text, name="--train-clips")


def test_a_length_is_given_once_and_epochs_win_over_the_clips_of_a_recipe():
    recipe = Recipe("ig65m-r2plus1d-34")
    assert TrainingOptions(recipe=recipe).resolve()[1].train_clips == 490_000_000
    assert TrainingOptions(recipe=recipe, train_clips="1k").resolve()[1].train_clips == 1000
    _, short = TrainingOptions(recipe=recipe, epochs=2).resolve()
    assert (short.epochs, short.train_clips) == (2, None)
    with pytest.raises(UsageError, match="--epochs and --train-clips both give the length"):
        TrainingOptions(recipe=recipe, epochs=2, train_clips="1k").resolve()
