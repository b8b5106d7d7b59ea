"""Mixup: convex, mass-preserving, out of place."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import one_hot

from omnicli.data.mixup import cutmix_within, draw_cross_partners, draw_mixup, mix, mixup_across, mixup_within


@given(st.floats(0, 1), st.integers(1, 6), st.integers(0, 99))
def test_label_mass_is_preserved_and_inputs_are_not_touched(lam, num, seed):
    rng = np.random.default_rng(seed)
    probabilities = one_hot(torch.from_numpy(rng.integers(0, 4, num)), 4).float()
    before = probabilities.clone()
    mixed = mix(probabilities, probabilities, lam, torch.from_numpy(rng.permutation(num)))
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(num))
    assert torch.equal(probabilities, before)


def test_weight_1_is_the_identity_and_weight_0_the_partner():
    clips, partners = torch.randn(4, 3, 2, 2, 2), torch.tensor([1, 2, 3, 0])
    assert torch.equal(mix(clips, clips, 1.0, partners), clips)
    assert torch.equal(mix(clips, clips, 0.0, partners), clips[partners])


def test_clips_and_labels_are_mixed_alike():
    clips, labels, partners = torch.tensor([[1.0], [5.0]]), torch.tensor([0, 1]), torch.tensor([1, 0])
    probabilities = one_hot(labels, 2).float()
    assert mix(clips, clips, 0.75, partners).flatten().tolist() == [2.0, 4.0]
    assert mix(probabilities, probabilities, 0.75, partners).tolist() == [[0.75, 0.25], [0.25, 0.75]]


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_weights_are_beta_distributed_and_partners_a_permutation(alpha):
    rng = np.random.default_rng(0)
    drawn = [draw_mixup(5, alpha=alpha, rng=rng) for _ in range(4000)]
    weights = np.array([lam for lam, _ in drawn])
    assert weights.mean() == pytest.approx(0.5, abs=0.03)
    assert weights.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.08)
    assert all(sorted(partners.tolist()) == [0, 1, 2, 3, 4] for _, partners in drawn)


@given(st.integers(0, 20), st.integers(1, 20), st.integers(0, 3))
def test_cross_partners_are_of_the_other_side_and_shared_out_evenly(num_samples, num_others, seed):
    partners = draw_cross_partners(num_samples, num_others, rng=np.random.default_rng(seed))
    counts = np.bincount(partners.numpy(), minlength=num_others)
    assert len(counts) == num_others
    assert counts.sum() == num_samples
    assert counts.max() - counts.min() <= 1


def test_mixing_across_weighs_each_side_and_modifies_neither():
    samples, others = torch.zeros(3, 2), torch.tensor([[10.0, 0.0], [20.0, 0.0]])
    mixed = mix(samples, others, 0.75, torch.tensor([1, 0, 1]))
    assert mixed.tolist() == [[5.0, 0.0], [2.5, 0.0], [5.0, 0.0]]
    assert not samples.any()
    assert others.tolist() == [[10.0, 0.0], [20.0, 0.0]]


def test_mixup_within_a_source_mixes_inputs_and_labels_with_the_same_partners():
    inputs = torch.eye(5)
    mixed, labels = mixup_within(inputs, inputs, alpha=1.0, rng=np.random.default_rng(0))
    assert torch.equal(mixed, labels)
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(5))


def test_mixup_across_sources_takes_partners_of_the_other_side_and_keeps_the_larger_weight():
    target, one, other = torch.zeros(4, 2), torch.full((2, 2), 10.0), torch.full((3, 2), 10.0)
    pairs = [(one, one), (other, other), (target, target)]
    mixed = list(mixup_across(pairs, [False, False, True], alpha=1.0, rng=np.random.default_rng(0)))
    shares = [inputs.unique().tolist() for inputs, _ in mixed]
    assert [len(inputs) for inputs, _ in mixed] == [2, 3, 4]
    assert shares[0] == shares[1]
    assert 5.0 <= shares[0][0] < 10.0
    assert shares[2] == pytest.approx([10.0 - shares[0][0]])
    assert list(mixup_across(pairs[:2], [False, False], alpha=1.0, rng=np.random.default_rng(0))) == pairs[:2]


@given(st.integers(0, 200))
def test_cutmix_pastes_one_box_of_the_partner_and_labels_follow_its_pixels(seed):
    clips = torch.arange(4.0)[:, None, None, None, None].expand(4, 3, 2, 8, 12)
    labels = torch.eye(4)
    pasted, mixed = cutmix_within(clips, labels, alpha=1.0, rng=np.random.default_rng(seed))
    _, partners = draw_mixup(4, alpha=1.0, rng=np.random.default_rng(seed))
    for row, partner in enumerate(partners.tolist()):
        assert set(pasted[row].unique().tolist()) <= {float(row), float(partner)}
        assert (pasted[row] == pasted[row, :1, :1]).all()  # the box is the same in every channel and frame
        share = float((pasted[row] == row).float().mean())
        assert mixed[row, row] == pytest.approx(share, abs=1e-6)
        assert mixed[row].sum() == pytest.approx(1)
    assert (clips == torch.arange(4.0)[:, None, None, None, None]).all()


def test_the_box_of_cutmix_has_the_share_that_is_drawn_as_far_as_it_is_inside():
    clips, labels = torch.zeros(2, 1, 1, 64, 64), torch.eye(2)
    clips[1] = 1
    found = []
    for seed in range(300):
        lam, partners = draw_mixup(2, alpha=1.0, rng=np.random.default_rng(seed))
        pasted, _ = cutmix_within(clips, labels, alpha=1.0, rng=np.random.default_rng(seed))
        if partners.tolist() == [1, 0]:
            found.append((float(pasted[0].mean()), 1 - lam))
    assert all(share <= drawn + 1e-6 for share, drawn in found)
    inside = [share / drawn for share, drawn in found if 0.1 < drawn < 0.3 and share > 0.6 * drawn]
    assert max(inside) > 0.9
    assert any(share < 0.6 * drawn for share, drawn in found)
