"""Cross-entropy against its definition."""

import pytest
import torch

from omnicli.training.losses import binary_cross_entropy, cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_is_minus_the_expected_log_score(smoothing):
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    wanted = torch.eye(4)[labels] * (1 - smoothing) + smoothing / 4
    expected = -(wanted * logits.log_softmax(dim=1)).sum(dim=1)
    torch.testing.assert_close(cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none"), expected)
    torch.testing.assert_close(cross_entropy(logits, torch.eye(4)[labels], label_smoothing=smoothing), expected.mean())


def test_it_is_float32_in_any_precision():
    assert cross_entropy(torch.randn(2, 3).bfloat16(), torch.tensor([0, 1])).dtype == torch.float32
    assert binary_cross_entropy(torch.randn(2, 3).bfloat16(), torch.zeros(2, 3)).dtype == torch.float32
    assert cross_entropy(torch.randn(2, 3).double(), torch.tensor([0, 1])).dtype == torch.float64


def test_the_binary_one_asks_every_class_for_itself():
    logits, wanted = torch.randn(5, 4), torch.randint(0, 2, (5, 4)).float()
    scores = logits.sigmoid()
    expected = -(wanted * scores.log() + (1 - wanted) * (1 - scores).log())
    torch.testing.assert_close(binary_cross_entropy(logits, wanted), expected.mean())
