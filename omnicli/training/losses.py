"""Losses."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(
    logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, reduction: Literal["mean", "sum", "none"] = "mean"
) -> Tensor:
    """Cross-entropy in float32, or in the float64 of the logits, whatever the precision of the forward pass.

    Args:
        logits: (N, K).
        labels: (N,) class indices, or (N, K) probabilities (what mixup makes).
        label_smoothing: share of the label's mass that is spread evenly over all classes, in [0, 1).
        reduction: over the N samples.

    Returns:
        (), or (N,) with ``none``.
    """
    return functional.cross_entropy(_wide(logits), labels, label_smoothing=label_smoothing, reduction=reduction)


def binary_cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of a sigmoid for each class: samples that show several classes, or none.

    Ours: the mean over classes, as in the released code's head.

    Args:
        logits: (N, K).
        wanted: (N, K) in [0, 1].

    Returns:
        (), the mean over samples.
    """
    wide = _wide(logits)
    return functional.binary_cross_entropy_with_logits(wide, wanted.to(wide.dtype))


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
