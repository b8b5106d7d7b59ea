"""Mixup (OmniSource Sec. 3.6): within one data set, or across the target and the auxiliary sources."""

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
