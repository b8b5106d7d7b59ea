"""The loop: steps are taken, counted, stopped and taken up again."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional

from omnicli.training.loop import Progress, StepLoss, TrainingDiverged, train_epoch
from omnicli.training.optim import ParameterGroup, make_sgd


@dataclass
class Points:
    points: torch.Tensor
    labels: torch.Tensor
    ids: list[str]


def make_batches(num=4):
    generator = torch.Generator().manual_seed(0)
    batches = []
    for index in range(num):
        points = torch.randn(5, 3, generator=generator)
        batches.append(Points(points, (points[:, 0] > 0).long(), [f"{index}-{row}" for row in range(5)]))
    return batches


def make_model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Dropout(0.3), nn.Linear(3, 2))


def loss_of(model, batch):
    logits = model(batch.points)
    right = int((logits.argmax(dim=1) == batch.labels).sum())
    yield StepLoss(functional.cross_entropy(logits, batch.labels), right, len(batch.labels))


def fit(model, batches, *, optimizer=None, progress=None, should_stop=lambda: False, loss=loss_of, clip_norm=40.0):
    optimizer = optimizer or make_sgd([ParameterGroup(list(model.parameters()), 1.0, 0.0)])
    progress = progress if progress is not None else Progress()
    finished = train_epoch(
        model, batches, compute_loss=loss, optimizer=optimizer, lr_at=lambda epoch, step: 0.1, progress=progress,
        seed_at=lambda epoch, step: 1000 * epoch + step, should_stop=should_stop, clip_norm=clip_norm,
    )  # fmt: skip
    return finished, optimizer, progress


def weights(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


def test_an_epoch_stopped_anywhere_and_taken_up_equals_one_that_was_not():
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
    finished, _, progress = fit(model, [Points(torch.empty(0), torch.empty(0), [])])
    assert finished
    assert (progress.step, progress.tallies[""].num_clips) == (1, 0)
    assert all(torch.equal(a, b) for a, b in zip(weights(model), before, strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_step_and_records_and_leaves_the_weights(value):
    model = make_model()

    def spoilt(model, batch):
        [made] = loss_of(model, batch)
        yield StepLoss(made.loss * value, 0, 5) if batch.ids[0] == "2-0" else made

    good = make_model()
    fit(good, make_batches()[:2])
    with pytest.raises(TrainingDiverged, match=r"epoch 0, step 2, records 2-0, 2-1"):
        fit(model, make_batches(), loss=spoilt)
    assert all(torch.equal(a, b) for a, b in zip(weights(model), weights(good), strict=True))


def test_a_gradient_that_is_not_finite_stops_before_the_weights_move():
    model = make_model()

    def spoilt(model, batch):
        [made] = loss_of(model, batch)
        nothing = (model[1].weight * 0).sum().sqrt()  # the root of 0 has no slope
        yield StepLoss(made.loss + nothing, 0, 5) if batch.ids[0] == "2-0" else made

    good = make_model()
    fit(good, make_batches()[:2])
    with pytest.raises(TrainingDiverged, match=r"the norm of the gradient is nan at epoch 0, step 2, records 2-0, 2-1"):
        fit(model, make_batches(), loss=spoilt)
    assert all(torch.equal(a, b) for a, b in zip(weights(model), weights(good), strict=True))


def test_gradients_are_clipped_to_the_norm():
    model = nn.Linear(3, 2)
    before = weights(model)
    fit(model, make_batches(1), clip_norm=1e-3)
    moved = torch.cat([(a - b).flatten() for a, b in zip(weights(model), before, strict=True)]).norm()
    assert float(moved) == pytest.approx(0.1 * 1e-3, rel=1e-2)


def test_the_learning_rate_is_asked_for_every_step():
    asked = []
    model = make_model()
    train_epoch(
        model, make_batches(2), compute_loss=loss_of,
        optimizer=make_sgd([ParameterGroup(list(model.parameters()), 1.0, 0.0)]),
        lr_at=lambda epoch, step: asked.append((epoch, step)) or 0.0, progress=Progress(epoch=3),
        seed_at=lambda epoch, step: 0, should_stop=lambda: False,
    )  # fmt: skip
    assert asked == [(3, 0), (3, 1)]
