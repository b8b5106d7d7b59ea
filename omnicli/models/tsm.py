"""Temporal shift module: a 2D ResNet whose blocks exchange channels between neighbouring frames."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnicli.models.tsn import TSN

FOLD = 8  # 1/8 of the channels comes from the next frame, 1/8 from the previous one
MANY_BLOCKS = 23  # ResNets with so many blocks in layer3 (R101, R152) shift in every second block


def shift(frames: Tensor, num_segments: int) -> Tensor:
    """Frames with the first 1/8 of their channels from the next frame and the second 1/8 from the previous one.

    Args:
        frames: (N * S, C, H, W), grouped by clip.
        num_segments: S.

    Returns:
        Same shape; zeros where a clip has no next or no previous frame.

    >>> shift(torch.arange(1.0, 4).view(3, 1, 1, 1).expand(3, 8, 1, 1), 3)[:, :3, 0, 0]
    tensor([[2., 0., 1.],
            [3., 1., 2.],
            [0., 2., 3.]])
    """
    fold = frames.shape[1] // FOLD
    clips = frames.reshape(-1, num_segments, *frames.shape[1:])  # (N, S, C, H, W)
    shifted = torch.zeros_like(clips)
    shifted[:, :-1, :fold] = clips[:, 1:, :fold]
    shifted[:, 1:, fold : 2 * fold] = clips[:, :-1, fold : 2 * fold]
    shifted[:, :, 2 * fold :] = clips[:, :, 2 * fold :]
    return shifted.flatten(0, 1)


class ShiftedConv2d(nn.Conv2d):
    """A convolution of shifted frames with the weight names of an ordinary convolution."""

    num_segments = 1

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (N * S, C, H, W) shifted, then convolved."""
        shifted = shift(frames, self.num_segments).contiguous(memory_format=torch.channels_last)
        return functional.conv2d(shifted, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class TSM(TSN):
    """A TSN whose backbone, a timm ResNet, shifts before the first convolution of each block.

    As in mmaction2, logits are averaged over frames, and dropout is drawn per frame.

    Raises:
        ValueError: the backbone has no ``layer1`` to ``layer4`` of blocks with ``conv1``.
    """

    is_framewise = False

    def __init__(
        self, backbone: nn.Module, num_features: int, num_classes: int, dropout: float = 0.5, fc_std: float = 0.001
    ) -> None:
        super().__init__(backbone, num_features, num_classes, dropout, fc_std)
        layers = [getattr(backbone, f"layer{index}", None) for index in range(1, 5)]
        if not all(isinstance(layer, nn.Sequential) for layer in layers):
            raise ValueError(f"{type(backbone).__name__} is not a ResNet")
        every = 2 if len(layers[2]) >= MANY_BLOCKS else 1  # type: ignore[arg-type]
        for layer in layers:
            for block in list(layer)[::every]:  # type: ignore[arg-type]
                block.conv1 = _shifted(block.conv1)

    def snippet_features(self, clips: Tensor) -> Tensor:
        """Pooled features (N, S, D) float32 of every frame of clips (N, C, S, H, W)."""
        for module in self.backbone.modules():  # at every call, because folding replaces modules
            if isinstance(module, ShiftedConv2d):
                module.num_segments = clips.shape[2]
        return super().snippet_features(clips)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits (N, K) float32 of clips (N, C, S, H, W), averaged over frames."""
        return self.classify(self.snippet_features(clips)).mean(dim=1)


def _shifted(convolution: nn.Conv2d) -> ShiftedConv2d:
    """The same convolution of shifted frames; weights are shared."""
    shifted = ShiftedConv2d(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        convolution.stride,  # type: ignore[arg-type]
        convolution.padding,  # type: ignore[arg-type]
        groups=convolution.groups,
        bias=convolution.bias is not None,
    )
    shifted.weight, shifted.bias = convolution.weight, convolution.bias
    return shifted
