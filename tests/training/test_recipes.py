"""Recipes: the paper's numbers, and what a user gets who names none."""

import math

import pytest

from omnicli.commands.options.training import Recipe, TrainingOptions
from omnicli.errors import UsageError
from omnicli.training import recipes
from omnicli.training.flow_recipes import FLOW_RECIPES
from omnicli.training.optim import Schedule, scaled_lr
from omnicli.training.recipes import TEACHER_RECIPES, default_teacher_recipe
from omnicli.training.transformer_recipes import TRANSFORMER_RECIPES

# By hand, from OmniSource Sec. 4.2 and Table 4, the mmaction configurations that the authors released for its models
# (tsn_r50_*, slowonly_*, ircsn_*: batch per GPU x 8 GPUs), and IG-65M Tables 8, 9 and 13 (64 GPUs, rate per GPU x 64):
# model; init; frames; batch x GPUs; rate of the whole batch; factors of the rate by epoch, the last is the end;
# dropout; clipped norm; short side, crop and how it is drawn
STEP_100 = {0: 1, 39: 1, 40: 0.1, 79: 0.1, 80: 0.01, 100: 0.01}
IG65M = {0: 0.1, 8: 0.55, 16: 1, 31: 1, 32: 0.1, 47: 0.1, 48: 0.01, 58: 0.01}
MULTI, RESIZED, RANDOM = (256, 224, "multi-scale"), (256, 224, "random-resized"), (128, 112, "random")
IG1B = "tsn-resnet50.fb_swsl_ig1b_ft_in1k"
PUBLISHED = {
    "tsn-r50-3seg": ("tsn-resnet50", "imagenet", (3, 1), (32, 8), 0.01, STEP_100, 0.4, 40, MULTI),
    "tsn-efficientnet_b4-3seg": ("tsn-tf_efficientnet_b4", "imagenet", (3, 1), (32, 8), 0.01, STEP_100, 0.4, 40, MULTI),
    "tsn-r50-3seg-ig1b": (IG1B, "imagenet", (3, 1), (32, 8), 0.01, STEP_100, 0.4, 40, RESIZED),
    "minikinetics-tsn-8seg": ("tsn-resnet50", "imagenet", (8, 1), (12, 8), 0.00375, STEP_100, 0.4, 40, RESIZED),
    "slowonly-r50-4x16": ("slowonly-r50", "scratch", (4, 16), (8, 8), 0.1, {0: 1, 128: 0.5, 256: 0}, 0.5, 40, RESIZED),
    "slowonly-r50-4x16-imagenet": (
        "slowonly-r50", "imagenet", (4, 16), (8, 8), 0.01,
        {0: 0.1, 5: 0.55, 10: 1, 89: 1, 90: 0.1, 129: 0.1, 130: 0.01, 150: 0.01}, 0.5, 40, RESIZED,
    ),
    "slowonly-r101-8x8": (
        "slowonly-r101", "scratch", (8, 8), (8, 8), 0.1,
        {0: 0.1, 17: 0.55 * (1 + math.cos(math.pi * 17 / 196)) / 2, 98: 0.5, 147: 0.5 - 2**-1.5, 196: 0}, 0.5, 40,
        RESIZED,
    ),
    "ircsn-r152-32x2": ("ircsn-r152", "", (32, 2), (3, 8), 1.25e-4, IG65M, 0.5, 40, RESIZED),
    "minikinetics-slowonly-8x8": (
        "slowonly-r50", "scratch", (8, 8), (12, 8), 0.15, {0: 1, 128: 0.5, 256: 0}, 0.5, 40, RESIZED,
    ),
    **{
        f"slowonly-8x4-{name}": (
            "slowonly-r50", "", (8, 4), (8, 8), 0.001, {0: 1, 14: 1, 15: 0.1, 29: 0.1, 30: 0.01, 40: 0.01}, 0.5, 20,
            RESIZED,
        )
        for name in ("ucf101", "hmdb51")
    },
    "ig65m-r2plus1d-34": (
        "r2plus1d-r34", "scratch", (8, 1), (16, 128), 0.192, {0: 0.1, **{step: 0.5**step for step in range(1, 14)},
        14: 0.5**13}, 0.0, 40, RANDOM,
    ),
    "tsn-r50-3seg-flow": (
        "tsn-resnet50", "imagenet", (3, 1), (32, 8), 0.005, {0: 1, 69: 1, 70: 0.1, 99: 0.1, 100: 0.01, 110: 0.01}, 0.4,
        40, RESIZED,
    ),
    "i3d-r50-flow": ("i3d-r50", "imagenet", (32, 2), (8, 8), 0.01, STEP_100, 0.5, 40, MULTI),
    "r2plus1d-34": ("r2plus1d-r34", "", (8, 1), (16, 64), 3e-5 * 64, IG65M, 0.0, 40, RANDOM),
    "r2plus1d-34-32": ("r2plus1d-r34", "", (32, 1), (6, 64), 3e-5 * 64, IG65M, 0.0, 40, RANDOM),
}  # fmt: skip
OF_THE_PAPERS = [name for name in TEACHER_RECIPES if not name.startswith("few-clips")][: -len(TRANSFORMER_RECIPES)]


