"""Models by name: normalisation, reproducible weights, and errors that name mismatches."""

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from omnicli.errors import ModelError, UsageError
from omnicli.models import factory, published_input
from omnicli.models.architectures import new_model
from omnicli.models.checkpoint import load_any, save_checkpoint
from omnicli.models.factory import ModelSpec, build_model, create_model, load_exactly, model_spec
from omnicli.models.stored_options import stored_options
from omnicli.models.weight_names import from_omni

SHARED = Path(__file__).resolve().parents[3] / "shared"
LITE0 = SHARED / "weights" / "tf_efficientnet_lite0-imagenet.safetensors"
NAME = "tsn-resnet10t"


@pytest.fixture(scope="module")
def model():
    return create_model(NAME, num_classes=3)


def test_the_backbones_normalisation_is_scaled_to_0_255():
    lite = model_spec("tsn-tf_efficientnet_lite0", classes=["a", "b"])
    assert (lite.mean, lite.std, lite.crop_size, lite.short_side) == ((127.5,) * 3, (127.5,) * 3, 224, 256)
    assert model_spec("tsn-resnet50", classes=["a"]).mean == pytest.approx((123.675, 116.28, 103.53))


def test_one_given_size_determines_the_other():
    assert model_spec(NAME, classes=["a"], crop_size=64).short_side == 73
    assert model_spec(NAME, classes=["a"], short_side=64).crop_size == 56
    both = model_spec(NAME, classes=["a"], short_side=72, crop_size=64)
    assert (both.short_side, both.crop_size) == (72, 64)


def test_a_spec_survives_json():
    spec = model_spec(NAME, classes=["rock climbing", "żeglarstwo"], num_segments=8, dropout=0.2)
    assert ModelSpec.from_meta(spec.to_meta()) == spec


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_state_alone(model):
    state = torch.get_rng_state()
    again, other = create_model(NAME, num_classes=3), create_model(NAME, num_classes=3, seed=1)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert not torch.equal(model.fc.weight, other.fc.weight)


def test_a_checkpoint_gives_back_the_same_logits(model, tmp_path):
    spec = model_spec(NAME, classes=["a", "b", "c"])
    save_checkpoint(tmp_path / "a.pth", meta={"model": spec.to_meta()}, state_dict=model.state_dict())
    rebuilt, read = build_model(load_any(tmp_path / "a.pth"))
    clips = torch.randn(2, 3, 2, 32, 32)
    assert read == spec
    assert torch.equal(model.eval()(clips), rebuilt(clips))


@pytest.mark.parametrize(
    "prefix", ["", "backbone.", "module.backbone.", "_orig_mod.module.", "module._orig_mod.backbone._orig_mod."]
)
def test_backbone_weights_are_loaded_under_any_prefix(model, tmp_path, prefix):
    weights = {f"{prefix}{name}": tensor for name, tensor in model.backbone.state_dict().items()}
    weights = {name: tensor for name, tensor in weights.items() if not name.endswith("num_batches_tracked")}
    torch.save({"state_dict": {**weights, "fc.weight": torch.zeros(1000, 512)}}, tmp_path / "a.pth")
    loaded = create_model(NAME, num_classes=7, init=str(tmp_path / "a.pth"), seed=5)
    assert torch.equal(loaded.backbone.conv1[0].weight, model.backbone.conv1[0].weight)
    assert loaded.fc.weight.shape[0] == 7


def test_init_from_a_checkpoint_takes_its_backbone_and_a_new_classifier(model, tmp_path):
    spec = model_spec(NAME, classes=["a", "b", "c"])
    save_checkpoint(tmp_path / "a.pth", meta={"model": spec.to_meta()}, state_dict=model.state_dict())
    loaded = create_model(NAME, num_classes=2, init=str(tmp_path / "a.pth"), seed=5)
    assert torch.equal(loaded.backbone.conv1[0].weight, model.backbone.conv1[0].weight)
    assert loaded.fc.weight.shape[0] == 2


def test_weights_of_another_architecture_are_refused_and_keys_named(model, tmp_path):
    save_file(
        {name: tensor.contiguous() for name, tensor in model.backbone.state_dict().items()}, tmp_path / "a.safetensors"
    )
    with pytest.raises(ModelError, match=r"a\.safetensors: does not fit the backbone: .*and \d+ more"):
        create_model("tsn-resnet18", num_classes=3, init=str(tmp_path / "a.safetensors"))


def test_a_wrong_shape_is_named_with_both_shapes(model, tmp_path):
    weights = dict(model.backbone.state_dict()) | {"bn1.weight": torch.zeros(3)}
    torch.save(weights, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"bn1.weight is \(3,\), expected \(64,\)"):
        create_model(NAME, num_classes=3, init=str(tmp_path / "a.pth"))


@pytest.mark.parametrize(
    ("name", "says"), [("tsn-resnet5o", "resnet50"), ("resnet50", "tsn-<timm backbone>"), ("tsn-", "tsn-resnet50")]
)
def test_unknown_architectures_name_the_nearest(name, says):
    with pytest.raises(UsageError, match=says):
        create_model(name, num_classes=2)


@pytest.mark.parametrize("meta", [{}, {"model": {}}, {"model": {"name": NAME, "colour": 3}}])
def test_an_incomplete_checkpoint_is_damaged(tmp_path, meta):
    save_checkpoint(tmp_path / "a.pth", meta=meta, state_dict={})
    with pytest.raises(ModelError, match="damaged"):
        build_model(load_any(tmp_path / "a.pth"))


