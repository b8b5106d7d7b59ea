"""3D ResNets, one family: SlowOnly, I3D, non-local, CSN, R(2+1)D, R3D and the pathways of SlowFast.

Layers are named as in torchvision's 2D ResNets, so that 2D weights inflate by name. What differs between members is in
``designs``; shapes below are those of a clip (N, C, T, H, W).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnicli.models.resnet3d_configs import ResNet3DConfig

Triple = tuple[int, int, int]


class Factorised(nn.Module):
    """R(2+1)D's t x k x k convolution: spatial, batch-norm, ReLU, temporal (IG-65M A.3).

    Middle channels, unless given: int(3·Cin·Cout·k² / (Cin·k² + 3·Cout)), which keeps the number of weights of a full
    3 x k x k; also for 1x1x1, as the released code has it.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: Triple, stride: Triple, middle: int | None = None
    ) -> None:
        super().__init__()
        middle = middle or middle_channels(in_channels, out_channels, kernel[1])
        self.conv_s = plain(in_channels, middle, (1, *kernel[1:]), (1, *stride[1:]))
        self.bn_s = nn.BatchNorm3d(middle)
        self.conv_t = plain(middle, out_channels, (kernel[0], 1, 1), (stride[0], 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin, T, H, W) to (N, Cout, T', H', W')."""
        return self.conv_t(functional.relu(self.bn_s(self.conv_s(x))))  # type: ignore[no-any-return]


class NonLocal(nn.Module):
    """Embedded-Gaussian attention over all places of a clip, added to it; keys and values see 2x2 maxima.

    Begins as the identity: the last batch-norm is zero-initialised.
    """

    def __init__(self, channels: int, *, is_scaled: bool, eps: float) -> None:
        super().__init__()
        inner = channels // 2
        self.g, self.theta, self.phi = (nn.Conv3d(channels, inner, 1) for _ in range(3))
        self.conv_out = nn.Conv3d(inner, channels, 1, bias=False)
        self.bn_out = nn.BatchNorm3d(channels, eps=eps)
        self.scale = inner**-0.5 if is_scaled else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Same shape (N, C, T, H, W)."""
        theta = self.theta(x).flatten(2).transpose(1, 2)  # (N, THW, C / 2)
        phi = functional.max_pool3d(self.phi(x), (1, 2, 2)).flatten(2)  # (N, C / 2, THW / 4)
        g = functional.max_pool3d(self.g(x), (1, 2, 2)).flatten(2).transpose(1, 2)  # (N, THW / 4, C / 2)
        attention = torch.softmax(theta @ phi * self.scale, dim=-1)  # (N, THW, THW / 4)
        y = (attention @ g).transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:])  # (N, C / 2, T, H, W)
        return x + self.bn_out(self.conv_out(y))  # type: ignore[no-any-return]


class Basic(nn.Module):
    """Two t x 3 x 3 convolutions beside a shortcut."""

    def __init__(
        self, in_channels: int, width: int, stride: Triple, *, design: ResNet3DConfig, kernels_t: tuple[int, int]
    ) -> None:
        super().__init__()
        kernel = (kernels_t[1], 3, 3)
        middle = middle_channels(in_channels, width, 3) if design.shares_middle else None
        self.conv1 = convolution(in_channels, width, kernel, stride, design, middle)
        self.bn1 = nn.BatchNorm3d(width, eps=design.eps)
        self.conv2 = convolution(width, width, kernel, (1, 1, 1), design, middle)
        self.bn2 = nn.BatchNorm3d(width, eps=design.eps)
        self.downsample = shortcut(in_channels, width, stride, design)

    @property
    def last_norm(self) -> nn.BatchNorm3d:
        """The one before the sum."""
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin, T, H, W) to (N, width, T', H', W')."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """t x 1 x 1, a 3 x 3 in the middle with the stride, 1 x 1 x 1, beside a shortcut.

    The middle is t x 3 x 3; in a CSN depthwise, and for ``ip`` a 1x1x1 with batch-norm and no ReLU stands before it.
    """

    def __init__(
        self, in_channels: int, width: int, stride: Triple, *, design: ResNet3DConfig, kernels_t: tuple[int, int]
    ) -> None:
        super().__init__()
        self.point_conv: nn.Module | None = None  # on the instance: a class attribute would hide the module
        self.point_bn: nn.Module | None = None
        self.non_local_block: nn.Module | None = None
        out_channels, eps = 4 * width, design.eps
        self.conv1 = plain(in_channels, width, (kernels_t[0], 1, 1))
        self.bn1 = nn.BatchNorm3d(width, eps=eps)
        if design.block == "ip":
            self.point_conv, self.point_bn = plain(width, width, (1, 1, 1)), nn.BatchNorm3d(width, eps=eps)
        kernel = (kernels_t[1], 3, 3)
        self.conv2 = (
            plain(width, width, kernel, stride, groups=width)
            if design.block in ("ir", "ip")
            else convolution(width, width, kernel, stride, design)
        )
        self.bn2 = nn.BatchNorm3d(width, eps=eps)
        self.conv3 = plain(width, out_channels, (1, 1, 1))
        self.bn3 = nn.BatchNorm3d(out_channels, eps=eps)
        self.downsample = shortcut(in_channels, out_channels, stride, design)

    @property
    def last_norm(self) -> nn.BatchNorm3d:
        """The one before the sum."""
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin, T, H, W) to (N, 4 width, T', H', W')."""
        y = functional.relu(self.bn1(self.conv1(x)))
        if self.point_conv is not None and self.point_bn is not None:
            y = self.point_bn(self.point_conv(y))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y = functional.relu(y + (x if self.downsample is None else self.downsample(x)))
        return y if self.non_local_block is None else self.non_local_block(y)


class ResNet3D(nn.Module):
    """A clip to features averaged over time and space.

    Args:
        design: see ``designs``.
        width: channels of the stem; None is the design's, and 8 SlowFast's fast pathway's.
        lateral: channels that another pathway adds at the entrance of each layer (SlowFast).
        in_channels: 3, or 2 for optical flow.
    """

    def __init__(
        self,
        design: ResNet3DConfig,
        *,
        width: int | None = None,
        lateral: Sequence[int] = (0, 0, 0, 0),
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        width = width or design.width
        self.design = design
        stem_kernel, stem_stride = (design.stem_kernel_t, 7, 7), (design.stem_stride_t, 2, 2)
        self.conv1 = convolution(in_channels, width, stem_kernel, stem_stride, design, design.stem_middle)
        self.bn1 = nn.BatchNorm3d(width, eps=design.eps)
        channels = width
        for index in range(4):
            layer = _layer(design, index, channels + lateral[index], width * 2**index)
            self.add_module(f"layer{index + 1}", layer)
            channels = width * 2**index * design.expansion
        self.num_features = channels
        self.init_weights()

    @property
    def layers(self) -> tuple[nn.Module, ...]:
        """Layer1 to layer4."""
        return tuple(self.get_submodule(f"layer{index}") for index in range(1, 5))

    def init_weights(self) -> None:
        """From scratch: Kaiming normal by outputs; zero gamma on the last batch-norm of blocks if the design says."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in self.modules():
            if isinstance(module, Basic | Bottleneck) and self.design.zero_gamma:
                nn.init.zeros_(module.last_norm.weight)
            if isinstance(module, NonLocal):
                for projection in (module.g, module.theta, module.phi):
                    nn.init.normal_(projection.weight, std=0.01)
                    projection.bias.data.zero_()  # type: ignore[union-attr]
                nn.init.zeros_(module.bn_out.weight)

    def stem(self, clips: Tensor) -> Tensor:
        """(N, 3, T, H, W) to (N, width, T', H / 4, W / 4); H / 2 where there is no pooling."""
        x = functional.relu(self.bn1(self.conv1(clips)))
        stride_t = self.design.pool_stride_t
        return x if stride_t is None else functional.max_pool3d(x, (1, 3, 3), (stride_t, 2, 2), (0, 1, 1))

    def feature_map(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) to features of every place (N, D, h, w), averaged over time."""
        x = self.stem(clips)
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index == 0 and self.design.has_time_pool:
                x = functional.max_pool3d(x, (2, 1, 1), (2, 1, 1))
        return x.float().mean(dim=2)

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) to features (N, D)."""
        return self.feature_map(clips).mean(dim=(2, 3))


def middle_channels(in_channels: int, out_channels: int, kernel: int) -> int:
    """Middle channels of a factorised convolution (IG-65M A.3).

    >>> middle_channels(3, 64, 7), middle_channels(64, 64, 3)
    (83, 144)
    """
    area = kernel**2
    return 3 * in_channels * out_channels * area // (in_channels * area + 3 * out_channels)


def plain(
    in_channels: int, out_channels: int, kernel: Triple, stride: Triple = (1, 1, 1), groups: int = 1
) -> nn.Conv3d:
    """A convolution without bias that keeps the size but for its stride."""
    padding = tuple(side // 2 for side in kernel)
    return nn.Conv3d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)  # type: ignore[arg-type]


def convolution(
    in_channels: int,
    out_channels: int,
    kernel: Triple,
    stride: Triple,
    design: ResNet3DConfig,
    middle: int | None = None,
) -> nn.Module:
    """``plain``, or factorised where the design says."""
    if design.factorised:
        return Factorised(in_channels, out_channels, kernel, stride, middle)
    return plain(in_channels, out_channels, kernel, stride)


def shortcut(in_channels: int, out_channels: int, stride: Triple, design: ResNet3DConfig) -> nn.Sequential | None:
    """1x1x1 and batch-norm where a block changes the shape, else nothing."""
    if stride == (1, 1, 1) and in_channels == out_channels:
        return None
    one = (1, 1, 1)
    projection = (
        plain(in_channels, out_channels, one, stride)
        if design.shares_middle
        else convolution(in_channels, out_channels, one, stride, design)
    )
    return nn.Sequential(projection, nn.BatchNorm3d(out_channels, eps=design.eps))


def _layer(design: ResNet3DConfig, index: int, in_channels: int, width: int) -> nn.Sequential:
    """The blocks of layer ``index + 1``; the first has the strides."""
    kind = Basic if design.block == "basic" else Bottleneck
    first_kernels, non_local = design.first_kernels_t[index], design.non_local[index]
    blocks: list[nn.Module] = []
    for number in range(design.num_blocks[index]):
        space = 2 if index > 0 and number == 0 else 1
        stride = (design.temporal_strides[index] if number == 0 else 1, space, space)
        kernels_t = (first_kernels[number % len(first_kernels)], design.wide_kernels_t[index])
        block = kind(in_channels, width, stride, design=design, kernels_t=kernels_t)
        in_channels = width * design.expansion
        if isinstance(block, Bottleneck) and non_local[number % len(non_local)]:
            block.non_local_block = NonLocal(in_channels, is_scaled=design.is_scaled, eps=1e-5)
        blocks.append(block)
    return nn.Sequential(*blocks)
