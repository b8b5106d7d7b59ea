"""Losses."""

from typing import Literal

from torch import Tensor
from torch.nn import functional


def cross_entropy(
    logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, reduction: Literal["mean", "sum", "none"] = "mean"
) -> Tensor:
    """Cross-entropy in float32, whatever the precision of the forward pass.

    Args:
        logits: (N, K).
        labels: (N,) class indices, or (N, K) probabilities (what mixup makes).
        label_smoothing: share of the label's mass that is spread evenly over all classes, in [0, 1).
        reduction: over the N samples.

    Returns:
        () float32, or (N,) with ``none``.
    """
    return functional.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing, reduction=reduction)
