"""Learning rates over time, and who gets which."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from omnicli.training.optim import ParameterGroup, Schedule, make_sgd, scaled_lr, set_lr


@given(st.floats(0, 100))
def test_steps_fall_by_ten_at_milestones(epoch):
    expected = 1.0 if epoch < 40 else 0.1 if epoch < 80 else 0.01
    assert Schedule("step", 100, milestones=(40, 80)).factor(epoch) == pytest.approx(expected)


@given(st.floats(0, 50), st.floats(0, 50))
def test_a_cosine_never_rises_and_ends_at_0(early, late):
    schedule = Schedule("cosine", 50)
    early, late = sorted((early, late))
    assert schedule.factor(early) >= schedule.factor(late) >= 0
    assert schedule.factor(50) == pytest.approx(0, abs=1e-12)
    assert schedule.factor(25) == pytest.approx(0.5)


@given(st.floats(0, 9.99))
def test_warm_up_rises_in_a_line_to_the_schedule(epoch):
    schedule = Schedule("step", 50, (20,), warmup_epochs=10)
    assert schedule.factor(epoch) == pytest.approx(0.1 + 0.09 * epoch)
    assert schedule.factor(10) == pytest.approx(1.0)


@given(st.floats(0, 196))
def test_a_cosine_runs_over_all_epochs_and_the_warm_up_multiplies_it(epoch):
    """mmcv's ``CosineAnnealing`` with ``warmup='linear'``: regular lr · (1 - (1 - epoch / 34) · (1 - ratio))."""
    regular = (1 + math.cos(math.pi * epoch / 196)) / 2
    wanted = regular * (1 - (1 - epoch / 34) * (1 - 0.1)) if epoch < 34 else regular
    assert Schedule("cosine", 196, warmup_epochs=34).factor(epoch) == pytest.approx(wanted, abs=1e-12)


def test_a_cosine_after_the_warm_up_is_that_of_pyslowfast():
    """configs/Kinetics/MVITv2_S_16x4.yaml: 30 epochs from 1e-6 to the rate, then half a cosine over the other 170."""
    schedule = Schedule("cosine-after-warmup", 200, warmup_epochs=30)
    wanted = {0: 0.001, 15: 0.5005, 30: 1, 115: 0.5, 200: 0}
    assert {epoch: schedule.factor(epoch) for epoch in wanted} == pytest.approx(wanted, abs=1e-9)


def test_halving_divides_by_two_at_13_equal_steps():
    """IG-65M A.1: 13 reductions over the course of training, so 14 stretches of equal length."""
    factors = [Schedule("halving", 28).factor(epoch / 4) for epoch in range(4 * 28 + 1)]
    assert len(set(factors)) == 14
    assert [factors.index(0.5**number) / 4 for number in range(14)] == [2.0 * number for number in range(14)]
    assert factors[-1] == 0.5**13


def test_groups_get_their_share_of_the_rate_and_their_own_decay():
    head, backbone = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = make_sgd(
        [ParameterGroup(list(backbone.parameters()), 0.1, 1e-4), ParameterGroup(list(head.parameters()), 1.0, 0.2)]
    )
    set_lr(optimizer, 0.5)
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.05, 1e-4), (0.5, 0.2)]


def test_frozen_weights_are_left_out_and_do_not_decay():
    head, backbone = nn.Linear(2, 2), nn.Linear(2, 2)
    backbone.requires_grad_(False)
    optimizer = make_sgd(
        [ParameterGroup(list(backbone.parameters()), 1.0, 0.5), ParameterGroup(list(head.parameters()), 1.0, 0.5)]
    )
    set_lr(optimizer, 1.0)
    before = backbone.weight.clone()
    (backbone(torch.ones(1, 2)) + head(torch.ones(1, 2))).sum().backward()
    optimizer.step()
    assert len(optimizer.param_groups) == 1
    assert torch.equal(before, backbone.weight)


def test_one_step_is_that_of_the_textbook():
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = make_sgd([ParameterGroup([weight], 0.5, 0.1)])
    velocity, expected = 0.0, 2.0
    for lr in (0.2, 0.1):
        set_lr(optimizer, lr)
        optimizer.zero_grad()
        (3 * weight).sum().backward()
        optimizer.step()
        velocity = 0.9 * velocity + 3 + 0.1 * expected
        expected -= lr * 0.5 * velocity
    assert float(weight.detach()) == pytest.approx(expected)


def test_the_rate_is_linear_in_the_batch():
    assert scaled_lr(0.01, batch_size=8, reference_batch_size=256) == pytest.approx(0.01 / 32)
