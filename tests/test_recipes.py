"""Recipes: the paper's numbers, and what a user gets who names none."""

import pytest

from omnicli.engine.optim import Schedule, scaled_lr
from omnicli.recipes import TEACHER_RECIPES, default_teacher_recipe


@pytest.mark.parametrize(
    ("name", "segments", "batch", "lr"),
    [
        ("tsn-r50-3seg", 3, 32, 0.01),
        ("tsn-efficientnet_b4-3seg", 3, 32, 0.01),
        ("minikinetics-tsn-8seg", 8, 12, 0.00375),
    ],
)
def test_the_papers_recipes_are_those_of_its_table(name, segments, batch, lr):
    row = TEACHER_RECIPES[name]
    assert (row.num_segments, row.batch_size, row.lr) == (segments, batch, lr)
    assert (row.short_side, row.crop_size, row.dropout, row.weight_decay) == (256, 224, 0.4, 1e-4)
    assert (row.mixup_alpha, row.label_smoothing, row.freeze, row.backbone_lr_scale) == (0.0, 0.0, "nothing", 1.0)
    whole_batch = scaled_lr(row.lr, batch_size=8 * row.batch_size, reference_batch_size=row.reference_batch_size)
    assert whole_batch == pytest.approx(lr)
    schedule = Schedule(row.schedule, row.epochs, row.milestones)
    assert [schedule.factor(epoch) for epoch in (0, 39, 40, 80, 99)] == pytest.approx([1, 1, 0.1, 0.01, 0.01])


def test_every_row_can_be_trained():
    for name, row in TEACHER_RECIPES.items():
        assert row.init != "scratch" or row.freeze == "nothing", name
        assert (row.schedule == "step") == bool(row.milestones), name


@pytest.mark.parametrize(
    ("init", "freeze", "name"),
    [
        (None, None, "few-clips"),
        ("w.safetensors", "backbone", "few-clips"),
        ("imagenet", "batch-norm", "few-clips-finetune"),
        ("scratch", None, "few-clips-scratch"),
    ],
)
def test_the_default_follows_from_what_is_pretrained(init, freeze, name):
    assert default_teacher_recipe(init=init, freeze=freeze) == name
