"""3D ResNets: strides, initial weights, inflation, and torchvision's own as an oracle."""

from dataclasses import replace

import pytest
import timm
import torch
import torchvision.models.video as oracle

from omnicli.models.factory import load_exactly
from omnicli.models.resnet3d import NonLocal, ResNet3D
from omnicli.models.resnet3d_configs import RESNET3D_CONFIGS, SLOW_ONLY
from omnicli.models.weight_names import inflate, to_omni


def randomise(model):
    """Give batch-norms statistics as after training, so that wrong ones change the output."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(std=0.1)
    return model.eval()


@pytest.mark.parametrize(
    ("theirs", "name"),
    [("r3d_18", "r3d-r18"), ("mc3_18", "torchvision-mc3_18"), ("r2plus1d_18", "torchvision-r2plus1d_18")],
)
@torch.no_grad()
def test_torchvisions_video_models_compute_the_same_here(theirs, name):
    model = randomise(getattr(oracle, theirs)(weights=None))
    ours = ResNet3D(RESNET3D_CONFIGS[name]).eval()
    weights = {key.removeprefix("backbone."): value for key, value in to_omni(model.state_dict()).items()}
    fc_weight, fc_bias = weights.pop("fc.weight"), weights.pop("fc.bias")
    load_exactly(ours, weights, path="a.pth", what=name)
    clips = torch.randn(1, 3, 8, 48, 48)
    assert torch.allclose(ours(clips) @ fc_weight.T + fc_bias, model(clips), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "frames", "left"),
    [
        ("slowonly-r50", 4, 4),
        ("i3d-r50", 16, 2),
        ("ircsn-r50", 16, 2),
        ("r2plus1d-r18", 8, 1),
        ("r2plus1d-mm-r18", 8, 1),
        ("r2d-r18", 4, 4),
    ],
)
def test_frames_are_halved_only_where_configured(name, frames, left):
    with torch.device("meta"):
        model = ResNet3D(RESNET3D_CONFIGS[name])
        sizes = []
        model.layer4.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[2]))
        model(torch.empty(1, 3, frames, 64, 64))
    assert sizes == [left]


@torch.no_grad()
def test_an_inflated_network_of_a_still_clip_equals_the_2d_network_of_the_image():
    flat = randomise(timm.create_model("resnet50", num_classes=0))
    # the zeros outside a clip darken its ends, so with a stem of three frames only those in the middle are equal
    config = replace(SLOW_ONLY, first_kernels_t=((1,), (1,), (1,), (1,)), stem_kernel_t=3)
    deep = ResNet3D(config).eval()
    load_exactly(deep, inflate(flat.state_dict(), deep.state_dict()), path="a.pth", what="SlowOnly")
    image = torch.randn(1, 3, 64, 64)
    clip = image.unsqueeze(2).expand(-1, -1, 9, -1, -1)
    stem = {}
    deep.layer1.register_forward_pre_hook(lambda module, inputs: stem.update(deep=inputs[0]))
    flat.layer1.register_forward_pre_hook(lambda module, inputs: stem.update(flat=inputs[0]))
    flat_features = flat(image)
    deep(clip)
    assert torch.allclose(stem["deep"][:, :, 4], stem["flat"], atol=1e-4)
    assert not torch.allclose(stem["deep"][:, :, 0], stem["flat"], atol=1e-2)
    plain = ResNet3D(replace(config, stem_kernel_t=1)).eval()
    load_exactly(plain, inflate(flat.state_dict(), plain.state_dict()), path="a.pth", what="SlowOnly")
    assert (plain(clip) - flat_features).abs().max() < 1e-5 * flat_features.max()


def test_new_weights_are_kaiming_and_blocks_start_as_their_shortcut():
    model = ResNet3D(SLOW_ONLY)
    weight = model.layer3[1].conv1.weight  # (256, 1024, 3, 1, 1): fan out 256 * 3
    assert float(weight.detach().std()) == pytest.approx((2 / (256 * 3)) ** 0.5, rel=0.02)
    assert not model.layer3[1].bn3.weight.any() and model.layer3[1].bn2.weight.all()
    x = torch.randn(1, 1024, 2, 4, 4).relu()
    assert torch.equal(model.layer3[1].eval()(x), x)


@torch.no_grad()
def test_a_non_local_block_starts_as_the_identity_and_can_mix_all_frames():
    block = NonLocal(8, is_scaled=True, eps=1e-5).eval()
    torch.nn.init.zeros_(block.bn_out.weight)
    clips = torch.randn(1, 8, 3, 4, 4)
    assert torch.equal(block(clips), clips)
    torch.nn.init.ones_(block.bn_out.weight)
    changed = clips.clone()
    changed[:, :, 2] += 1
    assert not torch.allclose((block(changed) - block(clips))[:, :, 0], torch.zeros(1))
    # the attention of a constant clip is uniform, so what is added is the projection of its one value
    still = torch.ones(1, 8, 3, 4, 4)
    added = block.bn_out(block.conv_out(block.g(still)))
    assert torch.allclose(block(still), still + added, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["slowonly-nl-r50", "ircsn-r50", "ipcsn-r50", "r2plus1d-r18", "r2plus1d-r101", "r2plus1d-mm-r18"]
)
def test_every_weight_affects_the_output(name):
    model = randomise(ResNet3D(RESNET3D_CONFIGS[name]))
    model(torch.randn(1, 3, 4, 32, 32)).sum().backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []
