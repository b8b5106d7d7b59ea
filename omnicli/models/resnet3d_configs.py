"""Configurations of the 3D ResNets by name, as in mmaction2, torchvision and the authors' released models."""

from dataclasses import dataclass, replace
from typing import Literal

BLOCKS_OF_DEPTH = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@dataclass(frozen=True, kw_only=True)
class ResNet3DConfig:
    """Configuration of one 3D ResNet.

    Tuples have one item per layer, layer1 to layer4. Patterns within a layer repeat over its blocks.

    Attributes:
        block: ``basic``: two 3x3; ``bottleneck``: 1x1, 3x3, 1x1; ``ir`` and ``ip`` (CSN): a depthwise 3x3x3 in the
            middle, in ``ip`` after a 1x1x1.
        depth: 18 or 34 for basic blocks, 50 or more for the others.
        stem_kernel_t: temporal kernel size of the stem.
        stem_stride_t: temporal stride of the stem; the spatial stride is 2.
        pool_stride_t: temporal stride of the 3x3 pooling after the stem; None for no pooling.
        has_time_pool: max-pooling halves the number of frames after layer1.
        temporal_strides: of the first block of each layer.
        first_kernels_t: temporal kernel sizes of the first 1x1 in bottlenecks.
        conv3x3_kernels_t: temporal kernel sizes of the 3x3.
        non_local: the blocks that end in a non-local block.
        is_scaled: non-local affinities are divided by the square root of their channels.
        factorised: each 3x3x3 is a 1x3x3, batch-norm, ReLU and 3x1x1.
        stem_middle: channels between the two parts of a factorised stem; None for the formula of ``middle_channels``.
        shares_middle: as in torchvision, the second convolution of a basic block has the middle channels of the first.
        plain_shortcut: the convolution of the shortcut is not factorised.
        eps: of batch-norm.
        inner_eps: of batch-norm inside factorised convolutions.
        zero_gamma: the last batch-norm of each block is initialised with zero gamma.
        width: channels of the stem and layer1, doubled in each later layer.
        num_frames: frames of the published clips.
        frame_interval: frame interval of the published clips.
        crop_size: pixels of the published square input.
    """

    block: Literal["basic", "bottleneck", "ir", "ip"] = "bottleneck"
    depth: int = 50
    stem_kernel_t: int = 1
    stem_stride_t: int = 1
    pool_stride_t: int | None = 1
    has_time_pool: bool = False
    temporal_strides: tuple[int, int, int, int] = (1, 1, 1, 1)
    first_kernels_t: tuple[tuple[int, ...], ...] = ((1,), (1,), (1,), (1,))
    conv3x3_kernels_t: tuple[int, int, int, int] = (1, 1, 1, 1)
    non_local: tuple[tuple[bool, ...], ...] = ((False,),) * 4
    is_scaled: bool = False
    factorised: bool = False
    stem_middle: int | None = None
    shares_middle: bool = False
    plain_shortcut: bool = False
    eps: float = 1e-5
    inner_eps: float = 1e-5
    zero_gamma: bool = False
    width: int = 64
    num_frames: int = 8
    frame_interval: int = 8
    crop_size: int = 224

    @property
    def expansion(self) -> int:
        """Output channels of a block divided by its width."""
        return 1 if self.block == "basic" else 4

    @property
    def num_blocks(self) -> tuple[int, int, int, int]:
        """Blocks per layer."""
        return BLOCKS_OF_DEPTH[self.depth]


EVEN = ((False,), (True, False), (True, False), (False,))  # blocks 0, 2, 4 of layer2 and layer3
ODD = ((False,), (False, True), (False, True), (False,))