@pytest.mark.parametrize("name", OF_THE_PAPERS)
def test_every_recipe_of_the_papers_is_the_published_row(name):
    model, init, frames, (batch, num_gpus), lr, factors, dropout, clip, sizes = PUBLISHED[name]
    row = TEACHER_RECIPES[name]
    assert (row.model, row.init, row.dropout, row.clip_norm) == (model, init, dropout, clip)
    assert ((row.num_segments, 1) if model.startswith("tsn-") else (row.num_frames, row.frame_interval)) == frames
    assert (row.short_side, row.crop_size, row.crop) == sizes
    whole_batch = scaled_lr(row.lr, batch_size=num_gpus * batch, reference_batch_size=row.reference_batch_size)
    assert (row.batch_size, whole_batch) == (batch, pytest.approx(lr))
    assert row.epochs == max(factors)
    schedule = Schedule(row.schedule, row.epochs, row.milestones, row.warmup_epochs)
    assert {epoch: schedule.factor(epoch) for epoch in factors} == pytest.approx(factors)
    assert row.freeze == ("batch-norm" if name == "ircsn-r152-32x2" else "nothing")
    assert row.temperature is False  # no clips are held out for one
    assert (row.weight_decay, row.mixup_alpha, row.label_smoothing, row.backbone_lr_scale) == (1e-4, 0.0, 0.0, 1.0)
    assert (row.min_area, row.classifier_prior, row.probe_epochs) == (0.08, 0.0, 0)


def test_every_published_row_is_a_recipe_and_only_few_clips_fit_a_temperature():
    assert set(PUBLISHED) == set(OF_THE_PAPERS)
    assert all(row.temperature for name, row in TEACHER_RECIPES.items() if name.startswith("few-clips"))


def test_a_recipe_that_starts_from_a_file_asks_for_it():
    with pytest.raises(UsageError, match="--recipe ircsn-r152-32x2 starts from trained weights: give --init FILE"):
        TrainingOptions(recipe=Recipe("ircsn-r152-32x2")).resolve()
    _, row = TrainingOptions(recipe=Recipe("slowonly-8x4-ucf101"), init="k400.pth", temperature=True).resolve()
    assert (row.init, row.model, row.temperature) == ("k400.pth", "slowonly-r50", True)


def test_pre_training_on_hashtags_is_that_of_ig_65m():
    """Sec. 3.3 and A.1: 490 M videos, the learning rate halved 13 times, one of the hashtags drawn per visit."""
    row = TEACHER_RECIPES["ig65m-r2plus1d-34"]
    assert (row.train_clips, row.target_label) == (490_000_000, "query")
    paced = row.with_length(65_000_000)
    assert paced.epochs == 8  # passes over 65 M videos
    schedule = Schedule(paced.schedule, paced.epochs, paced.milestones, paced.warmup_epochs)
    assert schedule.factor(8 / 14) == 0.5
    assert schedule.factor(8 - 1e-6) == 0.5**13


def test_every_row_of_the_table_stands_in_the_docstring():
    described = {line.split("|")[1].strip() for line in recipes.__doc__.splitlines() if line.startswith("| ")}
    assert described - {"name"} == set(TEACHER_RECIPES) - set(TRANSFORMER_RECIPES) - set(FLOW_RECIPES)


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
