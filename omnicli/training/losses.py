"""Losses."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(
    logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, reduction: Literal["mean", "sum", "none"] = "mean"
) -> Tensor:
    """Cross-entropy in float32 (in float64 if the logits are), whatever the precision of the forward pass.

    Args:
        logits: (N, K).
        labels: (N,) class indices, or (N, K) probabilities, as after mixup.
        label_smoothing: share of the label's mass that is spread evenly over all classes, in [0, 1).
        reduction: over the N samples.

    Returns:
        (), or (N,) with ``none``.
    """
    return functional.cross_entropy(_wide(logits), labels, label_smoothing=label_smoothing, reduction=reduction)


def binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of one sigmoid per class, for samples of several classes or none.

    Ours: the mean over classes, as in the released code's head.

    Args:
        logits: (N, K).
        labels: (N, K) in [0, 1].

    Returns:
        (), the mean over samples.
    """
    wide = _wide(logits)
    return functional.binary_cross_entropy_with_logits(wide, labels.to(wide.dtype))


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
