"""Every configured 3D ResNet can be built and has its published size."""

import pytest
import torch

from omnicli.models.resnet3d import NonLocal, ResNet3D
from omnicli.models.resnet3d_configs import RESNET3D_CONFIGS

PARAMETERS = {  # of the released models, without the classifier of 400 classes
    "slowonly-r50": 32_454_096 - 819_600,
    "slowonly-r101": 60_359_120 - 819_600,
    "i3d-r50": 28_043_472 - 819_600,
    "ircsn-r50": 13_131_152 - 819_600,
    "ircsn-r152": 29_703_568 - 819_600,
    "ipcsn-r152": 33_016_592 - 819_600,
    "r2plus1d-mm-r34": 63_759_281 - 205_200,
    "r3d-r18": 33_371_472 - 205_200,  # torchvision's
    "torchvision-mc3_18": 11_695_440 - 205_200,
    "torchvision-r2plus1d_18": 31_505_325 - 205_200,
}


def on_meta(name):
    with torch.device("meta"):
        return ResNet3D(RESNET3D_CONFIGS[name])


@pytest.mark.parametrize("name", RESNET3D_CONFIGS)
def test_every_config_has_the_published_size(name):
    model = on_meta(name)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == PARAMETERS.get(name, count)
    assert model.num_features == RESNET3D_CONFIGS[name].width * (8 if RESNET3D_CONFIGS[name].block == "basic" else 32)


@pytest.mark.parametrize(  # IG-65M Table 2: multiply-adds and parameters of R(2+1)D-d, 400 classes
    ("depth", "giga", "millions"), [(18, 83, 33), (34, 152, 64), (101, 176, 86), (152, 252, 118)]
)
def test_r2plus1d_costs_what_the_paper_says(depth, giga, millions):
    model, costs = on_meta(f"r2plus1d-r{depth}"), []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.register_forward_hook(lambda conv, _, out: costs.append(out.numel() * conv.weight[0].numel()))
    model(torch.empty(1, 3, 32, 112, 112, device="meta"))
    assert sum(costs) / 1e9 == pytest.approx(giga, abs=0.5)
    count = sum(parameter.numel() for parameter in model.parameters()) + 401 * model.num_features
    assert count / 1e6 == pytest.approx(millions, abs=0.5)


def test_r2plus1d_has_one_epsilon_and_no_pooling():
    model = on_meta("r2plus1d-r34")
    assert {module.eps for module in model.modules() if isinstance(module, torch.nn.BatchNorm3d)} == {1e-3}
    assert model.stem(torch.empty(1, 3, 8, 112, 112, device="meta")).shape == (1, 64, 8, 56, 56)
    assert isinstance(model.layer2[0].downsample[0], torch.nn.Conv3d)


@pytest.mark.parametrize(("name", "blocks"), [("i3d-nl-r50", (1, 3)), ("slowonly-nl-r50", (0, 2))])
def test_non_local_blocks_are_the_second_ones_of_layer2_and_layer3(name, blocks):
    model = on_meta(name)
    assert tuple(i for i, block in enumerate(model.layer2) if block.non_local_block is not None) == blocks
    assert sum(isinstance(module, NonLocal) for module in model.modules()) == 5


def test_the_small_slow_only_is_temporal_in_layer3_and_layer4_only():
    small, full = on_meta("slowonly-r18w16"), on_meta("slowonly-r18")
    kernels = [layer[0].conv1.kernel_size[0] for layer in small.layers]
    assert kernels == [layer[1].conv2.kernel_size[0] for layer in full.layers] == [1, 1, 3, 3]
    assert [4 * weight.shape[0] for weight in small.parameters()] == [weight.shape[0] for weight in full.parameters()]
