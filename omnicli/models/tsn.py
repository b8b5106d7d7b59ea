"""Temporal segment network: a 2D backbone on one snippet a segment, averaged."""

from typing import Literal

import torch
from torch import Tensor, nn


class TSN(nn.Module):
    """A picture backbone applied to each segment, features averaged, then classified (CHECKPOINTS section 3).

    The average is taken before the classifier, so over views, too, logits are averaged and the softmax comes last.
    The backbone may run in bfloat16; the average, the classifier and the logits are always float32, because a
    threshold on scores is a threshold on their rounding.

    Attributes:
        is_2d: snippets are pictures, so that a web image is a video of one segment.
        average_views: what test views are averaged over.
    """

    is_2d = True
    average_views: Literal["logits", "scores"] = "logits"

    def __init__(
        self, backbone: nn.Module, num_features: int, num_classes: int, dropout: float = 0.4, fc_std: float = 0.01
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(num_features, num_classes)
        nn.init.normal_(self.fc.weight, std=fc_std)
        nn.init.zeros_(self.fc.bias)
        self.frozen: Literal["nothing", "batch-norm", "backbone"] = "nothing"

    def features(self, clips: Tensor) -> Tensor:
        """Pooled features of each snippet, averaged over segments.

        Args:
            clips: (N, C, S, H, W), normalised, any float dtype.

        Returns:
            (N, D) float32.
        """
        num_clips, _, num_segments = clips.shape[:3]
        snippets = clips.transpose(1, 2).flatten(0, 1)  # (N * S, C, H, W)
        snippets = snippets.to(self._dtype).contiguous(memory_format=torch.channels_last)
        pooled = self.backbone(snippets)  # (N * S, D)
        return pooled.float().view(num_clips, num_segments, -1).mean(dim=1)  # type: ignore[no-any-return]

    def classify(self, features: Tensor) -> Tensor:
        """Logits (N, K) float32 of averaged features (N, D)."""
        with torch.autocast(features.device.type, enabled=False):
            return self.fc(self.dropout(features.float()))  # type: ignore[no-any-return]

    def forward(self, clips: Tensor) -> Tensor:
        """Logits (N, K) float32 of clips (N, C, S, H, W)."""
        return self.classify(self.features(clips))

    def freeze(self, what: Literal["nothing", "batch-norm", "backbone"]) -> None:
        """Hold the backbone's batch-norm (statistics and affine), or all of the backbone; in ``train`` mode too."""
        self.frozen = what
        for parameter in self.backbone.parameters():
            parameter.requires_grad_(what != "backbone")
        if what == "batch-norm":
            for norm in self._norms():
                for parameter in norm.parameters():
                    parameter.requires_grad_(False)
        self.train(self.training)

    def set_precision(self, dtype: torch.dtype) -> "TSN":
        """Run the backbone in ``dtype`` and channels-last from now on; for inference."""
        self.backbone.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    def train(self, mode: bool = True) -> "TSN":
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
