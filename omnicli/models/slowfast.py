"""SlowFast: a wide pathway on few frames and a narrow one on many, connected by lateral convolutions."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnicli.models.resnet3d import ResNet3D, conv3d
from omnicli.models.resnet3d_configs import SLOW_ONLY, ResNet3DConfig

BETA = 8  # the fast pathway has 1/8 of the channels
WIDTH = 64
FAST = replace(SLOW_ONLY, stem_kernel_t=5, first_kernels_t=((3,), (3,), (3,), (3,)))


@dataclass(frozen=True)
class SlowFastConfig:
    """Configuration of one SlowFast network, as in mmaction2.

    Attributes:
        tau: the slow pathway takes every tau-th frame.
        alpha: the fast pathway takes alpha times as many frames.
        fusion_kernel: temporal kernel size of the lateral convolutions; their temporal stride is alpha.
        depth: of both pathways.
        num_frames: frames of the published clips.
        frame_interval: frame interval of the published clips.
    """

    tau: int
    alpha: int
    fusion_kernel: int
    depth: int = 50
    num_frames: int = 32
    frame_interval: int = 2


SLOWFAST_CONFIGS = {
    "slowfast-r50": SlowFastConfig(tau=8, alpha=8, fusion_kernel=5),  # 4x16
    "slowfast-r50-8x8": SlowFastConfig(tau=4, alpha=4, fusion_kernel=7),
    "slowfast-r101-8x8": SlowFastConfig(tau=4, alpha=4, fusion_kernel=7, depth=101),
}


class SlowPath(ResNet3D):
    """The slow pathway with the lateral convolutions, which double the fast pathway's channels before each layer."""

    def __init__(self, config: ResNet3DConfig, *, alpha: int, fusion_kernel: int, in_channels: int = 3) -> None:
        fast = [WIDTH // BETA * scale for scale in (1, 4, 8, 16)]  # channels of its stem and layer1 to layer3
        super().__init__(config, width=WIDTH, lateral=[2 * channels for channels in fast], in_channels=in_channels)
        for name, channels in zip(("conv1", "layer1", "layer2", "layer3"), fast, strict=True):
            lateral = conv3d(channels, 2 * channels, (fusion_kernel, 1, 1), (alpha, 1, 1))
            nn.init.kaiming_normal_(lateral.weight, mode="fan_out", nonlinearity="relu")
            self.add_module(f"{name}_lateral", lateral)

    @property
    def laterals(self) -> tuple[nn.Module, ...]:
        """Lateral convolutions after the stem and after layer1 to layer3."""
        return tuple(self.get_submodule(f"{name}_lateral") for name in ("conv1", "layer1", "layer2", "layer3"))


class SlowFast(nn.Module):
    """Clips to pooled features, those of the fast pathway before those of the slow pathway."""

    def __init__(self, config: SlowFastConfig, *, in_channels: int = 3) -> None:
        super().__init__()
        self.config = config
        slow, fast = replace(SLOW_ONLY, depth=config.depth), replace(FAST, depth=config.depth)
        self.slow_path = SlowPath(slow, alpha=config.alpha, fusion_kernel=config.fusion_kernel, in_channels=in_channels)
        self.fast_path = ResNet3D(fast, width=WIDTH // BETA, in_channels=in_channels)
        self.num_features = self.fast_path.num_features + self.slow_path.num_features

    def feature_map(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W), T a multiple of tau, to features (N, 256 + 2048, h, w) of every position."""
        slow = self.slow_path.stem(subsample_frames(clips, self.config.tau))  # (N, 64, T / tau, H / 4, W / 4)
        fast = self.fast_path.stem(subsample_frames(clips, self.config.tau // self.config.alpha))
        stages = zip(self.slow_path.layers, self.fast_path.layers, self.slow_path.laterals, strict=True)
        for slow_layer, fast_layer, lateral in stages:
            slow = slow_layer(torch.cat([slow, lateral(fast)], dim=1))
            fast = fast_layer(fast)
        return torch.cat([fast.float().mean(dim=2), slow.float().mean(dim=2)], dim=1)

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W), T a multiple of tau, to features (N, 256 + 2048)."""
        return self.feature_map(clips).mean(dim=(2, 3))


def subsample_frames(clips: Tensor, step: int) -> Tensor:
    """Every ``step``-th frame of (N, C, T, H, W), from the first: nearest-neighbour subsampling in time."""
    return clips if step == 1 else functional.interpolate(clips, scale_factor=(1 / step, 1.0, 1.0), mode="nearest")
