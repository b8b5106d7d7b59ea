"""Scores from logits, and the mean scores of several models."""

import dataclasses

import numpy as np
import pytest
import torch

from omnicli.errors import ModelError
from omnicli.inference.ensemble import align_classes, chunk_scores, mean_scores, model_scores, softmax
from omnicli.models.loading import load_model
from omnicli.streams.record import Record


@pytest.fixture(scope="module")
def model(teacher):
    return load_model(teacher)


def test_softmax_equals_torch_and_survives_large_logits():
    logits = np.random.default_rng(0).normal(0, 50, (7, 5))
    np.testing.assert_allclose(softmax(logits), torch.softmax(torch.from_numpy(logits), -1).numpy(), rtol=1e-12)
    assert softmax(np.array([1e4, 0.0])).tolist() == [1.0, 0.0]


def test_a_2d_model_averages_logits_at_its_temperature(model):
    logits = np.random.default_rng(0).normal(0, 3, (6, len(model.classes))).astype(np.float32)
    warm = dataclasses.replace(model, temperature=2.5)
    np.testing.assert_allclose(model_scores(logits, warm), softmax(logits.astype(np.float64).mean(0) / 2.5))
    assert model_scores(logits, warm).max() < model_scores(logits, model).max()


def test_models_must_share_their_classes(model):
    spec = dataclasses.replace(model.spec, classes=(*model.classes[:-1], "chess"))
    with pytest.raises(ModelError, match="is 'chess', but"):
        align_classes([model, dataclasses.replace(model, spec=spec)])
    fewer = dataclasses.replace(model.spec, classes=model.classes[:-1])
    with pytest.raises(ModelError, match="is 'nothing', but"):
        align_classes([model, dataclasses.replace(model, spec=fewer)])


def test_the_mean_of_sigmoids_and_softmaxes_is_refused(model):
    several = dataclasses.replace(model, spec=dataclasses.replace(model.spec, multi_label=True), name="several.pth")
    assert align_classes([several, several]) == model.classes
    with pytest.raises(ModelError, match=r"several.pth: sigmoid scores, but softmax in "):
        align_classes([model, several])


def test_models_may_spell_their_classes_in_several_ways(model):
    spec = dataclasses.replace(model.spec, classes=[name.upper().replace("_", "-") for name in model.classes])
    assert align_classes([model, dataclasses.replace(model, spec=spec)]) == model.classes


def test_an_ensemble_averages_scores_and_chunks_are_scored_per_frame(model):
    logits = np.random.default_rng(1).normal(0, 3, (4, len(model.classes))).astype(np.float32)
    cool, record = dataclasses.replace(model, temperature=0.5), Record({"id": "a"})
    both = mean_scores([logits, logits], [model, cool], record)
    np.testing.assert_allclose(both, (model_scores(logits, model) + model_scores(logits, cool)) / 2)
    per_frame = chunk_scores([logits, logits], [model, cool], record)
    for row, scores in zip(logits, per_frame, strict=True):
        np.testing.assert_allclose(scores, mean_scores([row[None]] * 2, [model, cool], record))


def test_a_multi_label_model_scores_each_class_independently(model):
    several = dataclasses.replace(model, spec=dataclasses.replace(model.spec, multi_label=True))
    logits = np.full((2, len(model.classes)), 3.0, np.float32)
    expected = 1 / (1 + np.exp(-3.0 / model.temperature))
    np.testing.assert_allclose(chunk_scores([logits], [several], Record({"id": "a"})), expected, rtol=1e-6)
    np.testing.assert_allclose(model_scores(logits, several), expected, rtol=1e-6)
