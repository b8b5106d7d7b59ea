"""Model, optimizer and augmentation of a recipe."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from omnicli.data.dataloader import Example
from omnicli.errors import UsageError
from omnicli.streams.record import Record
from omnicli.training.batch_sampler import JointSampler, TrainingSource
from omnicli.training.context import TrainingContext
from omnicli.training.recipe_fields import as_student
from omnicli.training.recipes import TEACHER_RECIPES
from omnicli.training.setup import (
    create_learner,
    initial_weights,
    make_augmentation,
    make_objective,
    measure_strength,
    prepare_training,
)

RECIPE = replace(
    as_student(TEACHER_RECIPES["few-clips-scratch"]), model="tsn-resnet10t", num_segments=4, short_side=40,
    crop_size=32, classifier_prior=10.0,
)  # fmt: skip
CONTEXT = TrainingContext(workers=2)


def test_the_recipe_determines_the_input_and_refuses_options_that_the_model_does_not_have():
    spec, model = create_learner(replace(RECIPE, multi_label=True), ["a", "b"], 0, CONTEXT)
    assert (spec.num_segments, spec.short_side, spec.crop_size, spec.multi_label) == (4, 40, 32, True)
    made = make_augmentation(spec, RECIPE, seed=3, stage="s", root="/r")
    assert (made.num_segments, made.crop_size, made.min_area, made.seed, made.root) == (4, 32, 0.5, 3, "/r")
    strong = replace(RECIPE, randaugment="rand-m7", random_erasing=0.25)
    made = make_augmentation(spec, strong, seed=3, stage="s", root="/r")
    assert (made.randaugment, made.random_erasing, made.mean, made.std) == ("rand-m7", 0.25, spec.mean, spec.std)
    assert make_objective(replace(RECIPE, cutmix_alpha=1.0), 2).cutmix_alpha == 1
    assert model.frozen == "nothing"
    with pytest.raises(UsageError, match="--num-segments is for 2D models"):
        create_learner(replace(RECIPE, model="r3d-r18"), ["a"], 0, CONTEXT)
    with pytest.raises(UsageError, match="--num-frames and --frame-interval are for 3D models"):
        create_learner(replace(RECIPE, num_frames=4), ["a"], 0, CONTEXT)


def test_the_name_and_digest_of_the_initial_weights_are_known(monkeypatch):
    spec, model = create_learner(RECIPE, ["a", "b"], 0, CONTEXT)
    _, other = create_learner(RECIPE, ["a", "b"], 1, CONTEXT)
    assert initial_weights(RECIPE, spec, model, CONTEXT) is None
    started = [
        initial_weights(replace(RECIPE, init="w/a.pth"), spec, made, CONTEXT)
        for made in (model, other, model.to(memory_format=torch.contiguous_format))
    ]
    assert {weights["name"] for weights in started} == {"a.pth"}
    digests = [weights["sha256"] for weights in started]
    assert digests[0] == digests[2] != digests[1] and len(digests[0]) == 64
    for name, weights in (("tsn-resnet50", "resnet50.tv_in1k"), ("slowonly-r101", "resnet101.tv_in1k"),
                          ("tsn-resnet50.a1_in1k", "resnet50.a1_in1k")):  # fmt: skip
        found = initial_weights(replace(RECIPE, init="imagenet"), replace(spec, name=name), model, CONTEXT)
        assert found is not None and found["name"] == weights


def training_of(tmp_path, context=CONTEXT, **changes):
    recipe = replace(RECIPE, **changes)
    _, model = create_learner(recipe, ["a", "b"], 0, CONTEXT)
    rows = [Example(Record({"id": str(n)}), 0) for n in range(40)]
    sampler = JointSampler(
        [TrainingSource("target", rows, 8), TrainingSource("gg", rows, 8)], [1, 1], seed=1, stage="s"
    )
    return prepare_training(model, recipe, sampler, tmp_path / "a.pth", {}, context)


def test_the_learning_rate_grows_with_all_samples_of_a_step_unless_it_was_given_for_them(tmp_path):
    assert training_of(tmp_path, lr=0.1, reference_batch_size=32).lr == pytest.approx(0.05)
    assert training_of(tmp_path, lr=0.1, reference_batch_size=0).lr == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"epochs": 20}, ["20 epochs end before milestones 40, 80 of the learning rate: give --milestones"]),
        ({"epochs": 80}, ["80 epochs end before milestones 80 of the learning rate: give --milestones"]),
        ({"epochs": 81}, []),
        ({"epochs": 20, "schedule": "cosine"}, []),
    ],
)
def test_milestones_that_are_never_reached_are_said(tmp_path, changes, expected):
    said = []
    steps = {"schedule": "step", "milestones": (40, 80)}
    training_of(tmp_path, TrainingContext(workers=2, say=said.append), **steps | changes)
    assert said == expected


def test_the_gradient_is_clipped_as_the_recipe_says(tmp_path):
    assert training_of(tmp_path).clip_norm == 40.0
    assert training_of(tmp_path, clip_norm=20.0).clip_norm == 20.0


def test_the_classifiers_prior_fades_with_the_samples_of_an_epoch(tmp_path):
    training = training_of(tmp_path)
    assert training.steps_per_epoch == 5
    assert [group["weight_decay"] for group in training.optimizer.param_groups] == [1e-4, 1e-4 + 10 / 80]
    assert list(training.progress.tallies) == ["target", "gg"]


def test_every_class_of_a_record_has_learnt_from_it(tmp_path):
    rows = [Example(Record({"id": str(n)}), 0, (1, 2)) for n in range(4)]
    rows.append(Example(Record({"id": "4"}), 1))
    inputs = SimpleNamespace(sampler=JointSampler([TrainingSource("target", rows, 8)], [1]))
    recipe = as_student(replace(TEACHER_RECIPES["few-clips"], freeze="nothing"))
    run = SimpleNamespace(world=CONTEXT.world)
    assert measure_strength(inputs, recipe, run).clips_per_class == 4  # of 4, 5 and 4; by the first alone, 2.5


def test_the_result_is_the_model_or_its_average(tmp_path):
    plain, averaged = training_of(tmp_path), training_of(tmp_path, ema=0.9)
    assert plain.result is plain.model
    name = "fc.bias"
    for value in (1.0, 2.0):
        nn.init.constant_(averaged.model.fc.bias, value)
        averaged.averages.update_parameters(averaged.model)
    assert torch.allclose(averaged.result.state_dict()[name], torch.tensor(0.9 * 1.0 + 0.1 * 2.0))
