"""Cross-entropy against its definition."""

import pytest
import torch

from omnicli.engine.losses import cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_is_minus_the_expected_log_score(smoothing):
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    wanted = torch.eye(4)[labels] * (1 - smoothing) + smoothing / 4
    expected = -(wanted * logits.log_softmax(dim=1)).sum(dim=1)
    torch.testing.assert_close(cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none"), expected)
    torch.testing.assert_close(cross_entropy(logits, torch.eye(4)[labels], label_smoothing=smoothing), expected.mean())


def test_it_is_float32_in_any_precision():
    assert cross_entropy(torch.randn(2, 3).bfloat16(), torch.tensor([0, 1])).dtype == torch.float32
