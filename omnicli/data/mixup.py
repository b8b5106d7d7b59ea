"""Mixup inside one batch (Sec. 3.6, intra-dataset mixup)."""

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
    return pairs * lam + pairs[partners.to(pairs.device)] * (1.0 - lam)


def label_probabilities(labels: Tensor, num_classes: int) -> Tensor:
    """(N,) class indices as (N, K) float32 that sum to 1."""
    return torch.nn.functional.one_hot(labels, num_classes).float()
