"""What every model shares: a backbone giving features, dropout, a classifier, and what training may hold fixed."""

from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional


class Recogniser(nn.Module):
    """Backbone, dropout and classifier; a subclass says how clips become features.

    The backbone may run in bfloat16; the averages, the classifier and the logits are always float32, because a
    threshold on scores is a threshold on their rounding.

    Attributes:
        is_2d: it takes images, so that a web image can be given to it (Sec. 3.4).
        is_framewise: each frame is judged alone, so that segments may be given as separate views.
        average_views: what test views are averaged over.
    """

    is_2d: bool
    is_framewise: bool
    average_views: Literal["logits", "scores"]
    memory_format: torch.memory_format

    def __init__(
        self, backbone: nn.Module, num_features: int, num_classes: int, dropout: float, fc_std: float = 0.01
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(num_features, num_classes)
        nn.init.normal_(self.fc.weight, std=fc_std)
        nn.init.zeros_(self.fc.bias)
        self.frozen: Literal["nothing", "batch-norm", "backbone"] = "nothing"

    def features(self, clips: Tensor) -> Tensor:
        """Features (N, D) float32 of normalised clips (N, C, T, H, W) of any float dtype."""
        raise AssertionError(f"{type(self).__name__} does not say how clips become features")

    def classify(self, features: Tensor) -> Tensor:
        """Logits (N, K) float32 of features (N, D)."""
        with torch.autocast(features.device.type, enabled=False):
            return self.fc(self.dropout(features.float()))  # type: ignore[no-any-return]

    def forward(self, clips: Tensor) -> Tensor:
        """Logits (N, K) float32 of clips (N, C, T, H, W)."""
        return self.classify(self.features(clips))

    def freeze(self, what: Literal["nothing", "batch-norm", "backbone"]) -> None:
        """Hold the backbone's batch-norm (statistics and affine), or all of it, as it is; in ``train`` too."""
        self.frozen = what
        for parameter in self.backbone.parameters():
            parameter.requires_grad_(what != "backbone")
        if what == "batch-norm":
            for norm in self._norms():
                for parameter in norm.parameters():
                    parameter.requires_grad_(False)
        self.train(self.training)

    def set_precision(self, dtype: torch.dtype) -> Self:
        """Run the backbone in ``dtype`` and channels-last from now on; for inference."""
        self.backbone.to(dtype=dtype, memory_format=self.memory_format)  # type: ignore[call-overload]
        return self

    def train(self, mode: bool = True) -> Self:
        """Training mode, except for what ``freeze`` holds."""
        super().train(mode)
        if self.frozen == "backbone":
            self.backbone.eval()
        elif self.frozen == "batch-norm":
            for norm in self._norms():
                norm.eval()
        return self

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.backbone.parameters()).dtype

    def _norms(self) -> list[nn.Module]:
        return [module for module in self.backbone.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


class ClipModel(Recogniser):
    """A 3D backbone on dense clips: ``softmax`` of each view, then their mean (CHECKPOINTS section 4)."""

    is_2d = False
    is_framewise = False
    average_views: Literal["logits", "scores"] = "scores"
    memory_format = torch.channels_last_3d

    def features(self, clips: Tensor) -> Tensor:
        """Features of each clip, pooled over time and space by the backbone.

        Args:
            clips: (N, C, T, H, W), normalised, any float dtype.

        Returns:
            (N, D) float32.
        """
        pooled = self.backbone(self._laid_out(clips))  # (N, D)
        return pooled.float()  # type: ignore[no-any-return]

    def window_logits(self, clips: Tensor, *, crop_size: int) -> Tensor:
        """Logits of every window as large as a training crop: the classifier as a 1x1x1 convolution (IG-65M Sec. 4.4).

        Ours: features are averaged over such a window first, because that is what the classifier was trained on; the
        paper says no more than that the convolution has the classifier's weights.

        Args:
            clips: (N, C, T, H, W), normalised, any float dtype, H and W at least ``crop_size``.
            crop_size: pixels of the crops it was trained on.

        Returns:
            (N, P, K) float32; P = 1 for frames of ``crop_size``.
        """
        places = self.backbone.feature_map(self._laid_out(clips))  # type: ignore[operator]  # (N, D, h, w)
        sides = zip(places.shape[2:], clips.shape[3:], strict=True)
        window = [min(count, max(1, round(count * crop_size / side))) for count, side in sides]
        pooled = functional.avg_pool2d(places, window, stride=1)  # (N, D, h', w')
        return self.classify(pooled.flatten(2).transpose(1, 2))

    def _laid_out(self, clips: Tensor) -> Tensor:
        return clips.to(self._dtype).contiguous(memory_format=self.memory_format)
