"""Blocks of transformers: order, drop path, checkpoints."""

import copy

import pytest
import timm
import torch
from timm.layers.drop import DropPath
from tiny_transformers import OPTIONS, make_model
from torchvision.ops import StochasticDepth

from omnicli.errors import UsageError
from omnicli.models.blocks import checkpoint_gradients, find_blocks, layer_numbers, set_drop_path
from omnicli.models.video.transformers_video import _stripped


class Clips(torch.nn.Module):
    """An image model on the first frame."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, clips):
        return self.model(clips[:, :, 0])


@pytest.fixture(params=[*OPTIONS, "timm"])
def backbone(request):
    if request.param == "timm":
        return Clips(timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=0, drop_path_rate=0.1))
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
    kinds = (StochasticDepth, DropPath)
    rates = [{getattr(m, "p", getattr(m, "drop_prob", None)) for m in block.modules() if isinstance(m, kinds)}
             for block in (first, last)]  # fmt: skip
    assert rates[0] <= {0.0}  # timm makes none where the rate is 0
    assert rates[1] == {0.9}


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
    with pytest.raises(UsageError, match="--gradient-checkpointing: x is not a transformer"):
        checkpoint_gradients(network, name="x")
