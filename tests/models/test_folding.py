"""Folding keeps the outputs; a model whose outputs would differ is not folded."""

import pytest
import torch
from torch import nn

from omnicli.models.folding import SMALL_SIDE, fold_batch_norms, fold_by_shape


def made_norms(model):
    """Give batch-norms statistics as after training."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return model.eval()


@pytest.mark.parametrize("backbone", ["resnet10t", "tf_efficientnet_lite0", "mobilenetv3_small_050"])
def test_a_folded_backbone_computes_the_same(backbone):
    import timm

    model = made_norms(timm.create_model(backbone, num_classes=0))
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        before = model(x)
    folded = fold_batch_norms(model, torch.randn(1, 3, 64, 64))
    assert any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in folded.modules())
    with torch.inference_mode():
        after = folded(x)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


class OfOneSize(nn.Module):
    """Takes frames of 128 pixels only; notes the sides that it saw."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.table = nn.Parameter(torch.ones(128, 128))
        self.sides = []

    def forward(self, x):
        self.sides.append(x.shape[-1])
        return (self.norm(self.conv(x)) * self.table).mean((2, 3))


def test_a_small_frame_finds_the_pairs_unless_the_backbone_takes_one_size():
    import timm

    model = made_norms(timm.create_model("resnet10t", num_classes=0))
    full = fold_batch_norms(model, torch.randn(1, 3, 224, 224)).state_dict()
    assert all(
        torch.equal(full[name], value) for name, value in fold_by_shape(model, (1, 3, 224, 224)).state_dict().items()
    )
    picky = made_norms(OfOneSize())
    folded = fold_by_shape(picky, (1, 3, 128, 128))
    assert isinstance(folded.norm, nn.Identity)
    assert folded.sides == [128, 128]
    assert SMALL_SIDE < 128


class ReadTwice(nn.Module):
    """The convolution's output is also used without the norm, so folding would change it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.conv(x)
        return (self.norm(y) + y).mean((2, 3))


class NormFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(self.norm(x))


@pytest.mark.parametrize("kind", [ReadTwice, NormFirst])
def test_a_model_whose_output_folding_would_change_is_not_folded(kind):
    model = made_norms(kind())
    assert fold_batch_norms(model, torch.randn(2, 3, 8, 8)) is model


def test_3d_convolutions_are_folded_too():
    model = made_norms(nn.Sequential(nn.Conv3d(3, 4, 3, bias=False), nn.BatchNorm3d(4, eps=1e-3), nn.ReLU()))
    x = torch.randn(1, 3, 5, 6, 7)
    with torch.inference_mode():
        folded = fold_batch_norms(model, x)
        assert not isinstance(folded[1], nn.BatchNorm3d)
        torch.testing.assert_close(folded(x), model(x), rtol=1e-5, atol=1e-5)
