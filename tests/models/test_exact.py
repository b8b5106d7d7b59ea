"""A model in bfloat16 keeps the one in float32 as it was."""

import torch

from omnicli.models.exact import with_exact
from omnicli.models.loading import load_model


def test_the_exact_model_is_beside_the_coarse_one_and_unchanged(teacher):
    exact = load_model(teacher)
    coarse = with_exact(exact, torch.bfloat16)
    assert coarse.exact is exact
    assert (coarse.precision, exact.precision) == (torch.bfloat16, torch.float32)
    assert {p.dtype for p in coarse.network.backbone.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in exact.network.parameters()} == {torch.float32}


def test_in_float32_there_is_nothing_to_keep(teacher):
    exact = load_model(teacher)
    assert with_exact(exact, torch.float32) is exact
    assert exact.exact is None
