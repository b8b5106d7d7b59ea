"""Metrics and temperature of a model in training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from omnicli.data.dataloader import Example
from omnicli.inference.ensemble import softmax
from omnicli.inference.scorer import score_records
from omnicli.inference.views import ViewOptions
from omnicli.models.loading import load_model, open_model
from omnicli.streams.record import Record
from omnicli.training.context import TrainingContext
from omnicli.training.loop import TrainingDiverged
from omnicli.training.validation import Validator, backbone_features

CONTEXT = TrainingContext(workers=2)


def test_it_measures_what_eval_measures(loaded, examples):
    validator = Validator(loaded, examples, CONTEXT, on_drop=lambda *_: None)
    scored = score_records(
        [example.record for example in examples], models=[loaded], views=ViewOptions(), batch_size=8,
        on_drop=lambda *_: None,
    )  # fmt: skip
    right = [scores.argmax() == example.label for (_, scores), example in zip(scored, examples, strict=True)]
    assert validator.metrics()["top1_acc"] == pytest.approx(np.mean(right))
    assert 0.5 <= validator.temperature() <= 5.0


def test_the_class_of_several_queries_is_that_of_the_first(loaded, examples):
    """Of several, the one that stands first in the list of classes counted, so another order gave another accuracy."""
    (logits, _, _) = Validator(loaded, examples, CONTEXT, on_drop=lambda *_: None)._logits()
    best, num_classes = logits.argmax(axis=1).tolist(), logits.shape[1]
    several = [
        replace(example, label=label, others=tuple(set(range(num_classes)) - {label}))
        for example, label in zip(examples, best, strict=True)
    ]
    assert Validator(loaded, several, CONTEXT, on_drop=lambda *_: None).metrics()["top1_acc"] == 1.0


def test_in_bfloat16_it_scores_as_the_loaded_checkpoint_does(teacher, examples):
    """Before, autocast and batch norms that were not folded gave other numbers than eval for the same views."""
    context = TrainingContext(workers=2, precision=torch.bfloat16)
    opened = open_model(teacher)
    learning = replace(load_model(teacher), network=opened.network)
    logits, _, _ = Validator(learning, examples, context, on_drop=lambda *_: None)._logits()
    loaded = load_model(teacher, precision=torch.bfloat16)
    scored = score_records(
        [example.record for example in examples], models=[loaded], views=ViewOptions(), batch_size=32,
        on_drop=lambda *_: None,
    )  # fmt: skip
    np.testing.assert_allclose(softmax(logits / loaded.temperature), [scores for _, scores in scored], atol=1e-6)


def test_the_view_of_each_number_is_said(loaded, examples):
    validator = Validator(loaded, examples, TrainingContext(workers=2), on_drop=lambda *_: None)
    assert validator.metrics()["view"] == "3 segments, float32"


def test_without_records_it_measures_nothing(loaded):
    validator = Validator(loaded, [], CONTEXT, on_drop=lambda *_: None)
    assert validator.metrics() == {}
    assert validator.temperature() is None


def test_scores_that_are_not_finite_stop_the_training(teacher, examples):
    """They would be counted by accident, and the epoch could become the best one."""
    loaded = load_model(teacher)
    with torch.no_grad():
        loaded.network.fc.weight.fill_(torch.inf)
    for measured in ("metrics", "temperature"):
        with pytest.raises(TrainingDiverged, match="not finite"):
            getattr(Validator(loaded, examples, CONTEXT, on_drop=lambda *_: None), measured)()


def test_unreadable_media_are_dropped_once(loaded, examples):
    bad = Example(Record({"id": "bad", "path": "nowhere.mp4"}), 0)
    left = []
    validator = Validator(
        loaded, [examples[0], bad, *examples[1:]], CONTEXT, lambda record, why: left.append((record["id"], why))
    )
    expected = Validator(loaded, examples, CONTEXT, on_drop=lambda *_: None).metrics()
    assert validator.metrics() == expected
    assert validator.metrics() == expected
    assert left == [("bad", "unreadable: no such file")]


def test_features_are_in_order_with_a_gap_where_media_are_unreadable(loaded, examples):
    bad = Example(Record({"id": "bad", "path": "nowhere.mp4"}), 0)
    validator = Validator(loaded, examples, CONTEXT, on_drop=lambda *_: None)
    alone, _ = backbone_features(loaded, examples[:3], validator._read, CONTEXT)
    together, unreadable = backbone_features(loaded, [examples[2], bad, *examples[:2]], validator._read, CONTEXT)
    assert torch.equal(together[[2, 3, 0]], alone)
    assert not together[1].any()
    assert unreadable == {1: "no such file"}


def test_features_leave_the_mode_of_the_model_alone(loaded, examples):
    validator = Validator(loaded, examples, CONTEXT, on_drop=lambda *_: None)
    for mode in (True, False):
        loaded.network.train(mode)
        backbone_features(loaded, examples[:1], validator._read, CONTEXT)
        assert loaded.network.training is mode
