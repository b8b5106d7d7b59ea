"""Temperature scaling, so that a confidence of 0.9 is correct nine times out of ten (Guo et al., 2017)."""

import numpy as np

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.5, 5.0
NUM_HALVINGS = 60


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T in [0.5, 5] with the smallest negative log-likelihood of softmax(logits / T).

    Ours: OmniSource applies none. The likelihood is convex in 1/T, so its slope is bisected.

    Args:
        logits: (N, K), of clips that the model was not trained on, N >= 1.
        labels: (N,) class indices.
    """
    wide = logits.astype(np.float64)
    own = wide[np.arange(len(labels)), labels]  # (N,)

    def slope(inverse: float) -> float:
        """Derivative of the NLL by 1/T: expected minus true logit."""
        scaled = wide * inverse
        weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return float(((weights * wide).sum(axis=1) / weights.sum(axis=1) - own).mean())

    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    if slope(low) >= 0:
        return MAX_TEMPERATURE
    if slope(high) <= 0:
        return MIN_TEMPERATURE
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return 2 / (low + high)
