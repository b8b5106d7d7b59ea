"""Flow frames as channels, and a first layer that starts from RGB weights."""

import pytest
import torch

from omnicli.models.factory import create_model
from omnicli.models.flow_stem import averaged_channels, stack_pairs


def test_channels_are_x_and_y_of_one_pair_after_the_other():
    clips = torch.arange(15.0).view(1, 1, 15, 1, 1) + torch.tensor([0.0, 100.0, 1000.0]).view(1, 3, 1, 1, 1)
    stacked = stack_pairs(clips, 5)  # x of pair i is i, y is 100 + i
    assert stacked.shape == (1, 10, 3, 1, 1)
    assert stacked[0, :, 1, 0, 0].tolist() == [5, 105, 6, 106, 7, 107, 8, 108, 9, 109]
    assert stack_pairs(clips, 1)[0, :, 4, 0, 0].tolist() == [4, 104]


@pytest.mark.parametrize(("name", "stem"), [("tsn-resnet10t", "conv1.0"), ("tsn-bninception", "conv1_7x7_s2")])
def test_the_first_layer_is_the_mean_of_rgb_weights_and_the_rest_is_kept(name, stem, tmp_path):
    rgb = create_model(name, num_classes=2, seed=1)
    torch.save(rgb.backbone.state_dict(), tmp_path / "rgb.pth")
    flow = create_model(name, num_classes=2, init=str(tmp_path / "rgb.pth"), flow_pairs=5)
    theirs, ours = rgb.backbone.state_dict(), flow.backbone.state_dict()
    weight = theirs[f"{stem}.weight"].flip(1) if name == "tsn-bninception" else theirs[f"{stem}.weight"]
    torch.testing.assert_close(ours.pop(f"{stem}.weight"), averaged_channels(weight, 10))
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())


def test_a_3d_model_of_flow_inflates_2d_weights(tmp_path):
    two = create_model("tsn-resnet18", num_classes=2, seed=1).backbone.state_dict()
    torch.save(two, tmp_path / "rgb.pth")
    three = create_model("r3d-r18", num_classes=2, init="scratch", flow_pairs=1)
    assert three.backbone.conv1.weight.shape[1] == 2
    slow = create_model("slowonly-r50", num_classes=2, flow_pairs=1)
    assert slow(torch.randn(1, 3, 4, 32, 32)).shape == (1, 2)


def test_partial_batch_norm_trains_the_first_only():
    model = create_model("tsn-resnet10t", num_classes=2, flow_pairs=5)
    model.freeze("partial-batch-norm")
    model.train()
    norms = [module for module in model.backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert [norm.training for norm in norms] == [True] + [False] * (len(norms) - 1)
    assert [norm.weight.requires_grad for norm in norms] == [True] + [False] * (len(norms) - 1)
    assert model.backbone.conv1[0].weight.requires_grad