SLOW_ONLY = ResNet3DConfig(first_kernels_t=((1,), (1,), (3,), (3,)), zero_gamma=True, num_frames=4, frame_interval=16)
# basic blocks have no 1x1 to make temporal, so mmaction2 makes the 3x3 of layer3 and layer4 temporal
SLOW_ONLY_18 = replace(SLOW_ONLY, block="basic", depth=18, first_kernels_t=((1,),) * 4, conv3x3_kernels_t=(1, 1, 3, 3))
I3D = ResNet3DConfig(
    stem_kernel_t=5,
    stem_stride_t=2,
    pool_stride_t=2,
    has_time_pool=True,
    first_kernels_t=((3,), (3, 1), (3, 1), (1, 3)),
    num_frames=32,
    frame_interval=2,
)
CSN = ResNet3DConfig(
    block="ir",
    stem_kernel_t=3,
    temporal_strides=(1, 2, 2, 2),
    conv3x3_kernels_t=(3, 3, 3, 3),
    eps=1e-3,
    num_frames=32,
    frame_interval=2,
)
R2PLUS1D_MM = ResNet3DConfig(  # mmaction2's
    stem_kernel_t=3, temporal_strides=(1, 2, 2, 2), conv3x3_kernels_t=(3, 3, 3, 3), factorised=True, eps=1e-3
)
R2PLUS1D = replace(  # the authors' (IG-65M A.3, VMZ)
    R2PLUS1D_MM,
    pool_stride_t=None,
    stem_middle=45,
    plain_shortcut=True,
    inner_eps=1e-3,
    num_frames=32,
    frame_interval=1,
    crop_size=112,
)
R3D = ResNet3DConfig(
    block="basic",
    depth=18,
    stem_kernel_t=3,
    pool_stride_t=None,
    temporal_strides=(1, 2, 2, 2),
    conv3x3_kernels_t=(3, 3, 3, 3),
    num_frames=16,
    frame_interval=1,
)

RESNET3D_CONFIGS = {
    "slowonly-r18": SLOW_ONLY_18,
    "slowonly-r18w16": replace(SLOW_ONLY_18, width=16),  # Ours: a quarter of the channels, for a CPU
    "slowonly-r50": SLOW_ONLY,
    "slowonly-r101": replace(SLOW_ONLY, depth=101, num_frames=8, frame_interval=8),
    # the released SlowOnly has non-local blocks after even blocks and scales affinities; the released I3D does neither
    "slowonly-nl-r50": replace(SLOW_ONLY, non_local=EVEN, is_scaled=True),
    "slowonly-nl-r101": replace(SLOW_ONLY, depth=101, non_local=EVEN, is_scaled=True, num_frames=8, frame_interval=8),
    "i3d-r50": I3D,
    "i3d-r101": replace(I3D, depth=101),
    "i3d-nl-r50": replace(I3D, non_local=ODD),
    "i3d-nl-r101": replace(I3D, depth=101, non_local=ODD),
    "ircsn-r50": CSN,
    "ircsn-r152": replace(CSN, depth=152),
    "ipcsn-r50": replace(CSN, block="ip"),
    "ipcsn-r152": replace(CSN, block="ip", depth=152),
    "r2plus1d-r18": replace(R2PLUS1D, block="basic", depth=18),
    "r2plus1d-r34": replace(R2PLUS1D, block="basic", depth=34),
    "r2plus1d-r101": replace(R2PLUS1D, depth=101),
    "r2plus1d-r152": replace(R2PLUS1D, depth=152),
    # the same names in omni 0.1.0 were these, and its checkpoints still load
    "r2plus1d-mm-r18": replace(R2PLUS1D_MM, block="basic", depth=18),
    "r2plus1d-mm-r34": replace(R2PLUS1D_MM, block="basic", depth=34),
    "r2plus1d-mm-r101": replace(R2PLUS1D_MM, depth=101),
    "r2plus1d-mm-r152": replace(R2PLUS1D_MM, depth=152),
    "r3d-r18": R3D,
    # for images: no temporal convolutions, frames are averaged; can be inflated into r3d-r18 (IG-65M Table 4)
    "r2d-r18": replace(R3D, stem_kernel_t=1, temporal_strides=(1, 1, 1, 1), conv3x3_kernels_t=(1, 1, 1, 1)),
    "torchvision-r3d_18": R3D,
    "torchvision-mc3_18": replace(R3D, temporal_strides=(1, 1, 1, 1), conv3x3_kernels_t=(3, 1, 1, 1)),
    "torchvision-r2plus1d_18": replace(R3D, factorised=True, stem_middle=45, shares_middle=True, plain_shortcut=True),
}
