"""BN-Inception, the backbone of the first TSNs, with the weight names of the Caffe model and its PyTorch ports."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnicli.errors import UsageError


class InceptionBlock(NamedTuple):
    """Output channels of the branches of one inception block.

    Attributes:
        name: block name in the Caffe model.
        single: 1x1 branch; 0 in blocks that halve the image, whose pooling branch has no projection either.
        triple: 1x1 reduction and 3x3.
        double: 1x1 reduction and both 3x3.
        pool: projection after pooling; 0 keeps the pooled channels.
        has_max_pool: the pooling branch takes the maximum instead of the mean.
    """

    name: str
    single: int
    triple: tuple[int, int]
    double: tuple[int, int]
    pool: int
    has_max_pool: bool = False


BLOCKS = (
    InceptionBlock("3a", 64, (64, 64), (64, 96), 32),
    InceptionBlock("3b", 64, (64, 96), (64, 96), 64),
    InceptionBlock("3c", 0, (128, 160), (64, 96), 0, True),
    InceptionBlock("4a", 224, (64, 96), (96, 128), 128),
    InceptionBlock("4b", 192, (96, 128), (96, 128), 128),
    InceptionBlock("4c", 160, (128, 160), (128, 160), 128),
    InceptionBlock("4d", 96, (128, 192), (160, 192), 128),
    InceptionBlock("4e", 0, (128, 192), (192, 256), 0, True),
    InceptionBlock("5a", 352, (192, 320), (160, 224), 128),
    InceptionBlock("5b", 352, (192, 320), (192, 224), 128, True),
)


def check_side(pixels: int) -> None:
    """Refuse images whose sides the Caffe model cannot halve five times: strided branches would differ in size.

    Its convolutions are padded and its pooling is not, so two layers need an even side: 32 k - 1 to 32 k + 6 pixels.

    Raises:
        UsageError: names the nearest sides that fit.
    """
    if (pixels + 1) // 2 % 16 > 3 or pixels < 31:
        lower = max(pixels // 32, 1) * 32
        raise UsageError(
            f"bninception cannot take images of {pixels} pixels: its layers halve them five times; give a multiple of "
            f"32, such as --crop-size {lower} or {lower + 32}"
        )


class BNInception(nn.Module):
    """Images (N, C, H, W) to pooled features (N, 1024)."""

    num_features = 1024

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self._add("conv1_7x7_s2", in_channels, 64, kernel=7, stride=2)
        self._add("conv2_3x3_reduce", 64, 64)
        self._add("conv2_3x3", 64, 192, kernel=3)
        channels = 192
        for block in BLOCKS:
            channels = self._add_block(block, channels)

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, 1024) of images (N, C, H, W). Raises UsageError: sides that ``check_side`` refuses."""
        for side in images.shape[2:]:
            check_side(side)
        x = functional.max_pool2d(self._run("conv1_7x7_s2", images), 3, 2, ceil_mode=True)
        x = self._run("conv2_3x3", self._run("conv2_3x3_reduce", x))
        x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        for block in BLOCKS:
            x = self._run_block(block, x)
        return x.mean(dim=(2, 3))

    def _add(self, name: str, in_channels: int, out_channels: int, *, kernel: int = 1, stride: int = 1) -> None:
        setattr(self, name, nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2))
        setattr(self, f"{name}_bn", nn.BatchNorm2d(out_channels))

    def _add_block(self, block: InceptionBlock, channels: int) -> int:
        """Add the layers of one block with ``channels`` inputs; return the number of its output channels."""
        prefix = f"inception_{block.name}_"
        stride = 1 if block.single else 2
        reduce, wide = block.triple
        double_reduce, double_wide = block.double
        if block.single:
            self._add(f"{prefix}1x1", channels, block.single)
        self._add(f"{prefix}3x3_reduce", channels, reduce)
        self._add(f"{prefix}3x3", reduce, wide, kernel=3, stride=stride)
        self._add(f"{prefix}double_3x3_reduce", channels, double_reduce)
        self._add(f"{prefix}double_3x3_1", double_reduce, double_wide, kernel=3)
        self._add(f"{prefix}double_3x3_2", double_wide, double_wide, kernel=3, stride=stride)
        if block.pool:
            self._add(f"{prefix}pool_proj", channels, block.pool)
        return block.single + wide + double_wide + (block.pool or channels)

    def _run(self, name: str, x: Tensor) -> Tensor:
        return functional.relu(self.get_submodule(f"{name}_bn")(self.get_submodule(name)(x)))

    def _run_block(self, block: InceptionBlock, x: Tensor) -> Tensor:
        prefix = f"inception_{block.name}_"
        branches = [self._run(f"{prefix}1x1", x)] if block.single else []
        branches.append(self._run(f"{prefix}3x3", self._run(f"{prefix}3x3_reduce", x)))
        double = self._run(f"{prefix}double_3x3_1", self._run(f"{prefix}double_3x3_reduce", x))
        branches.append(self._run(f"{prefix}double_3x3_2", double))
        if not block.pool:
            branches.append(functional.max_pool2d(x, 3, 2, ceil_mode=True))
        else:
            pooled = (
                functional.max_pool2d(x, 3, 1, 1, ceil_mode=True)
                if block.has_max_pool
                else functional.avg_pool2d(x, 3, 1, 1, ceil_mode=True)
            )
            branches.append(self._run(f"{prefix}pool_proj", pooled))
        return torch.cat(branches, dim=1)  # (N, C', H', W')
