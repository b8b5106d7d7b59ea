"""Blocks of transformers: order, drop path, checkpoints."""

import copy

import pytest
import timm
import torch
from tiny_transformers import OPTIONS, make_model
from torchvision.ops import StochasticDepth

from omnicli.errors import UsageError
from omnicli.models.blocks import checkpoint_gradients, find_blocks, layer_numbers, set_drop_path
from omnicli.models.video.transformers_video import _stripped


@pytest.fixture(params=OPTIONS)
def backbone(request):
    return _stripped(make_model(request.param, ["a", "b"]))[0]


def test_layers_are_numbered_from_the_input(backbone):
    numbers = layer_numbers(backbone)
    assert len(find_blocks(backbone)) == 2
    assert {number for name, number in numbers.items() if "embed" in name} == {0}
    last = list(find_blocks(backbone))[-1]
    assert {number for name, number in numbers.items() if name.startswith(f"{last}.")} == {2}
    assert set(numbers.values()) == {0, 1, 2, 3}


def test_drop_path_grows_to_the_last_block_and_acts_in_training_alone(backbone):
    clips = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        before = backbone.eval()(clips)
        set_drop_path(backbone, 0.9, name="x")
        assert torch.equal(backbone(clips), before)
        torch.manual_seed(0)
        assert not torch.equal(backbone.train()(clips), before)
    first, last = find_blocks(backbone).values()
    rates = [{m.p for m in block.modules() if isinstance(m, StochasticDepth)} for block in (first, last)]
    assert rates == [{0.0}, {0.9}]


def test_checkpoints_give_the_same_gradients(backbone):
    clips = torch.randn(1, 3, 4, 32, 32)
    other = copy.deepcopy(backbone)
    checkpoint_gradients(other, name="x")
    for module in (backbone, copied := copy.deepcopy(other)):
        module.train()
        torch.manual_seed(0)
        module(clips).sum().backward()
    wanted = [parameter.grad for parameter in backbone.parameters() if parameter.grad is not None]
    given = [parameter.grad for parameter in copied.parameters() if parameter.grad is not None]
    assert len(wanted) == len(given)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(wanted, given, strict=True))


def test_a_convolutional_model_has_none():
    network = timm.create_model("resnet10t")
    with pytest.raises(UsageError, match="--drop-path: x has no stochastic depth"):
        set_drop_path(network, 0.1, name="x")
    with pytest.raises(UsageError, match="--gradient-checkpointing: x is no transformer"):
        checkpoint_gradients(network, name="x")
