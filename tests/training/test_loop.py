"""The loop: steps are taken, counted, stopped and resumed."""

import pytest
import torch
from torch import nn
from toy_training import PointInputs, make_run, step_of

from omnicli.training.loop import TrainingDiverged, train_epoch
from omnicli.training.objective import Objective
from omnicli.training.trainer import Progress


def make_batches(num=4):
    generator = torch.Generator().manual_seed(0)
    batches = []
    for index in range(num):
        points = torch.randn(5, 3, generator=generator)
        batches.append(step_of(points, (points[:, 0] > 0).long(), [f"{index}-{row}" for row in range(5)]))
    return batches


def make_model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Dropout(0.3), nn.Linear(3, 2))


def fit(model, batches, *, inputs=None, clip_norm=40.0, **fields):
    run = make_run(model, clip_norm=clip_norm, **fields)
    finished = train_epoch(run, batches, inputs or PointInputs(model), Objective(num_classes=2))
    return finished, run.optimizer, run.progress


def weights(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


def test_an_epoch_stopped_anywhere_and_resumed_equals_one_that_was_not():
    batches = make_batches()
    whole = make_model()
    _, _, expected = fit(whole, batches)
    for stop_after in range(1, 4):
        model = make_model()
        steps = iter(range(1, 10))
        finished, optimizer, progress = fit(model, batches, should_stop=lambda: next(steps) == stop_after)  # noqa: B023
        assert not finished
        assert progress.step == stop_after
        torch.rand(7)  # whatever happens in between
        fit(model, batches[progress.step :], optimizer=optimizer, progress=progress)
        assert all(torch.equal(a, b) for a, b in zip(weights(model), weights(whole), strict=True))
        assert progress == expected


def test_the_means_are_those_over_clips():
    _, _, progress = fit(make_model(), make_batches())
    tally = progress.tallies[""]
    assert tally.num_clips == 20
    assert 0 < tally.means()["train_loss"] < 2
    assert tally.means()["train_top1_acc"] == tally.num_correct / 20


def test_an_empty_batch_is_a_step_that_changes_nothing():
    model = make_model()
    before = weights(model)
    finished, _, progress = fit(model, [step_of(torch.empty(0), torch.empty(0), [])])
    assert finished
    assert (progress.step, progress.tallies[""].num_clips) == (1, 0)
    assert all(torch.equal(a, b) for a, b in zip(weights(model), before, strict=True))


class SpoiltInputs(PointInputs):
    """Multiplies the points of the third batch, or adds to the logits a term whose gradient is not finite."""

    def __init__(self, model, factor=1.0, *, spoils_gradient=False):
        super().__init__(model)
        self.factor = factor
        self.spoils_gradient = spoils_gradient
        self.is_spoilt = False

    def to_device(self, batch):
        self.is_spoilt = batch.ids[0] == "2-0"
        return batch.clips * self.factor if self.is_spoilt else batch.clips

    def logits(self, inputs):
        logits = self.model(inputs)
        if self.is_spoilt and self.spoils_gradient:
            logits = logits + (self.model[1].weight * 0).sum().sqrt()  # the root has no derivative at 0
        return logits


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_step_and_records_and_leaves_the_weights(value):
    model = make_model()
    good = make_model()
    fit(good, make_batches()[:2])
    with pytest.raises(TrainingDiverged, match=r"the loss is nan at epoch 1, step 3, records 2-0, 2-1"):
        fit(model, make_batches(), inputs=SpoiltInputs(model, value))
    assert all(torch.equal(a, b) for a, b in zip(weights(model), weights(good), strict=True))


def test_a_gradient_that_is_not_finite_stops_before_the_weights_change():
    model = make_model()
    good = make_model()
    fit(good, make_batches()[:2])
    with pytest.raises(TrainingDiverged, match=r"the norm of the gradient is nan at epoch 1, step 3, records 2-0, 2-1"):
        fit(model, make_batches(), inputs=SpoiltInputs(model, spoils_gradient=True))
    assert all(torch.equal(a, b) for a, b in zip(weights(model), weights(good), strict=True))


def test_gradients_are_clipped_to_the_norm():
    model = nn.Linear(3, 2)
    before = weights(model)
    fit(model, make_batches(1), clip_norm=1e-3)
    moved = torch.cat([(a - b).flatten() for a, b in zip(weights(model), before, strict=True)]).norm()
    assert float(moved) == pytest.approx(0.1 * 1e-3, rel=1e-2)


def test_every_step_has_its_own_learning_rate():
    asked = []
    model = make_model()
    run = make_run(model, progress=Progress(epoch=3))
    run.lr_at = lambda epoch, step: asked.append((epoch, step)) or 0.0
    train_epoch(run, make_batches(2), PointInputs(model), Objective(num_classes=2))
    assert asked == [(3, 0), (3, 1)]
