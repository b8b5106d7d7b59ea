"""Training from a zero-shot teacher: where it starts, what it learns, and weights mixed with the start."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_clip import published
from PIL import Image

from omnicli.errors import UsageError
from omnicli.models.clip.published import open_published
from omnicli.models.loading import load_model
from omnicli.stages.teacher_train import train_teacher
from omnicli.stages.zero_shot import zero_shot
from omnicli.streams.record import Record
from omnicli.training.context import TrainingContext
from omnicli.training.recipe_fields import as_student
from omnicli.training.recipes import TEACHER_RECIPES
from omnicli.training.setup import create_learner
from omnicli.training.text_init import mix_weights

pytest.importorskip("open_clip", reason="needs pip install 'omnicli[clip]'")
CLASSES = ["riding a bike", "archery"]
FEW = replace(TEACHER_RECIPES["few-clips"], epochs=5, batch_size=4)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    zero_shot(CLASSES, model=open_published(str(published(folder / "Tiny"))), out=folder / "zero.pth")
    return folder / "zero.pth"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Four images of two classes that differ in their brightness."""
    folder = tmp_path_factory.mktemp("images")
    records = []
    for number in range(8):
        name = CLASSES[number % 2]
        noise = np.random.default_rng(number).integers(0, 60, (40, 50, 3)) + (150 if number % 2 else 20)
        Image.fromarray(noise.astype(np.uint8)).save(folder / f"{number}.png")
        path = str(folder / f"{number}.png")
        records.append(Record({"id": path, "path": path, "class_name": name}, position=number))
    return records


def trained(records, out, said=None, **changes):
    context = TrainingContext(workers=1, allow_overlap=True, say=(said if said is not None else []).append)
    recipe = replace(FEW, **changes)
    metrics = list(
        train_teacher(
            records, recipe=recipe, out=out, val=records, classes=CLASSES, context=context, on_drop=lambda *drop: None
        )
    )
    return metrics, load_model(out)


def options(teacher, **changes):
    return {"model": "clip-Tiny", "init": str(teacher), **changes}


@pytest.mark.parametrize("option", [{"drop_path": 0.1}, {"layer_decay": 0.7}, {"gradient_checkpointing": True}])
def test_options_of_blocks_that_the_tower_does_not_have_are_refused(teacher, option):
    recipe = as_student(replace(FEW, **options(teacher, freeze="nothing", **option)))
    with pytest.raises(UsageError, match=f"--{next(iter(option)).replace('_', '-')}: clip-Tiny"):
        create_learner(recipe, CLASSES, 0, TrainingContext())


def test_training_starts_at_the_texts_of_classes_in_any_order_and_spelling(teacher):
    recipe = as_student(replace(FEW, **options(teacher)))
    said = []
    spec, model = create_learner(recipe, ["Archery", "juggling"], 0, TrainingContext(say=said.append))
    zero = load_model(teacher)
    torch.testing.assert_close(model.fc.text[0], zero.network.fc.text[1])
    assert not model.fc.text[1].any() and not model.fc.weight.any()
    assert spec.classes == ("Archery", "juggling") and spec.resize == zero.spec.resize
    assert spec.licence == "apache-2.0"
    assert "1 of 2 classes are not in" in said[0] and "'juggling'" in said[0]


def test_a_linear_probe_from_the_texts_lowers_the_loss(teacher, images, tmp_path):
    metrics, model = trained(images, tmp_path / "t.pth", **options(teacher))
    assert metrics[-1]["train_loss"] < metrics[0]["train_loss"]
    assert model.classes == tuple(CLASSES)
    zero = load_model(teacher).network
    torch.testing.assert_close(model.network.fc.text, zero.fc.text)  # what is learnt is the difference
    assert model.network.fc.weight.any()
    assert 0.0 < model.meta["strength"]["cross_val_acc"] <= 1.0


def test_all_weights_can_be_trained(teacher, images, tmp_path):
    metrics, model = trained(
        images, tmp_path / "t.pth", **options(teacher, freeze="nothing", lr=0.001, reference_batch_size=0)
    )
    assert metrics[-1]["train_loss"] < metrics[0]["train_loss"]
    before, after = (one.network.backbone.state_dict() for one in (load_model(teacher), model))
    assert any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_mixed_weights_lie_between_the_texts_and_the_trained_classifier(teacher, images, tmp_path, share):
    _, whole = trained(images, tmp_path / "whole.pth", **options(teacher))
    said = []
    _, mixed = trained(images, tmp_path / "mixed.pth", said, **options(teacher, wise_ft=share))
    torch.testing.assert_close(mixed.network.fc.weight, share * whole.network.fc.weight)
    torch.testing.assert_close(mixed.network.fc.text, whole.network.fc.text)
    assert f"weights mixed, {share:g} of them trained: validation top-1" in said[-1]
    if share == 1.0:
        assert mixed.meta["metrics"]["val_top1_acc"] == whole.meta["metrics"]["val_top1_acc"]


def test_mixing_reaches_the_image_tower(teacher):
    model, other = (load_model(teacher).network for _ in range(2))
    initial = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.add_(1.0)
    mix_weights(model, initial, 0.5)
    for name, tensor in model.backbone.state_dict().items():
        torch.testing.assert_close(tensor, other.backbone.state_dict()[name] + 0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init": "imagenet"}, "give --init FILE alone"),
        ({"model": "clip-Other"}, "the file holds a clip-Tiny"),
        ({"crop_size": 64}, "takes 32 pixels"),
        ({"num_frames": 4}, "for 3D models"),
    ],
)
def test_options_that_do_not_fit_the_file_are_refused(teacher, changes, message):
    recipe = as_student(replace(FEW, **options(teacher) | changes))
    with pytest.raises(UsageError, match=message):
        create_learner(recipe, CLASSES, 0, TrainingContext())
