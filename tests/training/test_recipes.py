"""Recipes: the paper's numbers, and what a user gets who names none."""

import pytest

from omnicli.training import recipes
from omnicli.training.optim import Schedule, scaled_lr
from omnicli.training.recipes import TEACHER_RECIPES, default_teacher_recipe


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


@pytest.mark.parametrize(
    ("name", "frames", "batch", "num_gpus", "lr", "epochs", "factors"),
    [
        ("slowonly-r50-4x16", (4, 16), 8, 8, 0.1, 256, {0: 1.0, 128: 0.5, 256: 0.0}),
        ("slowonly-r101-8x8", (8, 8), 8, 8, 0.1, 196, {0: 0.1, 17: 0.55, 34: 1.0, 115: 0.5, 196: 0.0}),
        ("ircsn-r152-32x2", (32, 2), 3, 8, 1.25e-4, 58, {0: 0.1, 8: 0.55, 16: 1.0, 31: 1.0, 32: 0.1, 48: 0.01}),
        ("minikinetics-slowonly-8x8", (8, 8), 12, 8, 0.15, 256, {0: 1.0, 128: 0.5, 256: 0.0}),
        ("r2plus1d-34", (8, 8), 16, 64, 3e-5 * 64, 58, {0: 0.1, 16: 1.0, 32: 0.1, 48: 0.01}),
        ("r2plus1d-34-32", (32, 2), 6, 64, 3e-5 * 64, 58, {0: 0.1, 16: 1.0, 32: 0.1, 48: 0.01}),
    ],
)
def test_the_3d_recipes_are_those_of_the_papers_table(name, frames, batch, num_gpus, lr, epochs, factors):
    row = TEACHER_RECIPES[name]
    assert (row.num_frames, row.frame_interval) == frames
    crop = "random" if name.startswith("r2plus1d") else "random-resized"  # IG-65M Sec. 3.3
    assert (row.batch_size, row.epochs, row.weight_decay, row.crop) == (batch, epochs, 1e-4, crop)
    whole_batch = scaled_lr(row.lr, batch_size=num_gpus * batch, reference_batch_size=row.reference_batch_size)
    assert whole_batch == pytest.approx(lr)
    schedule = Schedule(row.schedule, row.epochs, row.milestones, row.warmup_epochs)
    assert {epoch: schedule.factor(epoch) for epoch in factors} == pytest.approx(factors)
    assert (row.freeze == "batch-norm") == (name == "ircsn-r152-32x2")
    assert (row.init == "scratch") == ("slowonly" in name)


def test_every_row_of_the_table_stands_in_the_docstring():
    described = {line.split("|")[1].strip() for line in recipes.__doc__.splitlines() if line.startswith("| ")}
    assert described - {"name"} == set(TEACHER_RECIPES)


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
