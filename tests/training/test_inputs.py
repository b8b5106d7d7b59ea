"""What a model is fed and how it is measured."""

import numpy as np
import pytest
import torch

from omnicli.data.dataloader import Example
from omnicli.data.training_clips import Augmentation
from omnicli.inference.scorer import score_records
from omnicli.inference.views import ViewOptions
from omnicli.models.loading import load_model
from omnicli.streams.record import Record
from omnicli.training import inputs as feeds
from omnicli.training.batch_sampler import JointSampler, TrainingSource
from omnicli.training.context import TrainingContext
from omnicli.training.inputs import CachedFeatureInputs, ClipInputs
from omnicli.training.loop import TrainingDiverged
from omnicli.training.validation import Validator, backbone_features

SETTING = TrainingContext(workers=2)
LOOK = Augmentation(num_segments=2, short_side=40, crop_size=32)


@pytest.fixture(scope="module")
def loaded(teacher):
    return load_model(teacher)


@pytest.fixture(scope="module")
def examples(world, loaded):
    paths = sorted((world / "target" / "val").rglob("*.mp4"))[::2]
    labels = [loaded.classes.index(path.parent.name) for path in paths]
    return [
        Example(Record({"id": path.stem, "path": str(path)}, position=row), label)
        for row, (path, label) in enumerate(zip(paths, labels, strict=True))
    ]


def test_a_judge_sees_what_eval_sees(loaded, examples):
    judge = Validator(loaded, examples, SETTING, on_drop=lambda *_: None)
    scored = score_records(
        [example.record for example in examples], models=[loaded], views=ViewOptions(), batch_size=8,
        on_drop=lambda *_: None,
    )  # fmt: skip
    right = [scores.argmax() == example.label for (_, scores), example in zip(scored, examples, strict=True)]
    assert judge.metrics()["top1_acc"] == pytest.approx(np.mean(right))
    assert 0.5 <= judge.temperature() <= 5.0


def test_a_judge_without_records_says_nothing(loaded):
    judge = Validator(loaded, [], SETTING, on_drop=lambda *_: None)
    assert judge.metrics() == {}
    assert judge.temperature() is None


def test_a_judge_stops_at_scores_that_are_not_finite(teacher, examples):
    """They would count for or against the model by accident, and the epoch could become the best one."""
    loaded = load_model(teacher)
    with torch.no_grad():
        loaded.network.fc.weight.fill_(torch.inf)
    for measured in ("metrics", "temperature"):
        with pytest.raises(TrainingDiverged, match="not finite"):
            getattr(Validator(loaded, examples, SETTING, on_drop=lambda *_: None), measured)()


def test_a_judge_tells_of_unreadable_media_once_and_goes_on_without(loaded, examples):
    bad = Example(Record({"id": "bad", "path": "nowhere.mp4"}), 0)
    left = []
    judge = Validator(
        loaded, [examples[0], bad, *examples[1:]], SETTING, lambda record, why: left.append((record["id"], why))
    )
    expected = Validator(loaded, examples, SETTING, on_drop=lambda *_: None).metrics()
    assert judge.metrics() == expected
    assert judge.metrics() == expected
    assert left == [("bad", "unreadable: no such file")]


def test_features_are_in_order_with_a_gap_where_media_are_unreadable(loaded, examples):
    bad = Example(Record({"id": "bad", "path": "nowhere.mp4"}), 0)
    judge = Validator(loaded, examples, SETTING, on_drop=lambda *_: None)
    alone, _ = backbone_features(loaded, examples[:3], judge._read, SETTING)
    together, unreadable = backbone_features(loaded, [examples[2], bad, *examples[:2]], judge._read, SETTING)
    assert torch.equal(together[[2, 3, 0]], alone)
    assert not together[1].any()
    assert unreadable == {1: "no such file"}


def test_features_leave_the_mode_of_the_model_alone(loaded, examples):
    judge = Validator(loaded, examples, SETTING, on_drop=lambda *_: None)
    for mode in (True, False):
        loaded.network.train(mode)
        backbone_features(loaded, examples[:1], judge._read, SETTING)
        assert loaded.network.training is mode


def test_both_feeds_ask_the_same_of_the_same_places(loaded, examples):
    """Without dropout, the frozen backbone's features are those the clips would have given."""
    plan = JointSampler([TrainingSource("", examples, 3)], ratio=[1])
    frozen = CachedFeatureInputs(loaded, plan, LOOK, SETTING)
    clips = ClipInputs(loaded, plan, LOOK, SETTING)
    for epoch in (0, 1):
        for ready, read in zip(frozen.batches({}, epoch, 1), clips.batches({}, epoch, 1), strict=True):
            [one], [other] = ready.parts, read.parts
            assert one.ids == other.ids
            assert torch.equal(one.labels, other.labels)
            with torch.no_grad():
                expected = clips.logits(clips.inputs(other))
                torch.testing.assert_close(frozen.logits(frozen.inputs(one)), expected, atol=1e-4, rtol=1e-4)


def test_views_come_round(loaded, examples, monkeypatch):
    monkeypatch.setattr(feeds, "NUM_FROZEN_VIEWS", 2)
    feed = CachedFeatureInputs(loaded, JointSampler([TrainingSource("", examples, 100)], ratio=[1]), LOOK, SETTING)
    epochs = []
    for epoch in range(3):
        [step] = feed.batches({}, epoch, 0)
        [batch] = step.parts
        epochs.append(dict(zip(batch.ids, batch.clips, strict=True)))
    assert all(torch.equal(epochs[0][name], epochs[2][name]) for name in epochs[0])
    assert not any(torch.equal(epochs[0][name], epochs[1][name]) for name in epochs[0])
