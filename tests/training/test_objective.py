"""The loss of a step: Eq. 1 against a loop written by hand, mixup across data sets, and what changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from omnicli.data.dataloader import Example, SourceBatch, StepBatch
from omnicli.streams.record import Record
from omnicli.training.batch_sampler import JointSampler, TrainingSource
from omnicli.training.context import TrainingContext
from omnicli.training.loop import Progress, SourceMetrics
from omnicli.training.objective import Objective, step_losses
from omnicli.training.optim import ParameterGroup, Schedule, make_sgd
from omnicli.training.trainer import TrainingRun

NAMES = ["target", "gg", "ig"]
SIZES = [4, 2, 3]
K = 3


class ReadyFeed:
    """Batches of ready float64 vectors; says what it was asked to classify."""

    def __init__(self, model):
        self.model = model
        self.setting = TrainingContext()
        self.plan = JointSampler(
            [TrainingSource(name, [], size) for name, size in zip(NAMES, SIZES, strict=True)], SIZES
        )
        self.seen = []

    def inputs(self, batch):
        return batch.clips

    def logits(self, inputs):
        self.seen.append(inputs)
        return self.model(inputs)


def batch_of(name, size, seed, **fields):
    generator = torch.Generator().manual_seed(seed)
    clips = torch.randn(size, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, K, (size,), generator=generator)
    examples = tuple(
        Example(Record({"id": f"{name}{seed}-{row}"}), int(label), **fields) for row, label in enumerate(labels)
    )
    return SourceBatch(clips, labels, examples, source=name)


def step_of(seed, **fields):
    """Web sources first, the target last."""
    parts = [batch_of(name, size, seed + 10 * size, **fields) for name, size in zip(NAMES, SIZES, strict=True)]
    return StepBatch((*parts[1:], parts[0]))


def make_model(with_norm=False):
    torch.manual_seed(5)
    layers = [nn.Linear(5, 6), nn.BatchNorm1d(6)] if with_norm else [nn.Linear(5, 6), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(6, K)).double()


def make_training(model, tmp_path):
    return TrainingRun(
        out=tmp_path / "a.pth", model=model, optimizer=make_sgd([ParameterGroup(list(model.parameters()), 1.0, 1e-4)]),
        schedule=Schedule("constant", 1), lr=0.3, steps_per_epoch=5, seed=0, stage="train", options={},
        should_stop=lambda: False, progress=Progress(tallies={name: SourceMetrics() for name in NAMES}),
    )  # fmt: skip


def fit(model, steps, tmp_path, **options):
    training, feed = make_training(model, tmp_path), ReadyFeed(model)
    objective = Objective(num_classes=K, **options)
    training.train_epoch(
        steps, lambda _, batch: step_losses(model, batch, feed=feed, training=training, objective=objective)
    )
    return training, feed


def by_hand(model, steps, lr=0.3, momentum=0.9, decay=1e-4):
    """Eq. 1, every sample by itself, and SGD as its formula says."""
    speed = [torch.zeros_like(p) for p in model.parameters()]
    for step in steps:
        total, count = torch.zeros((), dtype=torch.float64), 0
        for part in step.parts:
            for row in range(len(part.labels)):
                logits = model(part.clips[row : row + 1])[0]
                total = total - logits[part.labels[row]] + logits.exp().sum().log()
                count += 1
        gradients = torch.autograd.grad(total / count, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient, velocity in zip(model.parameters(), gradients, speed, strict=True):
                velocity.mul_(momentum).add_(gradient + decay * parameter)
                parameter.sub_(lr * velocity)


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_five_steps_equal_eq_1_written_by_hand_in_float64(tmp_path):
    steps = [step_of(seed) for seed in range(5)]
    ours, theirs = make_model(), make_model()
    training, _ = fit(ours, steps, tmp_path)
    by_hand(theirs, steps)
    torch.testing.assert_close(weights(ours), weights(theirs), atol=1e-13, rtol=1e-12)
    assert {name: tally.num_clips for name, tally in training.progress.tallies.items()} == {
        "target": 20, "gg": 10, "ig": 15
    }  # fmt: skip


def test_each_source_has_a_forward_pass_of_its_own_and_the_target_the_last(tmp_path):
    """Own batch statistics: the running mean ends as three updates one after another."""
    model = make_model(with_norm=True)
    step = step_of(0)
    linear, norm = model[0], nn.BatchNorm1d(6).double()
    for part in step.parts:
        norm(linear(part.clips))
    _, feed = fit(model, [step], tmp_path)
    assert [len(inputs) for inputs in feed.seen] == [2, 3, 4]
    torch.testing.assert_close(model[1].running_mean, norm.running_mean)


def test_a_batch_cut_into_passes_takes_the_same_step(tmp_path):
    steps = [step_of(seed) for seed in range(3)]
    whole, cut = make_model(), make_model()
    one, _ = fit(whole, steps, tmp_path)
    other, feed = fit(cut, steps, tmp_path, num_passes=2)
    torch.testing.assert_close(weights(whole), weights(cut), atol=1e-14, rtol=1e-12)
    assert [len(inputs) for inputs in feed.seen[:6]] == [1, 1, 2, 1, 2, 2]
    for name in NAMES:
        assert one.progress.tallies[name].num_correct == other.progress.tallies[name].num_correct
        assert one.progress.tallies[name].loss_sum == pytest.approx(other.progress.tallies[name].loss_sum)


def test_cross_mixup_pairs_each_target_sample_with_a_web_sample_and_the_other_way_round(tmp_path):
    """Every sample keeps the larger weight, and its partner is of the other side; sizes stay those of the step."""
    steps = [step_of(seed) for seed in range(10)]
    _, feed = fit(make_model(), steps, tmp_path, mixup_alpha=1.0, is_cross=True)
    assert [len(inputs) for inputs in feed.seen] == [2, 3, 4] * 10
    shares = [shares_of_partners(step, feed.seen[3 * place : 3 * place + 3]) for place, step in enumerate(steps)]
    assert all(np.ptp(found) < 1e-9 and 0 <= found[0] <= 0.5 for found in shares)
    assert len({round(found[0], 6) for found in shares}) == 10


def shares_of_partners(step, seen):
    """How much of each mixed sample is its partner, who is of the other side and the only one that fits."""
    web, target = torch.cat([part.clips for part in step.parts[:2]]), step.parts[2].clips
    shares = []
    for mixed, part, others in zip(seen, step.parts, [target, target, web], strict=True):
        for row, own in zip(mixed, part.clips, strict=True):
            fits = []
            for direction in others - own:
                share = float((row - own) @ direction / (direction @ direction))
                if torch.allclose(own + share * direction, row, atol=1e-9):
                    fits.append(share)
            assert len(fits) == 1
            shares.append(fits[0])
    return shares


def test_cross_mixup_mixes_labels_as_it_mixes_inputs(tmp_path, monkeypatch):
    """One-hot labels as inputs: what is taught is what is shown."""
    from omnicli.training import losses, objective

    step = step_of(3)
    step = StepBatch(tuple(replace(part, clips=torch.eye(K, dtype=torch.float64)[part.labels]) for part in step.parts))
    taught = []
    real = losses.cross_entropy
    monkeypatch.setattr(objective, "cross_entropy", lambda *a, **k: taught.append(a[1]) or real(*a, **k))
    model = nn.Linear(K, K).double()
    _, feed = fit(model, [step], tmp_path, mixup_alpha=1.0, is_cross=True)
    for shown, labels in zip(feed.seen, taught, strict=True):
        torch.testing.assert_close(shown, labels.double(), atol=1e-6, rtol=0)


def test_a_side_without_readable_media_leaves_the_other_as_it_is(tmp_path):
    step = step_of(0)
    alone = StepBatch((SourceBatch(torch.empty(0), torch.empty(0, dtype=torch.int64), (), source="gg"), step.parts[2]))
    _, feed = fit(make_model(), [alone], tmp_path, mixup_alpha=1.0, is_cross=True)
    [seen] = feed.seen
    assert torch.equal(seen, step.parts[2].clips)


def test_soft_labels_are_taught_as_shares(tmp_path):
    scores = ((0, 0.5), (2, 0.5))
    step = step_of(0, scores=scores)
    model = make_model()
    with torch.no_grad():
        logits = model(step.parts[0].clips)
        expected = -(logits.log_softmax(1)[:, [0, 2]].mean(1)).sum()
    training, _ = fit(model, [step], tmp_path)
    assert training.progress.tallies["gg"].loss_sum == pytest.approx(float(expected))


def test_several_labels_are_taught_as_a_sigmoid_each(tmp_path):
    step = step_of(0)
    parts = [
        replace(part, examples=tuple(replace(e, others=((e.label + 1) % K,)) for e in part.examples))
        for part in step.parts
    ]
    model = make_model()
    with torch.no_grad():
        scores = model(parts[0].clips).sigmoid()
    wanted = torch.eye(K)[parts[0].labels] + torch.eye(K)[(parts[0].labels + 1) % K]
    expected = -(wanted * scores.log() + (1 - wanted) * (1 - scores).log()).mean(1).sum()
    training, _ = fit(model, [StepBatch(tuple(parts))], tmp_path, multi_label=True)
    assert training.progress.tallies["gg"].loss_sum == pytest.approx(float(expected))
