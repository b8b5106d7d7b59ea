"""Configs for mmaction2 equal the released ones."""

import json
from dataclasses import replace

import pytest
import torch

from omnicli.models.architectures import new_model
from omnicli.models.factory import ModelSpec, model_spec
from omnicli.models.flow_spec import flow_spec
from omnicli.models.mmaction2 import as_python, is_plain_resnet, mmaction2_model
from omnicli.models.published_input import IPCSN_MEAN
from omnicli.models.resnet3d_configs import RESNET3D_CONFIGS
from omnicli.models.slowfast import SLOWFAST_CONFIGS

# used in training only, or stated though it is mmaction2's default
TRAINING = {"init_std", "bn_frozen", "norm_eval", "pretrained2d", "dropout_ratio", "zero_init_residual", "pretrained"}
DEFAULTS = {
    "num_segments": 8, "temporal_strides": [1, 1, 1, 1], "format_shape": "NCHW", "spatial_strides": [1, 2, 2, 2],
    "fusion_kernel": 5, "inflate": [1, 1, 1, 1], "dilations": [1, 1, 1, 1],
    "conv_cfg": {"type": "Conv3d"},
}  # fmt: skip
SAME = {"speed_ratio", "channel_ratio", "train_cfg", "test_cfg"}  # of a pathway: mmaction2 copies them from its parent


def config_of(name, num_classes=400):
    with torch.device("meta"):
        model = new_model(name, num_classes)
    spec = model_spec(name, classes=[f"class {k}" for k in range(num_classes)])
    return mmaction2_model(spec, model.fc.in_features)


def differing(ours, theirs, at=""):
    """Keys in which two configs differ, except for training settings and omitted defaults."""
    for key in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(key, DEFAULTS.get(key)), theirs.get(key, DEFAULTS.get(key))
        if isinstance(mine, dict) and isinstance(other, dict):
            yield from differing(mine, other, f"{at}{key}.")
        elif key not in TRAINING and not (key in SAME and key not in ours) and mine != other:
            yield f"{at}{key}: {mine} is {other}"


@pytest.mark.parametrize(
    "model",
    [
        *("i3d_r50_32x2", "ipcsn_r152_32x2", "ircsn_r152_32x2", "ircsn_r50_32x2", "r2plus1d_r34_32x2"),
        *("r2plus1d_r34_8x8", "slowfast_r50_4x16", "slowfast_r50_8x8", "slowonly_r101_8x8", "slowonly_r50_4x16"),
        *("slowonly_r50_8x8", "tsm_r50_8seg", "tsn_r50_3seg", "tsn_r50_3seg_224"),
    ],
)
def test_the_config_equals_the_released_one(reference, model):
    ours = json.loads(json.dumps(config_of(reference.architectures[model])))
    assert list(differing(ours, reference.config(model))) == []


def test_a_model_of_several_labels_has_no_softmax():
    spec = replace(model_spec("tsn-resnet18", classes=["a", "b"]), multi_label=True)
    head = mmaction2_model(spec, 512)["cls_head"]
    assert (head["average_clips"], head["multi_class"], head["loss_cls"]["type"]) == (
        "score", True, "BCELossWithLogits",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "pairs", "argument", "channels"),
    [("tsn-resnet18", 5, "in_channels", 10), ("tsn-tf_efficientnet_b0", 5, "in_chans", 10),
     ("i3d-r50", None, "in_channels", 2)],
)  # fmt: skip
def test_a_model_of_flow_has_its_channels(name, pairs, argument, channels):
    config = mmaction2_model(flow_spec(model_spec(name, classes=["a", "b"]), pairs), 512)
    assert config["backbone"][argument] == channels
    assert config["data_preprocessor"]["mean"] == config["data_preprocessor"]["std"] == [128.0] * channels
    assert mmaction2_model(flow_spec(model_spec("tsn-torchvision.densenet121", classes=["a"])), 512) is None


def test_the_config_lists_the_non_local_blocks():
    backbone = config_of("i3d-nl-r50")["backbone"]
    assert backbone["non_local"] == ((0, 0, 0), (0, 1, 0, 1), (0, 1, 0, 1, 0, 1), (0, 0, 0))
    assert backbone["non_local_cfg"]["use_scale"] is False
    assert config_of("slowonly-nl-r50")["backbone"]["non_local_cfg"]["use_scale"] is True


@pytest.mark.parametrize(
    "name",
    [
        *("tsn-bninception", "tsn-torchvision.swin_t", "tsm-resnet10t", "r3d-r18", "r2plus1d-r34", "r2plus1d-mm-r152"),
        *(name for name in RESNET3D_CONFIGS if name.startswith("torchvision")),
    ],
)
def test_architectures_without_equivalent_have_no_config(name):
    assert config_of(name, 2) is None


def test_other_backbones_are_named_as_in_timm_and_torchvision():
    assert config_of("tsn-tf_efficientnet_b0")["backbone"]["type"] == "timm.tf_efficientnet_b0"
    assert config_of("tsn-torchvision.densenet121")["backbone"]["type"] == "torchvision.densenet121"
    assert config_of("tsn-tf_efficientnet_b0.ns_jft_in1k")["backbone"]["type"] == "timm.tf_efficientnet_b0"
    assert config_of("tsm-resnet50.tv_in1k") == config_of("tsm-resnet50")
    assert is_plain_resnet("tsn-resnet50.fb_swsl_ig1b_ft_in1k")
    assert [is_plain_resnet(f"tsn-{name}") for name in ("resnet50", "resnet50d", "densenet121")] == [True, False, False]


def test_every_3d_model_except_the_listed_ones_has_a_config():
    without = {name for name in (*RESNET3D_CONFIGS, *SLOWFAST_CONFIGS) if config_of(name, 2) is None}
    assert without == {
        *(f"r2plus1d-r{depth}" for depth in (18, 34, 101, 152)),
        *("r2plus1d-mm-r101", "r2plus1d-mm-r152", "r3d-r18", "r2d-r18", "torchvision-r3d_18"),
        *("torchvision-mc3_18", "torchvision-r2plus1d_18"),
    }


def test_normalisation_and_classes_are_the_models_own():
    spec = ModelSpec.from_meta({**model_spec("ipcsn-r152", classes=["a", "b"]).to_meta(), "dropout": 0.3})
    config = mmaction2_model(spec, 2048)
    assert tuple(config["data_preprocessor"]["mean"]) == IPCSN_MEAN
    assert (config["cls_head"]["num_classes"], config["cls_head"]["dropout_ratio"]) == (2, 0.3)


def test_the_config_is_written_as_python():
    config = config_of("slowfast-r50")
    assert eval(as_python(config), {"dict": dict}) == config
