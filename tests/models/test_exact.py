"""A model in bfloat16 keeps the one in float32 as it was."""

import pytest
import torch
from torch import nn

from omnicli.models.exact import with_exact
from omnicli.models.factory import ModelSpec
from omnicli.models.loading import LoadedModel
from omnicli.models.tsn import TSN


@pytest.fixture
def exact():
    network = TSN(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 4, 2).eval()
    spec = ModelSpec(
        name="small", classes=("a", "b"), mean=(0.0,) * 3, std=(1.0,) * 3, short_side=16, crop_size=16,
        num_segments=3, num_frames=1, frame_interval=1,
    )  # fmt: skip
    return LoadedModel(network, spec, 1.0, "", "small.pth", torch.device("cpu"), torch.float32)


def test_the_exact_model_is_beside_the_coarse_one_and_unchanged(exact):
    coarse = with_exact(exact, torch.bfloat16)
    assert coarse.exact is exact
    assert (coarse.precision, exact.precision) == (torch.bfloat16, torch.float32)
    assert {p.dtype for p in coarse.network.backbone.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in exact.network.parameters()} == {torch.float32}


def test_in_float32_there_is_nothing_to_keep(exact):
    assert with_exact(exact, torch.float32) is exact
    assert exact.exact is None
