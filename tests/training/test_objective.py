"""The loss of a step: Eq. 1 against a loop written by hand, mixup across data sets, and what changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from toy_training import PointInputs, make_run

from omnicli.data.dataloader import Example, SourceBatch, StepBatch
from omnicli.streams.record import Record
from omnicli.training.loop import train_epoch
from omnicli.training.objective import Objective, Samples

NAMES = ["target", "gg", "ig"]
SIZES = [4, 2, 3]
K = 3


def batch_of(name, size, seed, **fields):
    generator = torch.Generator().manual_seed(seed)
    clips = torch.randn(size, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, K, (size,), generator=generator)
    examples = tuple(
        Example(Record({"id": f"{name}{seed}-{row}"}), int(label), **fields) for row, label in enumerate(labels)
    )
    return SourceBatch(clips, labels, examples, source=name)


def step_of(seed, **fields):
    """Auxiliary sources first, the target last."""
    parts = [batch_of(name, size, seed + 10 * size, **fields) for name, size in zip(NAMES, SIZES, strict=True)]
    return StepBatch((*parts[1:], parts[0]))


def make_model(with_norm=False):
    torch.manual_seed(5)
    layers = [nn.Linear(5, 6), nn.BatchNorm1d(6)] if with_norm else [nn.Linear(5, 6), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(6, K)).double()


def fit(model, steps, tmp_path, **options):
    run = make_run(model, tmp_path / "a.pth", sources=NAMES, weight_decay=1e-4, lr=0.3)
    inputs = PointInputs(model)
    train_epoch(run, steps, inputs, Objective(num_classes=K, **options))
    return run, inputs


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
    run, _ = fit(ours, steps, tmp_path)
    by_hand(theirs, steps)
    torch.testing.assert_close(weights(ours), weights(theirs), atol=1e-13, rtol=1e-12)
    assert {name: tally.num_clips for name, tally in run.progress.tallies.items()} == {
        "target": 20, "gg": 10, "ig": 15
    }  # fmt: skip


def test_each_source_has_a_forward_pass_of_its_own_and_the_target_the_last(tmp_path):
    """Own batch statistics: the running mean ends as three updates one after another."""
    model = make_model(with_norm=True)
    step = step_of(0)
    linear, norm = model[0], nn.BatchNorm1d(6).double()
    for part in step.parts:
        norm(linear(part.clips))
    _, inputs = fit(model, [step], tmp_path)
    assert [len(inputs) for inputs in inputs.seen] == [2, 3, 4]
    torch.testing.assert_close(model[1].running_mean, norm.running_mean)


def test_a_batch_cut_into_passes_takes_the_same_step(tmp_path):
    steps = [step_of(seed) for seed in range(3)]
    whole, cut = make_model(), make_model()
    one, _ = fit(whole, steps, tmp_path)
    other, inputs = fit(cut, steps, tmp_path, num_passes=2)
    torch.testing.assert_close(weights(whole), weights(cut), atol=1e-14, rtol=1e-12)
    assert [len(inputs) for inputs in inputs.seen[:6]] == [1, 1, 2, 1, 2, 2]
    for name in NAMES:
        assert one.progress.tallies[name].num_correct == other.progress.tallies[name].num_correct
        assert one.progress.tallies[name].loss_sum == pytest.approx(other.progress.tallies[name].loss_sum)


def test_cross_mixup_pairs_each_target_sample_with_a_web_sample_and_the_other_way_round(tmp_path):
    """Every sample keeps the larger weight, and its partner is of the other side; sizes stay those of the step."""
    steps = [step_of(seed) for seed in range(10)]
    _, inputs = fit(make_model(), steps, tmp_path, mixup_alpha=1.0, is_cross=True)
    assert [len(inputs) for inputs in inputs.seen] == [2, 3, 4] * 10
    shares = [shares_of_partners(step, inputs.seen[3 * place : 3 * place + 3]) for place, step in enumerate(steps)]
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
    _, inputs = fit(model, [step], tmp_path, mixup_alpha=1.0, is_cross=True)
    for shown, labels in zip(inputs.seen, taught, strict=True):
        torch.testing.assert_close(shown, labels.double(), atol=1e-6, rtol=0)


def test_a_side_without_readable_media_leaves_the_other_as_it_is(tmp_path):
    step = step_of(0)
    alone = StepBatch((SourceBatch(torch.empty(0), torch.empty(0, dtype=torch.int64), (), source="gg"), step.parts[2]))
    _, inputs = fit(make_model(), [alone], tmp_path, mixup_alpha=1.0, is_cross=True)
    [seen] = inputs.seen
    assert torch.equal(seen, step.parts[2].clips)


def test_soft_labels_are_taught_as_shares(tmp_path):
    scores = ((0, 0.5), (2, 0.5))
    step = step_of(0, scores=scores)
    model = make_model()
    with torch.no_grad():
        logits = model(step.parts[0].clips)
        expected = -(logits.log_softmax(1)[:, [0, 2]].mean(1)).sum()
    run, _ = fit(model, [step], tmp_path)
    assert run.progress.tallies["gg"].loss_sum == pytest.approx(float(expected))


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
    run, _ = fit(model, [StepBatch(tuple(parts))], tmp_path, multi_label=True)
    assert run.progress.tallies["gg"].loss_sum == pytest.approx(float(expected))


def test_the_loss_of_two_sources_with_mixup_equals_the_cross_entropy_computed_by_hand():
    """No media, no training run: inputs and labels go in, Eq. 1 comes out."""
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
    points = {"gg": [([1.0, 0.0], 0), ([0.0, 2.0], 1)], "target": [([2.0, 1.0], 2), ([0.5, 0.5], 0), ([-1.0, 1.0], 1)]}
    sources = [
        Samples(
            torch.tensor([point for point, _ in rows], dtype=torch.float64),
            torch.eye(K, dtype=torch.float64)[[label for _, label in rows]],
            name,
        )
        for name, rows in points.items()
    ]
    objective = Objective(num_classes=K, mixup_alpha=0.5)
    mixed = objective.mix(sources, lambda name: np.random.default_rng([len(name)]))
    losses = [objective(lambda inputs: inputs @ weight.T, samples) for samples in mixed]

    by_hand = []
    for name, rows in points.items():
        rng = np.random.default_rng([len(name)])
        lam, partners = rng.beta(0.5, 0.5), rng.permutation(len(rows))
        for (point, label), partner in zip(rows, partners, strict=True):
            other, other_label = rows[partner]
            x = [lam * a + (1 - lam) * b for a, b in zip(point, other, strict=True)]
            logits = [sum(w * v for w, v in zip(row, x, strict=True)) for row in weight.tolist()]
            log_sum = np.log(sum(np.exp(logits)))
            by_hand.append(lam * (log_sum - logits[label]) + (1 - lam) * (log_sum - logits[other_label]))
    assert [loss.num_clips for loss in losses] == [2, 3]
    total = sum(float(loss.mean) * loss.num_clips for loss in losses)
    assert total == pytest.approx(sum(by_hand), rel=1e-12)


def test_cutmix_takes_turns_with_mixup():
    clips = torch.arange(4.0)[:, None, None, None, None].expand(4, 1, 1, 8, 8)
    samples = Samples(clips, torch.eye(4), "target")

    def share_of_boxes(**alphas):
        objective = Objective(num_classes=4, **alphas)
        rngs = map(np.random.default_rng, range(300))
        mixed = [next(objective.mix([samples], lambda name: next(rngs))) for _ in range(300)]
        assert all(one.labels.sum(dim=1).allclose(torch.ones(4)) for one in mixed)
        return np.mean([bool((one.inputs % 1 == 0).all()) for one in mixed])

    assert share_of_boxes(cutmix_alpha=1.0) == 1
    assert share_of_boxes(mixup_alpha=0.8) < 0.1
    assert 0.4 < share_of_boxes(mixup_alpha=0.8, cutmix_alpha=1.0) < 0.65


def test_cross_mixup_repeats_images_to_the_segments_of_videos():
    """An image of one frame and a video of three: what is shown is the still clip of the image in the mixture."""
    images, videos = torch.randn(4, 2, 1, 5, 5), torch.randn(4, 2, 3, 5, 5)
    labels = torch.eye(4)
    sources = [Samples(images, labels, "gg"), Samples(videos, labels, "target")]
    still = [replace(sources[0], inputs=images.expand(-1, -1, 3, -1, -1)), sources[1]]
    objective = Objective(num_classes=4, mixup_alpha=1.0, is_cross=True)
    mixed, expected = ([*objective.mix(each, lambda name: np.random.default_rng(1))] for each in (sources, still))
    for one, other in zip(mixed, expected, strict=True):
        assert one.inputs.shape == (4, 2, 3, 5, 5)
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.labels, other.labels)
