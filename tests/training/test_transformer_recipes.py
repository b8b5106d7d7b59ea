"""Recipes of video transformers: the published numbers, and that each can be trained, resumed and used."""

from dataclasses import replace
from typing import Any

import pytest
from clip_training import check_resumes, crawl_to_student, train, two_clips_per_class
from tiny_torchvision import tiny_config
from tiny_transformers import save_folder

from omnicli.commands.options.joint import JointOptions
from omnicli.commands.options.training import Recipe, TrainingOptions
from omnicli.errors import UsageError
from omnicli.models.video.library_model import LibraryConfig
from omnicli.models.video.registry import library_config
from omnicli.models.video.torchvision_video import TORCHVISION_VIDEO
from omnicli.training import transformer_recipes
from omnicli.training.optim import Schedule, scaled_lr
from omnicli.training.transformer_recipes import TRANSFORMER_RECIPES

# By hand, from the files that the module names: frames, rate and batch of the whole run, factors of the rate by epoch,
# (weight decay, layer decay, drop path, dropout, clipped norm), (smoothing, mixup, CutMix, RandAugment, erasing, flip)
RANDAUGMENT = "rand-m7-n4-mstd0.5-inc1"
STRONG = (0.1, 0.8, 1.0, RANDAUGMENT, 0.25, True)
PUBLISHED: dict[str, tuple[Any, ...]] = {
    "videomae-b-finetune": (
        (16, 4), 1e-3 * 512 / 256, 8 * 64, {0: 0.001, 5: 1, 52.5: 0.5, 100: 0}, (0.05, 0.75, 0.1, 0.0, 40), STRONG,
    ),
    "mvit-v2-s": ((16, 4), 1e-4, 2 * 16, {0: 0.001, 30: 1, 115: 0.5, 200: 0}, (0.05, 1.0, 0.2, 0.5, 1.0), STRONG),
    "swin3d-t": (
        (32, 2), 1e-3, 8 * 8, {0: 0.1, 15: 0.5, 30: 0}, (0.02, 1.0, 0.1, 0.5, 40), (0.0, 0.0, 0.0, "none", 0.0, True),
    ),
    "vjepa2-probe": (
        (16, 4), 1e-3, 4 * 64, {0: 1, 10: 0.5, 20: 0}, (0.1, 1.0, None, 0.0, 40),
        (0.0, 0.0, 0.0, RANDAUGMENT, 0.25, False),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMER_RECIPES)
def test_a_recipe_has_the_published_numbers(name):
    frames, lr, batch, factors, regular, augmentation = PUBLISHED[name]
    row = TRANSFORMER_RECIPES[name]
    config = library_config(row.model)
    assert isinstance(config, LibraryConfig)
    assert (row.num_frames or config.num_frames, row.frame_interval or config.frame_interval) == frames
    assert scaled_lr(row.lr, batch_size=batch, reference_batch_size=row.reference_batch_size) == pytest.approx(lr)
    schedule = Schedule(row.schedule, row.epochs, row.milestones, row.warmup_epochs)
    assert {epoch: schedule.factor(epoch) for epoch in factors} == pytest.approx(factors, abs=1e-9)
    assert row.epochs == max(factors)
    assert (row.weight_decay, row.layer_decay, row.drop_path, row.dropout, row.clip_norm) == regular
    assert (row.label_smoothing, row.mixup_alpha, row.cutmix_alpha, row.randaugment, row.random_erasing,
            row.flip) == augmentation  # fmt: skip
    assert (row.optimizer, row.crop, row.min_area, row.temperature) == ("adamw", "random-resized", 0.08, False)
    assert row.backbone_lr_scale == (0.1 if name == "swin3d-t" else 1.0)
    assert row.freeze == ("encoder" if name == "vjepa2-probe" else "nothing")


def test_every_row_stands_in_the_docstring():
    described = {line.split("|")[1].strip() for line in transformer_recipes.__doc__.splitlines() if line[:2] == "| "}
    assert described - {"name"} == set(TRANSFORMER_RECIPES)


def test_mixup_of_a_recipe_is_within_sources_until_another_is_asked_for():
    training = TrainingOptions(recipe=Recipe("mvit-v2-s"))
    mixed = {name: JointOptions(auxiliary=["a.jsonl"], mixup=name).resolve(training)[1]
             for name in (None, "intra", "cross", "none")}  # fmt: skip
    assert [(row.mixup, row.mixup_alpha) for row in mixed.values()] == [
        ("intra", 0.8), ("intra", 0.8), ("cross", 0.8), ("none", 0.0),
    ]  # fmt: skip
    assert [row.cutmix_alpha for row in mixed.values()] == [1.0, 1.0, 0.0, 1.0], "CutMix pastes within a source"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"randaugment": "m7"}, "--randaugment m7: 'm7' is not one of"),
        ({"freeze": "backbone"}, "--cutmix-alpha pastes pixels"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        TrainingOptions(recipe=Recipe("videomae-b-finetune"), init="folder", **options).resolve()


@pytest.fixture(params=TRANSFORMER_RECIPES)
def tiny(request, monkeypatch, world, tmp_path):
    """The name of a recipe, and what replaces its model by a small one with random weights."""
    own = TRANSFORMER_RECIPES[request.param]
    if own.model.startswith("transformers-"):
        folder = tmp_path / "model"
        save_folder(folder, own.model.removeprefix("transformers-"), (world / "classes.txt").read_text().splitlines())
        return request.param, {"init": str(folder)}
    name = f"torchvision-{'mvit' if 'mvit' in own.model else 'swin3d'}_tiny"
    monkeypatch.setitem(TORCHVISION_VIDEO, name, tiny_config(name))
    return request.param, {"model": name, "init": "scratch", "num_frames": 4, "short_side": 36, "crop_size": 32}


def test_training_lowers_the_loss_and_resumes_exactly(tiny, world, tmp_path):
    name, small = tiny
    records = two_clips_per_class(world)
    recipe = replace(
        TRANSFORMER_RECIPES[name], **small, batch_size=4, reference_batch_size=0, lr=0.01, schedule="constant",
        warmup_epochs=0.0, backbone_lr_scale=1.0,
    )  # fmt: skip
    check_resumes(records, tmp_path, recipe)
    plain = replace(
        recipe, epochs=30, randaugment="none", random_erasing=0.0, mixup_alpha=0.0, cutmix_alpha=0.0, min_area=0.9,
        label_smoothing=0.0, drop_path=None, dropout=0.0,
    )  # fmt: skip
    losses = train(records, tmp_path / "a.pth", plain)
    assert min(losses[-3:]) < 0.7 * losses[0]


def test_from_a_crawl_to_a_student_by_the_recipe(tiny, world, tmp_path):
    name, small = tiny
    given = [word for key, value in small.items() if key != "init" for word in (f"--{key.replace('_', '-')}", value)]
    init = tmp_path / "model" if "transformers" in TRANSFORMER_RECIPES[name].model else None
    summary = crawl_to_student(
        world, tmp_path, ("--recipe", name, *given), init=init, learning=("--recipe", name, *given)
    )
    assert 0 <= summary["top1_acc"] <= 1
