"""Two-stream models: the first layer that takes optical flow, and flow frames as its channels (OmniSource Table 4).

A flow frame is an image of x, y and a constant (``media.flow_pixels``). A 2D model stacks the pairs of a snippet as
channels x1, y1, x2, y2, ...; a 3D model takes clips of two channels.
"""

from collections.abc import Mapping

from torch import Tensor, nn

RGB_CHANNELS = 3
STACKED_PAIRS = 5  # of a snippet of TSN


def stack_pairs(clips: Tensor, num_pairs: int) -> Tensor:
    """Flow frames (N, 3, S * P, H, W) as snippets (N, 2 * P, S, H, W) of P pairs.

    >>> import torch
    >>> stack_pairs(torch.zeros(2, 3, 15, 8, 8), 5).shape
    torch.Size([2, 10, 3, 8, 8])
    """
    num_clips, _, num_frames, height, width = clips.shape
    pairs = clips[:, :2].reshape(num_clips, 2, num_frames // num_pairs, num_pairs, height, width)
    return pairs.permute(0, 3, 1, 2, 4, 5).flatten(1, 2)


def widen_stem(backbone: nn.Module, num_channels: int, *, is_pretrained: bool) -> None:
    """Let a backbone's first convolution take other channels than RGB, in place.

    Trained weights are averaged over RGB (cross-modality initialisation, TSN); random ones are drawn anew.
    """
    stem = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d | nn.Conv3d))
    averaged = averaged_channels(stem.weight.detach(), num_channels)
    if not is_pretrained:
        nn.init.kaiming_normal_(averaged, mode="fan_out", nonlinearity="relu")
    stem.weight = nn.Parameter(averaged)
    stem.in_channels = num_channels


def averaged_channels(weight: Tensor, num_channels: int) -> Tensor:
    """(Cout, C, ...) of (Cout, 3, ...): each channel is the mean of the three."""
    return weight.mean(dim=1, keepdim=True).repeat_interleave(num_channels, dim=1)


def cross_modality(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a file with the RGB channels of its first layer averaged, where the model takes flow."""
    return {
        name: averaged_channels(tensor, wanted[name].shape[1]) if _is_rgb_stem(tensor, wanted.get(name)) else tensor
        for name, tensor in weights.items()
    }


def _is_rgb_stem(tensor: Tensor, wanted: Tensor | None) -> bool:
    return (
        wanted is not None
        and wanted.ndim >= 4
        and tensor.ndim == wanted.ndim
        and tensor.shape[1] == RGB_CHANNELS != wanted.shape[1]
        and tensor.shape[0] == wanted.shape[0]
    )
