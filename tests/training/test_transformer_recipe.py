"""Transformers train by AdamW with layer decay, drop path and checkpoints, and resume exactly."""

from dataclasses import replace

import pytest
from clip_training import SHORT, check_learns_and_resumes, two_clips_per_class
from tiny_transformers import save_folder
from torch import nn

from omnicli.errors import UsageError
from omnicli.training.context import TrainingContext
from omnicli.training.optim import ParameterGroup, layer_groups, make_adamw
from omnicli.training.recipe_fields import as_student
from omnicli.training.setup import create_learner
from omnicli.training.transformer_recipe import TransformerRecipe


def test_defaults_are_those_of_convolutional_models():
    assert TransformerRecipe() == TransformerRecipe(optimizer="sgd", layer_decay=1.0, drop_path=None)


def test_training_lowers_the_loss_and_resumes_exactly(world, tmp_path):
    save_folder(tmp_path / "model", "videomae", ["a", "b"])
    recipe = replace(
        SHORT, model="transformers-videomae", init=str(tmp_path / "model"), lr=0.002, reference_batch_size=0,
        optimizer="adamw", layer_decay=0.7, drop_path=0.1, gradient_checkpointing=True, label_smoothing=0.1,
        weight_decay=0.05,
    )  # fmt: skip
    check_learns_and_resumes(two_clips_per_class(world), tmp_path, recipe)


def test_adamw_spares_vectors_and_layers_decay():
    layer = nn.Linear(2, 2)
    rows = make_adamw([ParameterGroup(list(layer.parameters()), 1.0, 0.05)]).param_groups
    assert [(row["weight_decay"], row["params"][0].ndim) for row in rows] == [(0.05, 2), (0.0, 1)]
    groups = layer_groups(layer, lr_scale=1.0, weight_decay=0.05, layer_decay=0.5)
    assert sum(len(group.parameters) for group in groups) == 2


class Block(nn.Linear):
    """Has the name of timm's."""


def test_layer_decay_has_the_factors_of_videomae():
    """MCG-NJU/VideoMAE optim_factory.py: decay^(N + 1 - i) in block i of N, 1 in the norm after the blocks."""
    layers = {"patch_embed": nn.Linear(2, 2), "blocks": nn.Sequential(Block(2, 2), Block(2, 2))}
    for after, factors in (({}, [0.125, 0.25, 0.5]), ({"fc_norm": nn.LayerNorm(2)}, [0.125, 0.25, 0.5, 1.0])):
        groups = layer_groups(nn.ModuleDict(layers | after), lr_scale=1.0, weight_decay=0.05, layer_decay=0.5)
        assert [group.lr_scale for group in groups if group.parameters] == factors


def test_layer_decay_of_a_convolutional_model_is_refused():
    recipe = as_student(replace(SHORT, model="slowonly-r18w16", layer_decay=0.7))
    with pytest.raises(UsageError, match="--layer-decay: slowonly-r18w16 is not a transformer"):
        create_learner(recipe, ["a", "b"], 0, TrainingContext())