@pytest.mark.skipif(not LITE0.exists(), reason="needs ../shared/weights")
def test_real_imagenet_weights_fit():
    loaded = create_model("tsn-tf_efficientnet_lite0", num_classes=2, init=str(LITE0))
    assert float(loaded.backbone.bn2.running_var.mean()) != 1.0


@pytest.mark.parametrize("name", ["r2plus1d-r18", "r2plus1d-mm-r18"])
def test_a_checkpoint_from_before_the_two_r2plus1d_had_names_is_mmaction2s(tmp_path, name):
    torch.manual_seed(0)
    made = create_model("r2plus1d-mm-r18", num_classes=2).eval()
    spec = replace(model_spec("r2plus1d-mm-r18", classes=["a", "b"]), name=name)
    save_checkpoint(tmp_path / "a.pth", meta={"model": spec.to_meta()}, state_dict=made.state_dict())
    rebuilt, read = build_model(load_any(tmp_path / "a.pth"))
    assert read == replace(spec, name="r2plus1d-mm-r18")
    assert read.signature == "r2plus1d-r18 8x8 256/224"  # which its feature shards have
    assert stored_options(str(tmp_path / "a.pth"))["model"] == "r2plus1d-mm-r18"
    clips = torch.randn(1, 3, 4, 32, 32)
    assert torch.equal(rebuilt(clips), made(clips))


@pytest.mark.parametrize(
    "name", ["ircsn-r50", "ircsn-r152", "ipcsn-r152", "r2plus1d-mm-r34", "slowonly-r50", "slowfast-r50", "i3d-nl-r50"]
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_backbone_files_of_mmaction2_are_initial_weights(name, prefix):
    """Without ``backbone.`` and without a classifier, as the files that its configs name as ``pretrained=``."""
    with torch.device("meta"):
        source, model = new_model(name, 400), new_model(name, 7)
    theirs = from_omni(source.state_dict(), "mmaction2")
    alone = {
        prefix + key.removeprefix("backbone."): tensor for key, tensor in theirs.items() if key.startswith("backbone.")
    }
    assert f"{prefix}layer1.0.conv1.conv.weight" in alone or name == "slowfast-r50" or "r2plus1d" in name
    factory._load_backbone(model.backbone, alone, path="pretrained.pth")
    with pytest.raises(ModelError, match=r"pretrained\.pth: does not fit the backbone: .*layer4.0.*missing"):
        cut = {key: tensor for key, tensor in alone.items() if "layer4.0." not in key}
        factory._load_backbone(model.backbone, cut, path="pretrained.pth")


def test_r2d_of_images_is_inflated_into_r3d_of_videos(tmp_path):
    """IG-65M Table 4: R2D-18 learns from images and frames, and starts R3D-18."""
    flat = create_model("r2d-r18", num_classes=3)
    spec = model_spec("r2d-r18", classes=["a", "b", "c"])
    save_checkpoint(tmp_path / "a.pth", meta={"model": spec.to_meta()}, state_dict=flat.state_dict())
    deep = create_model("r3d-r18", num_classes=2, init=str(tmp_path / "a.pth"))
    for name, weight in flat.backbone.state_dict().items():
        inflated = deep.backbone.state_dict()[name]
        if weight.ndim == 5:
            assert inflated.shape[2] in (1, 3)
            torch.testing.assert_close(inflated.sum(dim=2), weight[:, :, 0])
        else:
            assert torch.equal(inflated, weight)


def test_r2plus1d_takes_the_papers_input():
    spec = model_spec("r2plus1d-r34", classes=["a"])
    assert (spec.short_side, spec.crop_size, spec.num_frames, spec.frame_interval) == (128, 112, 32, 1)
    assert (spec.mean, spec.std) == (published_input.IPCSN_MEAN, published_input.IPCSN_STD)
    theirs = model_spec("r2plus1d-mm-r34", classes=["a"])
    assert (theirs.crop_size, theirs.num_frames, theirs.mean) == (224, 8, published_input.KINETICS_MEAN)


def test_imagenet_for_a_3d_model_is_the_2d_resnet_inflated_and_non_local_blocks_are_new(monkeypatch):
    flat = timm.create_model("resnet50", num_classes=0)
    monkeypatch.setattr(factory, "imagenet_resnet", lambda name: flat)
    for name in ("i3d-r50", "i3d-nl-r50"):
        deep = create_model(name, num_classes=2, init="imagenet", seed=3)
        stem, first = deep.backbone.conv1.weight, deep.backbone.layer1[0].conv1.weight
        assert stem.shape[2] == 5 and first.shape[2] == 3
        assert torch.allclose(stem.sum(dim=2), flat.conv1.weight, atol=1e-6)
        assert torch.equal(first[:, :, 0], first[:, :, 2])
        assert torch.equal(deep.backbone.layer3[1].bn2.running_var, flat.layer3[1].bn2.running_var)
    assert not deep.backbone.layer2[1].non_local_block.bn_out.weight.any()  # the identity at first


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64])
def test_weights_that_are_not_floating_point_are_refused_by_name(model, dtype):
    weights = model.state_dict() | {"fc.weight": torch.zeros_like(model.fc.weight).to(dtype)}
    with pytest.raises(
        ModelError, match=r"a\.pth: does not fit tsn: fc\.weight is \w+, expected floating-point numbers"
    ):
        load_exactly(model, weights, path="a.pth", what="tsn")


def test_float64_weights_are_rounded_with_one_warning(model):
    weights = {
        name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in model.state_dict().items()
    }
    with pytest.warns(UserWarning, match=r"^a\.pth: \d+ weights are float64") as caught:
        load_exactly(model, weights, path="a.pth", what="tsn")
    assert len(caught) == 1
    assert model.fc.weight.dtype == torch.float32
