"""Recipes of flow: their numbers are checked beside the others'; here what a model of flow sees, and the table."""

from dataclasses import replace

import pytest

from omnicli.errors import UsageError
from omnicli.training import flow_recipes
from omnicli.training.context import TrainingContext
from omnicli.training.flow_recipes import FLOW_RECIPES
from omnicli.training.recipe_fields import as_student
from omnicli.training.setup import create_learner, make_augmentation


def test_every_row_stands_in_the_docstring():
    described = {line.split("|")[1].strip() for line in flow_recipes.__doc__.splitlines() if line.startswith("| ")}
    assert described - {"name"} == set(FLOW_RECIPES)


@pytest.mark.parametrize(
    ("name", "small", "pairs", "clip", "channels"),
    [("tsn-r50-3seg-flow", "tsn-test_resnet", 5, (3, 5, 1), 10), ("i3d-r50-flow", "slowonly-r18w16", 1, (1, 32, 2), 2)],
)
def test_a_recipe_of_flow_stacks_pairs_or_takes_a_clip_of_two_channels(name, small, pairs, clip, channels):
    recipe = replace(as_student(FLOW_RECIPES[name]), model=small, init="scratch")
    spec, model = create_learner(recipe, ["left", "right"], 0, TrainingContext())
    made = make_augmentation(spec, recipe, seed=0, stage="s", root=None)
    assert (spec.flow_pairs, spec.modality, spec.mean, spec.std) == (pairs, "flow", (128.0,) * 3, (128.0,) * 3)
    assert (made.num_segments, made.num_frames, made.frame_interval, made.is_flow) == (*clip, True)
    assert next(model.backbone.parameters()).shape[1] == channels


def test_an_architecture_of_rgb_alone_is_refused():
    recipe = replace(as_student(FLOW_RECIPES["i3d-r50-flow"]), model="slowfast-r50", init="scratch")
    with pytest.raises(UsageError, match="--modality flow: slowfast-r50 takes RGB"):
        create_learner(recipe, ["a"], 0, TrainingContext())
    turned = replace(recipe, model="slowonly-r18w16", randaugment="rand-m7-n4-mstd0.5-inc1")
    with pytest.raises(UsageError, match="--randaugment turns frames"):
        create_learner(turned, ["a"], 0, TrainingContext())
