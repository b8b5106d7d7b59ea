"""3D ResNets: SlowOnly, I3D, non-local networks, CSN, R(2+1)D, R3D and the pathways of SlowFast.

Layers are named as in torchvision's 2D ResNets, so that 2D weights inflate by name. ``resnet3d_configs`` lists the
differences between the architectures. Shapes are those of clips (N, C, T, H, W).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnicli.models.resnet3d_configs import ResNet3DConfig

Triple = tuple[int, int, int]


class Conv2Plus1d(nn.Module):
    """R(2+1)D's factorised t x k x k convolution: spatial, batch-norm, ReLU, temporal (IG-65M A.3).

    The default of ``middle``, int(3·Cin·Cout·k² / (Cin·k² + 3·Cout)), keeps the number of weights of a full 3 x k x k
    convolution; the released code also uses it for 1x1x1.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: Triple, stride: Triple, middle: int | None = None,
        eps: float = 1e-5,
    ) -> None:  # fmt: skip
        super().__init__()
        middle = middle or middle_channels(in_channels, out_channels, kernel[1])
        self.conv_s = conv3d(in_channels, middle, (1, *kernel[1:]), (1, *stride[1:]))
        self.bn_s = nn.BatchNorm3d(middle, eps=eps)
        self.conv_t = conv3d(middle, out_channels, (kernel[0], 1, 1), (stride[0], 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin, T, H, W) to (N, Cout, T', H', W')."""
        return self.conv_t(functional.relu(self.bn_s(self.conv_s(x))))  # type: ignore[no-any-return]


class NonLocal(nn.Module):
    """Embedded-Gaussian attention over all positions of a clip, with 2x2 max-pooled keys and values.

    The block starts as the identity: its last batch-norm is zero-initialised.
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


class BasicBlock(nn.Module):
    """Two t x 3 x 3 convolutions and a shortcut."""

    def __init__(
        self, in_channels: int, width: int, stride: Triple, *, config: ResNet3DConfig, kernels_t: tuple[int, int]
    ) -> None:
        super().__init__()
        kernel = (kernels_t[1], 3, 3)
        middle = middle_channels(in_channels, width, 3) if config.shares_middle else None
        self.conv1 = convolution(in_channels, width, kernel, stride, config, middle)
        self.bn1 = nn.BatchNorm3d(width, eps=config.eps)
        self.conv2 = convolution(width, width, kernel, (1, 1, 1), config, middle)
        self.bn2 = nn.BatchNorm3d(width, eps=config.eps)
        self.downsample = shortcut(in_channels, width, stride, config)

    @property
    def last_norm(self) -> nn.BatchNorm3d:
        """The batch-norm before the sum."""
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin, T, H, W) to (N, width, T', H', W')."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """t x 1 x 1, t x 3 x 3 with the stride, and 1 x 1 x 1 convolutions, and a shortcut.

    In CSNs the middle convolution is depthwise; in ``ip`` blocks a 1x1x1 with batch-norm and no ReLU precedes it.
    """

    def __init__(
        self, in_channels: int, width: int, stride: Triple, *, config: ResNet3DConfig, kernels_t: tuple[int, int]
    ) -> None:
        super().__init__()
        self.point_conv: nn.Module | None = None  # on the instance: a class attribute would hide the module
        self.point_bn: nn.Module | None = None
        self.non_local_block: nn.Module | None = None
        out_channels, eps = 4 * width, config.eps
        self.conv1 = conv3d(in_channels, width, (kernels_t[0], 1, 1))
        self.bn1 = nn.BatchNorm3d(width, eps=eps)
        if config.block == "ip":
            self.point_conv, self.point_bn = conv3d(width, width, (1, 1, 1)), nn.BatchNorm3d(width, eps=eps)
        kernel = (kernels_t[1], 3, 3)
        self.conv2 = (
            conv3d(width, width, kernel, stride, groups=width)
            if config.block in ("ir", "ip")
            else convolution(width, width, kernel, stride, config)
        )
        self.bn2 = nn.BatchNorm3d(width, eps=eps)
        self.conv3 = conv3d(width, out_channels, (1, 1, 1))
        self.bn3 = nn.BatchNorm3d(out_channels, eps=eps)
        self.downsample = shortcut(in_channels, out_channels, stride, config)

    @property
    def last_norm(self) -> nn.BatchNorm3d:
        """The batch-norm before the sum."""
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
    """Clips to features averaged over time and space.

    Args:
        config: see ``resnet3d_configs``.
        width: channels of the stem, such as 8 for SlowFast's fast pathway; default the config's.
        lateral: channels that SlowFast's other pathway adds to the input of each layer.
        in_channels: 3, or 2 for optical flow.
    """

    def __init__(
        self,
        config: ResNet3DConfig,
        *,
        width: int | None = None,
        lateral: Sequence[int] = (0, 0, 0, 0),
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        width = width or config.width
        self.config = config
        stem_kernel, stem_stride = (config.stem_kernel_t, 7, 7), (config.stem_stride_t, 2, 2)
        self.conv1 = convolution(in_channels, width, stem_kernel, stem_stride, config, config.stem_middle)
        self.bn1 = nn.BatchNorm3d(width, eps=config.eps)
        channels = width
        for index in range(4):
            layer = _layer(config, index, channels + lateral[index], width * 2**index)
            self.add_module(f"layer{index + 1}", layer)
            channels = width * 2**index * config.expansion
        self.num_features = channels
        self.init_weights()

    @property
    def layers(self) -> tuple[nn.Module, ...]:
        """The four residual layers."""
        return tuple(self.get_submodule(f"layer{index}") for index in range(1, 5))

    def init_weights(self) -> None:
        """Draw new weights: Kaiming normal (fan out), and zero gamma in each block's last batch-norm if configured."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in self.modules():
            if isinstance(module, BasicBlock | Bottleneck) and self.config.zero_gamma:
                nn.init.zeros_(module.last_norm.weight)
            if isinstance(module, NonLocal):
                for projection in (module.g, module.theta, module.phi):
                    nn.init.normal_(projection.weight, std=0.01)
                    projection.bias.data.zero_()  # type: ignore[union-attr]
                nn.init.zeros_(module.bn_out.weight)

    def stem(self, clips: Tensor) -> Tensor:
        """(N, 3, T, H, W) to (N, width, T', H / 4, W / 4), or H / 2 and W / 2 without pooling."""
        x = functional.relu(self.bn1(self.conv1(clips)))
        stride_t = self.config.pool_stride_t
        return x if stride_t is None else functional.max_pool3d(x, (1, 3, 3), (stride_t, 2, 2), (0, 1, 1))

    def feature_map(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) to features (N, D, h, w) of every position, averaged over time."""
        x = self.stem(clips)
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index == 0 and self.config.has_time_pool:
                x = functional.max_pool3d(x, (2, 1, 1), (2, 1, 1))
        return x.float().mean(dim=2)

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) to features (N, D)."""
        return self.feature_map(clips).mean(dim=(2, 3))


def middle_channels(in_channels: int, out_channels: int, kernel: int) -> int:
    """Channels between the two parts of a factorised convolution (IG-65M A.3).

    >>> middle_channels(3, 64, 7), middle_channels(64, 64, 3)
    (83, 144)
    """
    area = kernel**2
    return 3 * in_channels * out_channels * area // (in_channels * area + 3 * out_channels)


def conv3d(
    in_channels: int, out_channels: int, kernel: Triple, stride: Triple = (1, 1, 1), groups: int = 1
) -> nn.Conv3d:
    """A convolution without bias, padded to keep the size at stride 1."""
    padding = tuple(side // 2 for side in kernel)
    return nn.Conv3d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)  # type: ignore[arg-type]


def convolution(
    in_channels: int,
    out_channels: int,
    kernel: Triple,
    stride: Triple,
    config: ResNet3DConfig,
    middle: int | None = None,
) -> nn.Module:
    """``conv3d``, or ``Conv2Plus1d`` in factorised architectures."""
    if config.factorised:
        return Conv2Plus1d(in_channels, out_channels, kernel, stride, middle, config.inner_eps)
    return conv3d(in_channels, out_channels, kernel, stride)


def shortcut(in_channels: int, out_channels: int, stride: Triple, config: ResNet3DConfig) -> nn.Sequential | None:
    """1x1x1 convolution and batch-norm for a block that changes the shape, else None."""
    if stride == (1, 1, 1) and in_channels == out_channels:
        return None
    one = (1, 1, 1)
    projection = (
        conv3d(in_channels, out_channels, one, stride)
        if config.plain_shortcut
        else convolution(in_channels, out_channels, one, stride, config)
    )
    return nn.Sequential(projection, nn.BatchNorm3d(out_channels, eps=config.eps))


def _layer(config: ResNet3DConfig, index: int, in_channels: int, width: int) -> nn.Sequential:
    """The blocks of layer ``index + 1``; only the first is strided."""
    kind = BasicBlock if config.block == "basic" else Bottleneck
    first_kernels, non_local = config.first_kernels_t[index], config.non_local[index]
    blocks: list[nn.Module] = []
    for number in range(config.num_blocks[index]):
        space = 2 if index > 0 and number == 0 else 1
        stride = (config.temporal_strides[index] if number == 0 else 1, space, space)
        kernels_t = (first_kernels[number % len(first_kernels)], config.conv3x3_kernels_t[index])
        block = kind(in_channels, width, stride, config=config, kernels_t=kernels_t)
        in_channels = width * config.expansion
        if isinstance(block, Bottleneck) and non_local[number % len(non_local)]:
            block.non_local_block = NonLocal(in_channels, is_scaled=config.is_scaled, eps=1e-5)
        blocks.append(block)
    return nn.Sequential(*blocks)
