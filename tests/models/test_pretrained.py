"""Which weights a name means: written down by hand, not taken from the table."""

import pytest
import timm
from timm.models import _builder
from torchvision import models as torchvision_models

from omnicli.errors import ModelError
from omnicli.models import architectures
from omnicli.models.architectures import default_input, imagenet_resnet, new_model
from omnicli.models.pretrained import imagenet_weights, is_imagenet_alone, without_tag

# Where the papers and mmaction2 start: torchvision's V1 ResNets and DenseNets (`torchvision://resnet50` in its
# configs), EfficientNets trained on ImageNet-1k (not on the 300 M images of JFT), IG-1B by its own name
MEANT = {
    "resnet18": "resnet18.tv_in1k",
    "resnet34": "resnet34.tv_in1k",
    "resnet50": "resnet50.tv_in1k",
    "resnet101": "resnet101.tv_in1k",
    "resnet152": "resnet152.tv_in1k",
    "densenet161": "densenet161.tv_in1k",
    "tf_efficientnet_b0": "tf_efficientnet_b0.in1k",
    "tf_efficientnet_b4": "tf_efficientnet_b4.in1k",
    "tf_efficientnet_b7": "tf_efficientnet_b7.aa_in1k",
    "tf_efficientnet_lite0": "tf_efficientnet_lite0.in1k",
    "swin_base_patch4_window7_224": "swin_base_patch4_window7_224.ms_in1k",
    "resnet50.fb_swsl_ig1b_ft_in1k": "resnet50.fb_swsl_ig1b_ft_in1k",
    "tf_efficientnet_b4.ns_jft_in1k": "tf_efficientnet_b4.ns_jft_in1k",
    "torchvision.resnet50": "torchvision.resnet50",
    "bninception": "bninception",
    "resnet5o": "resnet5o",
    "vit_base_patch14_dinov2": "vit_base_patch14_dinov2",
}


@pytest.mark.parametrize(("name", "weights"), MEANT.items())
def test_a_bare_name_means_imagenet_1k_and_a_tag_is_taken_as_given(name, weights):
    assert imagenet_weights(name) == weights


def test_no_bare_name_means_weights_of_other_data():
    meant = [imagenet_weights(name) for name in timm.list_models()]
    tagged = [name.partition(".")[2] for name in meant if "." in name]
    assert len(tagged) > 500
    assert all(map(is_imagenet_alone, tagged))
    known = set(timm.list_pretrained())
    assert {name for name in meant if "." in name} <= known


@pytest.fixture
def asked(monkeypatch):
    """Names of timm whose weights are asked for; the models get random ones."""
    names = []

    def load(model, pretrained_cfg=None, **options):
        names.append(f"{pretrained_cfg['architecture']}.{pretrained_cfg['tag']}")

    monkeypatch.setattr(_builder, "load_pretrained", load)
    return names


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("tsn-resnet50", "resnet50.tv_in1k"),
        ("tsm-resnet50", "resnet50.tv_in1k"),
        ("tsn-tf_efficientnet_b4", "tf_efficientnet_b4.in1k"),
        ("tsn-resnet50.fb_swsl_ig1b_ft_in1k", "resnet50.fb_swsl_ig1b_ft_in1k"),
    ],
)
def test_2d_models_ask_for_these_weights(asked, name, weights):
    new_model(name, 2, pretrained=True)
    assert asked == [weights]


@pytest.mark.parametrize(("name", "weights"), [("slowonly-r50", "resnet50.tv_in1k"), ("r3d-r18", "resnet18.tv_in1k")])
def test_3d_models_are_inflated_from_these_weights(asked, name, weights):
    imagenet_resnet(name)
    assert asked == [weights]


def test_torchvisions_own_models_get_its_first_weights_not_its_default(monkeypatch):
    asked = []
    get_model = torchvision_models.get_model
    monkeypatch.setattr(
        torchvision_models, "get_model", lambda name, weights: asked.append(weights) or get_model(name, weights=None)
    )
    new_model("tsn-torchvision.resnet18", 2, pretrained=True)
    assert asked == ["IMAGENET1K_V1"]


def test_a_backbone_without_weights_of_imagenet_alone_is_refused_and_names_what_there_is():
    with pytest.raises(ModelError, match=r"ImageNet-1k alone; .*tsn-vit_base_patch14_dinov2\.lvd142m"):
        new_model("tsn-vit_base_patch14_dinov2", 2, pretrained=True)


def test_an_unknown_tag_names_the_nearest():
    with pytest.raises(ModelError, match=r"of this tag; .* tsn-resnet50\.fb_swsl_ig1b_ft_in1k"):
        new_model("tsn-resnet50.fb_swsl_ig1b_in1k", 2, pretrained=True)


@pytest.mark.parametrize("name", ["tsn-resnet50", "slowonly-r50"])
def test_without_a_network_the_message_names_these_weights(monkeypatch, name):
    monkeypatch.setattr(timm, "create_model", lambda *names, **options: (_ for _ in ()).throw(OSError("offline")))
    with pytest.raises(ModelError, match=r"huggingface\.co/timm/resnet50\.tv_in1k: --init resnet50\.tv_in1k\.safet"):
        new_model(name, 2, pretrained=True) if name.startswith("tsn") else imagenet_resnet(name)


def test_the_input_is_that_of_the_weights():
    assert default_input("tf_efficientnet_b8")[0] == pytest.approx((123.675, 116.28, 103.53))  # timm's default: 127.5
    assert architectures.default_input("tf_efficientnet_b8.ap_in1k")[0] == (127.5,) * 3


def test_the_architecture_is_the_name_without_a_tag():
    assert without_tag("tsn-tf_efficientnet_b4.ns_jft_in1k") == "tsn-tf_efficientnet_b4"
    assert without_tag("slowonly-r50 4x16 256/224") == "slowonly-r50 4x16 256/224"
