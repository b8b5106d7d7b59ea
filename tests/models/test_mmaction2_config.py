"""The config in a checkpoint of mmaction2 decides what its weights do not say."""

import pytest
import torch

from omnicli.errors import ModelError
from omnicli.models.architectures import new_model
from omnicli.models.factory import model_spec
from omnicli.models.loading import load_model
from omnicli.models.mmaction2_config import check_same_network, read_config, takes_bgr, timm_backbone, with_input
from omnicli.models.weight_names import from_omni

NEW = """
preprocess = dict(mean=[1.5, 2, 3], std=[4, 5, 6])
model = dict(
    type='Recognizer3D',
    backbone=dict(type='ResNet3d', depth=50, conv1_stride_t=2, **extra),
    cls_head=dict(type='I3DHead', loss_cls=dict(type='BCELossWithLogits', weight=-1.0)),
    data_preprocessor=dict(type='ActionDataPreprocessor', **preprocess, format_shape='NCTHW'))
model['x'] = open('/etc/passwd').read()
"""


def spec_of(name):
    return model_spec(name, classes=["a", "b"])


def test_a_config_is_read_as_data():
    config = read_config({"cfg": "extra = dict(dilations=(1, 1, 1, 1))\n" + NEW})
    assert config["model"]["backbone"] == {
        "type": "ResNet3d", "depth": 50, "conv1_stride_t": 2, "dilations": (1, 1, 1, 1)
    }  # fmt: skip
    assert config["model"]["cls_head"]["loss_cls"]["weight"] == -1.0
    assert read_config({"config": "a = {'b': [1, print()]}"}) == {"a": {"b": (1, None)}}


@pytest.mark.parametrize(
    "text", ["a = (", "a = " + "-" * 50_000 + "1", "a = " + "[" * 500 + "]" * 500, "\0", 7, "a=1" * 10**6]
)
def test_a_config_that_is_none_is_left_alone(text):
    assert read_config({"cfg": text}) == {}


def test_normalisation_and_sigmoid_are_those_of_the_config():
    spec = with_input(spec_of("i3d-r50"), read_config({"cfg": "extra = dict()\n" + NEW}))
    assert (spec.mean, spec.std, spec.multi_label) == ((1.5, 2.0, 3.0), (4.0, 5.0, 6.0), True)
    plain = spec_of("i3d-r50")
    assert with_input(plain, {}) == plain


@pytest.mark.parametrize(
    ("key", "value", "is_bgr"), [("to_bgr", "True", True), ("to_rgb", "False", True), ("to_bgr", "False", False)]
)  # fmt: skip
def test_bgr_becomes_rgb(tmp_path, key, value, is_bgr):
    config = f"img_norm_cfg = dict(mean=[1, 2, 3], std=[4, 5, 6], {key}={value})"
    assert takes_bgr(read_config({"config": config})) is is_bgr
    ours = new_model("tsn-resnet18", 2).eval()
    theirs = from_omni(ours.state_dict(), "mmaction2")
    torch.save({"meta": {"config": config}, "state_dict": theirs}, tmp_path / "a.pth")
    loaded = load_model(tmp_path / "a.pth", classes=["a", "b"])
    assert loaded.spec.mean == ((3, 2, 1) if is_bgr else (1, 2, 3))
    clips = torch.randn(1, 3, 1, 64, 64)
    with torch.no_grad():
        wanted = ours(clips.flip(1) if is_bgr else clips)
        assert torch.allclose(loaded.network(clips), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "backbone", "says"),
    [
        ("tsn-resnet50", "type='C2D', depth=50", "has a C2D"),
        ("i3d-nl-r50", "type='ResNet3d', non_local_cfg=dict(mode='dot_product')", "mode is 'dot_product', expected 'e"),
        ("i3d-r50", "type='mmaction.ResNet3d', conv1_stride_t=1", "conv1_stride_t is 1, expected 2"),
        ("tsm-resnet50", "type='ResNetTSM', shift_div=4", "shift_div is 4, expected 8"),
        ("tsn-resnet50", "type='ResNet', style='caffe'", "style is 'caffe', expected 'pytorch'"),
    ],
)  # fmt: skip
def test_other_networks_with_the_same_weights_are_refused(name, backbone, says):
    config = read_config({"cfg": f"model = dict(backbone=dict({backbone}))"})
    with pytest.raises(ModelError, match=f"a.pth: its config .*{says}"):
        check_same_network(spec_of(name), config, path="a.pth")


@pytest.mark.parametrize(
    ("name", "backbone"),
    [
        ("slowonly-r50", "type='ResNet3dSlowOnly', lateral=False, conv1_stride_t=1, with_pool2=False, style='pytorch'"),
        ("i3d-nl-r50", "type='ResNet3d', non_local_cfg=dict(mode='embedded_gaussian', use_scale=False)"),
        ("slowfast-r50", "type='ResNet3dSlowFast', resample_rate=8, speed_ratio=8"),
        ("ircsn-r152", "type='ResNet3dCSN', temporal_strides=(1, 2, 2, 2), with_pool2=False"),
    ],
)
def test_the_published_networks_are_taken(name, backbone):
    check_same_network(spec_of(name), read_config({"cfg": f"model = dict(backbone=dict({backbone}))"}), path="a.pth")


def test_a_backbone_of_timm_is_named_by_the_config():
    config = "model = dict(backbone=dict(type='timm.efficientnet_b0'), cls_head=dict(type='TSNHead'))"
    assert timm_backbone(read_config({"cfg": config})) == "tsn-efficientnet_b0"
    assert timm_backbone({}) is None
