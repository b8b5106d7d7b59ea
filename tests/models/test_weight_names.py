"""Translation of weight names in both directions."""

import pytest
import timm
import torch

from omnicli.models.architectures import new_model
from omnicli.models.resnet3d_configs import RESNET3D_CONFIGS
from omnicli.models.slowfast import SLOWFAST_CONFIGS
from omnicli.models.weight_names import bare_names, from_omni, inflate, recognise_layout, to_omni

NAMES = [*(name for name in RESNET3D_CONFIGS if not name.startswith("torchvision")), *SLOWFAST_CONFIGS, "tsn-resnet50"]


@pytest.mark.parametrize("name", [*NAMES, "tsm-resnet50", "tsm-resnet101"])
@pytest.mark.parametrize("layout", ["mmaction2", "mmaction"])
def test_every_model_round_trips_through_both_layouts(name, layout):
    with torch.device("meta"):
        ours = new_model(name, 4).state_dict()
    theirs = from_omni(ours, layout, is_shifted=name.startswith("tsm-"))
    assert recognise_layout(theirs) == layout
    assert len(theirs) == len(ours)
    back = to_omni({f"module.{key}": tensor for key, tensor in theirs.items()})
    assert back.keys() == ours.keys()
    assert all(back[key] is ours[key] for key in ours)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("backbone.conv1.conv.weight", "backbone.conv1.weight"),
        ("backbone.layer1.0.conv3.bn.running_var", "backbone.layer1.0.bn3.running_var"),
        ("backbone.layer2.0.downsample.bn.bias", "backbone.layer2.0.downsample.1.bias"),
        ("backbone.layer1.0.conv1.conv.net.weight", "backbone.layer1.0.conv1.weight"),
        ("backbone.layer1.0.conv2.0.bn.weight", "backbone.layer1.0.bn2.weight"),
        ("backbone.layer2.0.downsample.conv.conv_t.weight", "backbone.layer2.0.downsample.0.conv_t.weight"),
        ("backbone.slow_path.layer1_lateral.conv.weight", "backbone.slow_path.layer1_lateral.weight"),
        ("backbone.layer2.1.non_local_block.g.0.conv.bias", "backbone.layer2.1.non_local_block.g.bias"),
        ("backbone.layer2.1.non_local_block.conv_out.bn.weight", "backbone.layer2.1.non_local_block.bn_out.weight"),
        ("cls_head.fc_cls.weight", "fc.weight"),
    ],
)
def test_the_table_of_mmaction2_keys(theirs, ours):
    marker = {"backbone.conv1.conv.weight": torch.zeros(1)}
    assert ours in to_omni({**marker, theirs: torch.zeros(1)})


@pytest.mark.parametrize(  # of files that `pretrained=` of mmaction2's configs names
    ("stem", "theirs", "ours"),
    [
        ("conv1.conv.weight", "layer1.0.conv2.0.conv.weight", "backbone.layer1.0.conv2.weight"),  # irCSN
        ("conv1.conv.weight", "layer2.0.downsample.bn.bias", "backbone.layer2.0.downsample.1.bias"),
        ("conv1.conv.conv_s.weight", "layer4.2.conv2.conv.bn_s.bias", "backbone.layer4.2.conv2.bn_s.bias"),  # R(2+1)D
        ("conv1.conv.weight", "layer3.5.conv3.bn.running_var", "backbone.layer3.5.bn3.running_var"),  # SlowOnly
        ("slow_path.conv1.conv.weight", "fast_path.conv1.bn.weight", "backbone.fast_path.bn1.weight"),
        ("conv1.conv.weight", "num_batches_tracked", "backbone.num_batches_tracked"),
    ],
)
def test_files_of_a_backbone_alone_are_mmaction2s_too(stem, theirs, ours):
    assert recognise_layout([stem, theirs]) == "mmaction2"
    assert to_omni({stem: torch.zeros(1), theirs: torch.zeros(1)}).keys() >= {ours}


@pytest.mark.parametrize("name", ["skresnet18", "cspresnet50", "inception_v3"])
def test_convolutions_of_timm_named_conv_are_not_mmaction2s(name):
    with torch.device("meta"):
        assert recognise_layout(timm.create_model(name).state_dict()) == "bare"


def test_data_preprocessor_weights_are_ignored():
    assert bare_names({"data_preprocessor.mean": torch.zeros(3), "module.fc.bias": torch.zeros(1)}).keys() == {
        "fc.bias"
    }


def test_inflation_repeats_over_time_and_divides():
    weights = {"conv.weight": torch.randn(4, 3, 5, 5), "bn.weight": torch.ones(4)}
    inflated = inflate(weights, {"conv.weight": torch.empty(4, 3, 3, 5, 5), "bn.weight": torch.empty(4)})
    assert torch.allclose(inflated["conv.weight"].sum(dim=2), weights["conv.weight"], atol=1e-6)
    assert torch.equal(inflated["conv.weight"][:, :, 0], inflated["conv.weight"][:, :, 2])
    assert inflated["bn.weight"] is weights["bn.weight"]
