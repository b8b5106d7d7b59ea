"""SlowFast: a wide pathway on few frames, fed by a narrow one on many."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnicli.models.resnet3d import ResNet3D, plain
from omnicli.models.resnet3d_configs import SLOW_ONLY, ResNet3DConfig

BETA = 8  # the fast pathway has an eighth of the channels
WIDTH = 64
FAST = replace(SLOW_ONLY, stem_kernel_t=5, first_kernels_t=((3,), (3,), (3,), (3,)))


@dataclass(frozen=True)
class SlowFastConfig:
    """One member of the family (CHECKPOINTS section 3).

    Attributes:
        tau: the slow pathway sees every tau-th frame.
        alpha: the fast pathway sees alpha times as many frames.
        fusion_kernel: frames seen by the convolutions from the fast pathway to the slow one; their stride is alpha.
        depth: of both pathways.
        num_frames: of the clips it was published with.
        frame_interval: of the same.
    """

    tau: int
    alpha: int
    fusion_kernel: int
    depth: int = 50
    num_frames: int = 32
    frame_interval: int = 2


SLOWFAST_DESIGNS = {
    "slowfast-r50": SlowFastConfig(tau=8, alpha=8, fusion_kernel=5),  # 4x16
    "slowfast-r50-8x8": SlowFastConfig(tau=4, alpha=4, fusion_kernel=7),
    "slowfast-r101-8x8": SlowFastConfig(tau=4, alpha=4, fusion_kernel=7, depth=101),
}


class SlowPath(ResNet3D):
    """The slow pathway, with the convolutions that bring the fast one's channels in, doubled, before each layer."""

    def __init__(self, design: ResNet3DConfig, *, alpha: int, fusion_kernel: int, in_channels: int = 3) -> None:
        fast = [WIDTH // BETA * scale for scale in (1, 4, 8, 16)]  # channels of its stem and layer1 to layer3
        super().__init__(design, width=WIDTH, lateral=[2 * channels for channels in fast], in_channels=in_channels)
        for name, channels in zip(("conv1", "layer1", "layer2", "layer3"), fast, strict=True):
            lateral = plain(channels, 2 * channels, (fusion_kernel, 1, 1), (alpha, 1, 1))
            nn.init.kaiming_normal_(lateral.weight, mode="fan_out", nonlinearity="relu")
            self.add_module(f"{name}_lateral", lateral)

    @property
    def laterals(self) -> tuple[nn.Module, ...]:
        """After the stem and after layer1 to layer3."""
        return tuple(self.get_submodule(f"{name}_lateral") for name in ("conv1", "layer1", "layer2", "layer3"))


class SlowFast(nn.Module):
    """A clip to the pooled features of the fast pathway followed by those of the slow one."""

    def __init__(self, design: SlowFastConfig, *, in_channels: int = 3) -> None:
        super().__init__()
        self.design = design
        slow, fast = replace(SLOW_ONLY, depth=design.depth), replace(FAST, depth=design.depth)
        self.slow_path = SlowPath(slow, alpha=design.alpha, fusion_kernel=design.fusion_kernel, in_channels=in_channels)
        self.fast_path = ResNet3D(fast, width=WIDTH // BETA, in_channels=in_channels)
        self.num_features = self.fast_path.num_features + self.slow_path.num_features

    def feature_map(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W), T a multiple of tau, to features of every place (N, 256 + 2048, h, w)."""
        slow = self.slow_path.stem(every(clips, self.design.tau))  # (N, 64, T / tau, H / 4, W / 4)
        fast = self.fast_path.stem(every(clips, self.design.tau // self.design.alpha))
        stages = zip(self.slow_path.layers, self.fast_path.layers, self.slow_path.laterals, strict=True)
        for slow_layer, fast_layer, lateral in stages:
            slow = slow_layer(torch.cat([slow, lateral(fast)], dim=1))
            fast = fast_layer(fast)
        return torch.cat([fast.float().mean(dim=2), slow.float().mean(dim=2)], dim=1)

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W), T a multiple of tau, to features (N, 256 + 2048)."""
        return self.feature_map(clips).mean(dim=(2, 3))


def every(clips: Tensor, step: int) -> Tensor:
    """Every ``step``-th frame of (N, C, T, H, W), the first among them: nearest-neighbour subsampling in time."""
    return clips if step == 1 else functional.interpolate(clips, scale_factor=(1 / step, 1.0, 1.0), mode="nearest")
