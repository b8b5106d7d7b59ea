"""BN-Inception has the size of the published model."""

import pytest
import torch

from omnicli.errors import UsageError
from omnicli.models import bninception
from omnicli.models.architectures import new_model
from omnicli.models.bninception import BNInception
from omnicli.models.factory import model_spec
from omnicli.models.loading import load_model
from omnicli.models.weight_names import to_omni


def test_it_has_the_published_number_of_weights_and_1024_features():
    model = BNInception().eval()
    # 11,295,240 with the classifier of 1,000 classes (1,025,000), as the Caffe model has
    assert sum(parameter.numel() for parameter in model.parameters()) == 11_295_240 - 1_025_000
    with torch.no_grad():
        assert model(torch.randn(2, 3, 64, 64)).shape == (2, 1024)


def test_pooling_before_projection_is_a_mean_except_in_the_last_block():
    model = BNInception().eval()
    seen = {}
    for name in ("5a", "5b"):
        projection = model.get_submodule(f"inception_{name}_pool_proj")
        projection.register_forward_pre_hook(lambda module, inputs, name=name: seen.update({name: inputs[0]}))
    entrances = {}
    run = model._run_block
    model._run_block = lambda block, x: entrances.update({block.name: x}) or run(block, x)
    with torch.no_grad():
        model(torch.randn(1, 3, 224, 224))
    centre = (slice(None), slice(None), 3, 3)
    window = (slice(None), slice(None), slice(2, 5), slice(2, 5))
    assert torch.allclose(seen["5a"][centre], entrances["5a"][window].mean(dim=(2, 3)), atol=1e-6)
    assert torch.equal(seen["5b"][centre], entrances["5b"][window].amax(dim=(2, 3)))


def test_the_stem_of_the_caffe_weights_is_flipped_to_rgb():
    theirs = {"conv1_7x7_s2.weight": torch.randn(64, 3, 7, 7), "last_linear.bias": torch.zeros(1000)}
    ours = to_omni(theirs)
    assert torch.equal(ours["backbone.conv1_7x7_s2.weight"][:, 0], theirs["conv1_7x7_s2.weight"][:, 2])
    assert "fc.bias" in ours


@pytest.mark.parametrize(("channels", "mean", "std"), [(3, (128.0, 117.0, 104.0), 1.0), (10, (128.0,) * 3, 1.0)])
def test_a_checkpoint_of_old_mmaction_takes_bgr_and_the_means_of_caffe(tmp_path, channels, mean, std):
    ours = new_model("tsn-bninception", 2, flow_pairs=0 if channels == 3 else 5).eval()
    theirs = {name.replace("fc.", "cls_head.fc_cls."): tensor for name, tensor in ours.state_dict().items()}
    torch.save({"meta": {"CLASSES": ["a", "b"]}, "state_dict": theirs}, tmp_path / "a.pth")
    loaded = load_model(tmp_path / "a.pth")
    assert (loaded.spec.mean, loaded.spec.std) == (mean, (std,) * 3)
    clips = torch.randn(1, 3, 1 if channels == 3 else 5, 64, 64)
    with torch.no_grad():
        wanted = ours(clips.flip(1) if channels == 3 else clips)
        assert torch.allclose(loaded.network(clips), wanted, rtol=1e-3, atol=1e-5)


def fits_unguarded(model, side, monkeypatch):
    """Whether the branches of every block have one size."""
    with monkeypatch.context() as patch:
        patch.setattr(bninception, "check_side", lambda side: None)
        try:
            return model(torch.empty(1, 3, side, side, device="meta")).shape == (1, 1024)
        except RuntimeError:
            return False


def test_sides_that_the_layers_cannot_halve_are_refused_by_name(monkeypatch):
    with torch.device("meta"):
        model = BNInception().eval()
    for side in (*range(31, 140), 224, 256):
        if fits_unguarded(model, side, monkeypatch):
            bninception.check_side(side)
        else:
            with pytest.raises(UsageError, match=f"bninception cannot take images of {side} pixels: .* multiple of 32"):
                model(torch.empty(1, 3, side, 224, device="meta"))
    with pytest.raises(UsageError, match="such as --crop-size 96 or 128"):
        model_spec("tsn-bninception", classes=["a"], crop_size=112)
    assert model_spec("tsn-bninception", classes=["a"], crop_size=128).crop_size == 128
