"""Every 3D forward pass compared with a simple reference that reads mmaction2's key names.

The references follow mmaction2 with ``torch.nn.functional`` alone and share no code with the models.
Where the released implementation's outputs were recorded, a reference must equal those first.
"""

import pytest
import torch
import torch.nn.functional as F

from omnicli.models.architectures import new_model
from omnicli.models.import_weights import build_foreign
from omnicli.models.resnet3d_configs import RESNET3D_CONFIGS
from omnicli.models.weight_names import from_omni

CLASSES = [f"class {index}" for index in range(400)]
TOLERANCE = 1e-4  # of logits; a wrong order, stride or pattern moves them by far more


def conv_bn(w, name, x, stride=(1, 1, 1), *, eps=1e-5, relu=True, groups=1):
    kernel = w[f"{name}.conv.weight"]
    x = F.conv3d(x, kernel, stride=stride, padding=[side // 2 for side in kernel.shape[2:]], groups=groups)
    mean, variance = w[f"{name}.bn.running_mean"], w[f"{name}.bn.running_var"]
    x = F.batch_norm(x, mean, variance, w[f"{name}.bn.weight"], w[f"{name}.bn.bias"], eps=eps)
    return F.relu(x) if relu else x


def middle(w, name, x, stride, *, eps, csn):
    """The 3x3 of a bottleneck, or its replacement in a CSN."""
    if csn == "ir":
        return conv_bn(w, f"{name}.conv2.0", x, stride, eps=eps, groups=x.shape[1])
    if csn == "ip":
        x = conv_bn(w, f"{name}.conv2.0", x, eps=eps, relu=False)
        return conv_bn(w, f"{name}.conv2.1", x, stride, eps=eps, groups=x.shape[1])
    return conv_bn(w, f"{name}.conv2", x, stride, eps=eps)


def bottleneck(w, name, x, stride, *, eps, csn=None):
    y = conv_bn(w, f"{name}.conv1", x, eps=eps)
    y = middle(w, name, y, stride, eps=eps, csn=csn)
    y = conv_bn(w, f"{name}.conv3", y, eps=eps, relu=False)
    has_projection = f"{name}.downsample.conv.weight" in w
    return F.relu(y + (conv_bn(w, f"{name}.downsample", x, stride, eps=eps, relu=False) if has_projection else x))


def non_local(w, name, x, *, is_scaled):
    """Embedded Gaussian: softmax over the pooled positions of theta(i) · phi(j)."""
    n, c, t, height, width = x.shape
    theta = F.conv3d(x, w[f"{name}.theta.conv.weight"], w[f"{name}.theta.conv.bias"])
    phi = F.max_pool3d(F.conv3d(x, w[f"{name}.phi.0.conv.weight"], w[f"{name}.phi.0.conv.bias"]), (1, 2, 2))
    g = F.max_pool3d(F.conv3d(x, w[f"{name}.g.0.conv.weight"], w[f"{name}.g.0.conv.bias"]), (1, 2, 2))
    affinity = torch.einsum("ncthw,ncuij->nthwuij", theta, phi) / ((c // 2) ** 0.5 if is_scaled else 1)
    attention = torch.softmax(affinity.flatten(4), dim=4).view(affinity.shape)
    y = torch.einsum("nthwuij,ncuij->ncthw", attention, g)
    assert y.shape == (n, c // 2, t, height, width)
    return x + conv_bn(w, f"{name}.conv_out", y, relu=False)


def layer(w, name, x, stride, *, eps=1e-5, csn=None, is_scaled=False):
    block = 0
    while f"{name}.{block}.conv1.conv.weight" in w:
        x = bottleneck(w, f"{name}.{block}", x, stride if block == 0 else (1, 1, 1), eps=eps, csn=csn)
        if f"{name}.{block}.non_local_block.theta.conv.weight" in w:
            x = non_local(w, f"{name}.{block}.non_local_block", x, is_scaled=is_scaled)
        block += 1
    return x


def pool(x, stride):
    return F.max_pool3d(x, (1, 3, 3), stride, (0, 1, 1))


def head(w, features):
    return features @ w["cls_head.fc_cls.weight"].T + w["cls_head.fc_cls.bias"]


def slow_only(w, x, *, is_scaled=False):
    x = pool(conv_bn(w, "backbone.conv1", x, (1, 2, 2)), (1, 2, 2))
    for index in (1, 2, 3, 4):
        x = layer(w, f"backbone.layer{index}", x, (1, 1, 1) if index == 1 else (1, 2, 2), is_scaled=is_scaled)
    return head(w, x.mean(dim=(2, 3, 4)))


def i3d(w, x, *, is_scaled=False, stem_stride=2, time_pool_after=1):
    x = pool(conv_bn(w, "backbone.conv1", x, (stem_stride, 2, 2)), (2, 2, 2))
    for index in (1, 2, 3, 4):
        x = layer(w, f"backbone.layer{index}", x, (1, 1, 1) if index == 1 else (1, 2, 2), is_scaled=is_scaled)
        if index == time_pool_after:
            x = F.max_pool3d(x, (2, 1, 1), (2, 1, 1))
    return head(w, x.mean(dim=(2, 3, 4)))


def csn(w, x, *, kind, eps=1e-3):
    x = pool(conv_bn(w, "backbone.conv1", x, (1, 2, 2), eps=eps), (1, 2, 2))
    for index in (1, 2, 3, 4):
        x = layer(w, f"backbone.layer{index}", x, (1, 1, 1) if index == 1 else (2, 2, 2), eps=eps, csn=kind)
    return head(w, x.mean(dim=(2, 3, 4)))


def slow_fast(w, x, *, tau, alpha, is_fast_first=True, is_lateral_last=True):
    slow, fast = x[:, :, ::tau], x[:, :, :: tau // alpha]
    slow = pool(conv_bn(w, "backbone.slow_path.conv1", slow, (1, 2, 2)), (1, 2, 2))
    fast = pool(conv_bn(w, "backbone.fast_path.conv1", fast, (1, 2, 2)), (1, 2, 2))
    for index, before in enumerate(("conv1", "layer1", "layer2", "layer3"), 1):
        kernel = w[f"backbone.slow_path.{before}_lateral.conv.weight"]
        lateral = F.conv3d(fast, kernel, stride=(alpha, 1, 1), padding=(kernel.shape[2] // 2, 0, 0))
        slow = torch.cat([slow, lateral] if is_lateral_last else [lateral, slow], dim=1)
        stride = (1, 1, 1) if index == 1 else (1, 2, 2)
        slow = layer(w, f"backbone.slow_path.layer{index}", slow, stride)
        fast = layer(w, f"backbone.fast_path.layer{index}", fast, stride)
    means = [fast.mean(dim=(2, 3, 4)), slow.mean(dim=(2, 3, 4))]
    return head(w, torch.cat(means if is_fast_first else means[::-1], dim=1))


def clips_of(frames, side, num=1):
    return torch.randn(num, 3, frames, side, side, generator=torch.Generator().manual_seed(0))


def away(left, right):
    return float((left - right).abs().max())


@pytest.mark.parametrize(
    ("model", "twin"), [("slowonly_r50_4x16", slow_only), ("ircsn_r50_32x2", lambda w, x: csn(w, x, kind="ir"))]
)
@torch.no_grad()
def test_the_references_equal_the_released_implementation(reference, model, twin):
    assert away(twin(reference.weights(model), reference.clips(model)), reference.logits(model)) < TOLERANCE


@torch.no_grad()
def test_slowfast_equals_the_reference_only_with_the_right_order_of_fusion(reference):
    weights, clips = reference.weights("slowfast_r50_4x16"), clips_of(32, 32)
    logits = build_foreign(weights, path="a.pth", classes=CLASSES)[0](clips)
    assert away(logits, slow_fast(weights, clips, tau=8, alpha=8)) < TOLERANCE
    # what is wrong must show: far above the tolerance
    assert away(logits, slow_fast(weights, clips, tau=8, alpha=8, is_fast_first=False)) > 50 * TOLERANCE
    assert away(logits, slow_fast(weights, clips, tau=8, alpha=8, is_lateral_last=False)) > 10 * TOLERANCE


@torch.no_grad()
def test_the_slow_pathway_of_slowfast_8x8_takes_every_fourth_frame(reference):
    weights, clips = reference.weights("slowfast_r50_8x8"), clips_of(16, 32)
    logits = build_foreign(weights, path="a.pth", classes=CLASSES)[0](clips)
    assert away(logits, slow_fast(weights, clips, tau=4, alpha=4)) < TOLERANCE


@torch.no_grad()
def test_i3d_has_its_stem_pools_and_temporal_pattern(reference):
    weights, clips = reference.weights("i3d_r50_32x2"), clips_of(16, 48)
    logits = build_foreign(weights, path="a.pth", classes=CLASSES)[0](clips)
    assert away(logits, i3d(weights, clips)) < TOLERANCE
    assert away(logits, i3d(weights, clips, stem_stride=1)) > 10 * TOLERANCE
    assert away(logits, i3d(weights, clips, time_pool_after=2)) > 10 * TOLERANCE
    pattern = ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0))
    for index, blocks in enumerate(pattern, 1):
        kernels = [tuple(weights[f"backbone.layer{index}.{n}.conv1.conv.weight"].shape[2:]) for n in range(len(blocks))]
        assert kernels == [(3, 1, 1) if inflated else (1, 1, 1) for inflated in blocks]
    assert weights["backbone.conv1.conv.weight"].shape[2:] == (5, 7, 7)


@torch.no_grad()
def test_ipcsn_has_a_pointwise_convolution_without_relu_before_the_depthwise_one(reference):
    weights, clips = reference.weights("ipcsn_r152_32x2"), clips_of(8, 32)
    logits = build_foreign(weights, path="a.pth", classes=CLASSES)[0](clips)
    assert away(logits, csn(weights, clips, kind="ip")) < TOLERANCE
    assert away(logits, csn(weights, clips, kind="ip", eps=1e-5)) > 10 * TOLERANCE


def trained(name):
    """A model with weights as after training, and the same weights by mmaction2's names."""
    generator = torch.Generator().manual_seed(0)
    model = new_model(name, 10, fc_std=1.0).eval()
    for module in model.backbone.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(std=0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.3, 0.6, generator=generator)
            module.bias.data.normal_(std=0.1, generator=generator)
    for name_, parameter in model.backbone.named_parameters():
        if ".theta." in name_ or ".phi." in name_ or ".g." in name_:  # so that attention attends
            parameter.data.normal_(std=0.08, generator=generator)
    return model, from_omni(model.state_dict(), "mmaction2")


@pytest.mark.parametrize(("name", "twin", "frames"), [("slowonly-nl-r50", slow_only, 2), ("i3d-nl-r50", i3d, 8)])
@torch.no_grad()
def test_non_local_blocks_are_embedded_gaussians_at_their_positions(name, twin, frames):
    model, weights = trained(name)
    clips = clips_of(frames, 64)
    logits, is_scaled = model(clips), name.startswith("slowonly")
    scale = float(logits.abs().max())
    assert away(logits, twin(weights, clips, is_scaled=is_scaled)) < 1e-4 * scale
    assert away(logits, twin(weights, clips, is_scaled=not is_scaled)) > 1e-3 * scale
    blocks = {key.split(".non_local_block.")[0] for key in weights if ".non_local_block." in key}
    numbers = (0, 2, 4) if is_scaled else (1, 3, 5)
    assert blocks == {f"backbone.layer{index}.{n}" for index, count in ((2, 4), (3, 6)) for n in numbers if n < count}
    assert RESNET3D_CONFIGS[name].is_scaled == is_scaled
