"""Mixup (OmniSource Sec. 3.6): within one data set, or across the target and the auxiliary sources; and CutMix."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]  # inputs (N, ...), label probabilities (N, K)


def mixup_within(inputs: Tensor, labels: Tensor, *, alpha: float, rng: np.random.Generator) -> Pair:
    """Intra-dataset mixup: λ x_i + (1 - λ) x_j, labels likewise; one λ per call.

    Args:
        inputs: (N, ...) float; not modified.
        labels: (N, K) probabilities; not modified.
        alpha: λ ~ Beta(alpha, alpha), > 0. Ours: the paper gives no value; 0.2 is common.
        rng: draws.
    """
    lam, partners = draw_mixup(len(inputs), alpha=alpha, rng=rng)
    return mix(inputs, inputs, lam, partners), mix(labels, labels, lam, partners)


def cutmix_within(inputs: Tensor, labels: Tensor, *, alpha: float, rng: np.random.Generator) -> Pair:
    """CutMix (Yun et al., 2019): a box of x_j pasted into x_i, in every frame; labels mix by the share of pixels.

    Args:
        inputs: (N, C, T, H, W) float; not modified.
        labels: (N, K) probabilities; not modified.
        alpha: 1 - λ ~ Beta(alpha, alpha) is the share of the box, > 0, before the frame cuts it off.
        rng: draws.
    """
    lam, partners = draw_mixup(len(inputs), alpha=alpha, rng=rng)
    top, bottom, left, right = _draw_box(*inputs.shape[-2:], share=1 - lam, rng=rng)
    pasted = inputs.clone()
    pasted[..., top:bottom, left:right] = inputs[partners.to(inputs.device)][..., top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (inputs.shape[-2] * inputs.shape[-1])
    return pasted, mix(labels, labels, kept, partners)


def _draw_box(height: int, width: int, *, share: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Rows and columns of a box of the frame's shape around a random pixel, as far as it is inside the frame."""
    bounds: list[int] = []
    for side in (height, width):
        half, centre = int(side * share**0.5) // 2, int(rng.integers(side))
        bounds += [max(centre - half, 0), min(centre + half, side)]
    top, bottom, left, right = bounds
    return top, bottom, left, right


def mixup_across(
    sources: Sequence[Pair], is_target: Sequence[bool], *, alpha: float, rng: np.random.Generator
) -> Iterator[Pair]:
    """Cross-dataset mixup: "the two pairs are samples randomly chosen from both datasets".

    Ours: each sample takes a partner from the other side and keeps the larger weight, max(λ, 1 - λ), so that it stays a
    sample of its own source and the batch sizes stay. A side without samples leaves the other side unmixed.

    Args:
        sources: inputs and labels of each source; not modified.
        is_target: whether each source is the target.
        alpha: λ ~ Beta(alpha, alpha), > 0; one λ per call.
        rng: draws.
    """
    lam = float(rng.beta(alpha, alpha))
    lam = max(lam, 1 - lam)
    for (inputs, labels), side in zip(sources, is_target, strict=True):
        others = [pair for pair, other_side in zip(sources, is_target, strict=True) if other_side != side]
        if others:
            other_inputs, other_labels = (torch.cat(tensors) for tensors in zip(*others, strict=True))
            partners = draw_cross_partners(len(inputs), len(other_inputs), rng=rng)
            yield mix(inputs, other_inputs, lam, partners), mix(labels, other_labels, lam, partners)
        else:
            yield inputs, labels


def mix(samples: Tensor, others: Tensor, lam: float, partners: Tensor) -> Tensor:
    """λ x_i + (1 - λ) z_partner(i), for inputs and for label probabilities alike.

    Args:
        samples: (N, ...) float; not modified.
        others: (M, ...) float; ``samples`` themselves within one data set.
        lam: weight of ``samples``; 1 gives them back.
        partners: (N,) int64 in [0, M).

    Returns:
        (N, ...), of the same dtype and device.
    """
    return samples * lam + others[partners.to(others.device)] * (1.0 - lam)


def draw_mixup(num_samples: int, *, alpha: float, rng: np.random.Generator) -> tuple[float, Tensor]:
    """λ in [0, 1], and the partner of each sample: (num_samples,) int64, a permutation with fixed points allowed."""
    return float(rng.beta(alpha, alpha)), torch.from_numpy(rng.permutation(num_samples))


def draw_cross_partners(num_samples: int, num_others: int, *, rng: np.random.Generator) -> Tensor:
    """The partner of each sample on the other side: (num_samples,) int64 in [0, num_others).

    No partner is drawn twice before all have been drawn once; ``num_others`` is at least 1.
    """
    rounds = -(-num_samples // num_others)
    drawn = [rng.permutation(num_others) for _ in range(rounds)]
    return torch.from_numpy(np.concatenate([np.empty(0, np.int64), *drawn])[:num_samples])
