"""Architectures by name, and suggestions for wrong names."""

import pytest
import torch
from torchvision import models

from omnicli.errors import ModelError, UsageError
from omnicli.models import architectures
from omnicli.models.architectures import default_dropout, default_input, find_config_3d, imagenet_resnet, new_model
from omnicli.models.factory import create_model
from omnicli.models.resnet3d_configs import RESNET3D_CONFIGS
from omnicli.models.slowfast import SLOWFAST_CONFIGS


@pytest.mark.parametrize("name", [*RESNET3D_CONFIGS, *SLOWFAST_CONFIGS, "tsn-bninception", "tsm-resnet50"])
def test_every_architecture_can_be_built(name):
    with torch.device("meta"):
        model = new_model(name, 7)
    assert model.fc.out_features == 7
    assert model.dropout.p == default_dropout(name)
    assert model.is_2d == (find_config_3d(name) is None)


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v3_small"])
def test_torchvisions_backbones_give_pooled_features(backbone):
    model = new_model(f"tsn-torchvision.{backbone}", 3).eval()
    assert model(torch.randn(2, 3, 2, 64, 64)).shape == (2, 3)


@torch.no_grad()
@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_classifiers_are_left_out_in_training_and_from_files(name, tmp_path):
    whole = models.get_model(name, weights=None, init_weights=False).state_dict()
    assert any(key.startswith(("aux1.", "AuxLogits.")) for key in whole)
    torch.save(whole, tmp_path / "a.pth")
    model = create_model(f"tsn-torchvision.{name}", num_classes=3, init=str(tmp_path / "a.pth")).train()
    assert model(torch.randn(2, 3, 1, 96, 96)).shape == (2, 3)
    assert default_input(f"torchvision.{name}")[:2] == ((127.5,) * 3, (127.5,) * 3)
    assert model.backbone.transform_input is False  # its pretrained weights would turn it on, a checkpoint would not


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("slowonly-r5", "slowonly-r50"),
        ("tsn-torchvision.resnet5o", "torchvision.resnet50"),
        ("tsm-mobilenetv2_035", "not a ResNet"),
        ("tsn-torchvision.fcn_resnet50", "has no backbone"),
    ],
)
def test_wrong_names_suggest_similar_ones(name, says):
    with pytest.raises(UsageError, match=says):
        new_model(name, 2)


def test_missing_imagenet_weights_are_an_error_that_says_what_to_do():
    with pytest.raises(UsageError, match="only 2D backbones"):
        new_model("slowonly-r50", 2, pretrained=True)
    with pytest.raises(ModelError, match="bninception"):
        new_model("tsn-bninception", 2, pretrained=True)


def test_a_3d_model_is_inflated_from_the_resnet_of_its_depth(monkeypatch):
    asked = []
    monkeypatch.setattr(architectures, "_timm_backbone", lambda name, *, pretrained: asked.append((name, pretrained)))
    for name in ("slowonly-r50", "i3d-r101", "i3d-nl-r50", "r3d-r18"):
        imagenet_resnet(name)
    assert asked == [(f"resnet{depth}", True) for depth in (50, 101, 50, 18)]
    assert imagenet_resnet("tsn-resnet50") is None
    for name in ("ircsn-r50", "ipcsn-r152", "r2plus1d-r34", "slowfast-r50", "torchvision-r2plus1d_18"):
        with pytest.raises(UsageError, match="no 2D counterpart"):
            imagenet_resnet(name)


def test_bninception_keeps_caffes_means_in_rgb_order():
    assert default_input("bninception")[:2] == ((128.0, 117.0, 104.0), (1.0, 1.0, 1.0))
