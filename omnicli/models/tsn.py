"""Temporal segment network: a 2D backbone on one snippet per segment, averaged."""

from typing import Literal

import torch
from torch import Tensor, nn

from omnicli.models.flow_stem import stack_pairs
from omnicli.models.recogniser import Recogniser


class TSN(Recogniser):
    """A 2D backbone on each segment; the classifier takes the mean of the features.

    The classifier is linear, so over views, too, logits are averaged and the softmax comes last, as in mmaction2.
    """

    is_2d = True
    is_framewise = True
    average_views: Literal["logits", "scores"] = "logits"
    memory_format = torch.channels_last

    def __init__(
        self, backbone: nn.Module, num_features: int, num_classes: int, dropout: float = 0.4, fc_std: float = 0.01
    ) -> None:
        super().__init__(backbone, num_features, num_classes, dropout, fc_std)

    def features(self, clips: Tensor) -> Tensor:
        """Pooled features (N, D) float32 of clips (N, C, S, H, W), averaged over segments."""
        return self.snippet_features(clips).mean(dim=1)

    def snippet_features(self, clips: Tensor) -> Tensor:
        """Pooled features (N, S, D) float32 of every snippet of clips (N, C, S, H, W); of flow (N, 3, S * P, H, W)."""
        if self.flow_pairs:
            clips = stack_pairs(clips, self.flow_pairs)
        num_clips, _, num_segments = clips.shape[:3]
        snippets = clips.transpose(1, 2).flatten(0, 1)  # (N * S, C, H, W)
        snippets = snippets.to(self._dtype).contiguous(memory_format=self.memory_format)
        pooled = self.backbone(snippets)  # (N * S, D)
        return pooled.float().view(num_clips, num_segments, -1)  # type: ignore[no-any-return]
