"""BN-Inception has the size of the published model."""

import torch

from omnicli.models.bninception import BNInception
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
