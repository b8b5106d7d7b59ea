"""Mixup (Sec. 3.6): inside one data set, or across target and web data."""

import numpy as np
import torch
from torch import Tensor


def draw_mixup(num_clips: int, *, alpha: float, rng: np.random.Generator) -> tuple[float, Tensor]:
    """The weight of the first clip and everyone's partner.

    Args:
        num_clips: N.
        alpha: λ ~ Beta(alpha, alpha), > 0. Ours: the paper gives none; 0.2 is the usual value.
        rng: whose draws.

    Returns:
        lam in [0, 1], and (N,) int64, a permutation; a clip may be its own partner.
    """
    return float(rng.beta(alpha, alpha)), torch.from_numpy(rng.permutation(num_clips))


def mix(pairs: Tensor, lam: float, partners: Tensor) -> Tensor:
    """λ x_i + (1 - λ) x_partner(i), for clips and for label probabilities alike.

    Args:
        pairs: (N, ...) float; not modified.
        lam: weight of the first of each pair; 1 gives ``pairs`` back.
        partners: (N,) int64.

    Returns:
        (N, ...), of the same dtype and device.
    """
    return mix_across(pairs, pairs, lam, partners)


def draw_cross_partners(num_samples: int, num_others: int, *, rng: np.random.Generator) -> Tensor:
    """Everyone's partner on the other side (Sec. 3.6, cross-dataset mixup); none is taken twice before all were taken.

    Args:
        num_samples: of this side.
        num_others: of the other side, >= 1.
        rng: whose draws.

    Returns:
        (num_samples,) int64 in [0, num_others).
    """
    rounds = -(-num_samples // num_others)
    drawn = [rng.permutation(num_others) for _ in range(rounds)]
    return torch.from_numpy(np.concatenate([np.empty(0, np.int64), *drawn])[:num_samples])


def mix_across(samples: Tensor, others: Tensor, lam: float, partners: Tensor) -> Tensor:
    """λ x_i + (1 - λ) z_partner(i): ``mix`` with partners of another batch.

    Args:
        samples: (N, ...) float; not modified.
        others: (M, ...) float.
        lam: weight of ``samples``.
        partners: (N,) int64 in [0, M).

    Returns:
        (N, ...), of the same dtype and device.
    """
    return samples * lam + others[partners.to(others.device)] * (1.0 - lam)
