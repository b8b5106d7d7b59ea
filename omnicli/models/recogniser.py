"""The base of all models: a backbone that computes features, dropout and a classifier."""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnicli.errors import UsageError
from omnicli.models.flow_stem import stack_pairs

Freeze = Literal["nothing", "batch-norm", "partial-batch-norm", "encoder", "backbone"]
ClipFunction = Callable[[Tensor], Tensor]
"""Maps normalised clips (N, C, T, H, W) to outputs (N, D)."""
FREEZES_NORMS: tuple[Freeze, ...] = ("batch-norm", "partial-batch-norm")


class ModelCompiler(Protocol):
    """Makes programs of the functions of a model (``inference.compiled``).

    Attributes:
        first_position: of the first record that a program scores.
    """

    first_position: int

    def __call__(self, function: ClipFunction) -> ClipFunction:
        """The function as a program; the same one for the same function."""


class Recogniser(nn.Module):
    """Backbone, dropout and classifier; subclasses define how clips become features.

    The backbone may run in bfloat16. Averages, classifier and logits are always float32, because rounding moves scores
    across thresholds.

    Attributes:
        is_2d: the model takes images, so it can score web images (OmniSource Sec. 3.4).
        is_framewise: frames are scored independently, so segments may be separate views.
        average_views: at test time, the mean over views is taken of the logits or of the scores.
        flow_pairs: pairs of optical flow that the backbone takes at once; 0 if it takes RGB.
    """

    is_2d: bool
    is_framewise: bool
    average_views: Literal["logits", "scores"]
    memory_format: torch.memory_format
    flow_pairs: int = 0

    def __init__(
        self, backbone: nn.Module, num_features: int, num_classes: int, dropout: float, fc_std: float = 0.01
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(num_features, num_classes)
        nn.init.normal_(self.fc.weight, std=fc_std)
        nn.init.zeros_(self.fc.bias)
        self.frozen: Freeze = "nothing"

    def features(self, clips: Tensor) -> Tensor:
        """Features (N, D) float32 of normalised clips (N, C, T, H, W) of any float dtype."""
        raise AssertionError(f"{type(self).__name__} must define features")

    def classify(self, features: Tensor) -> Tensor:
        """Logits (N, K) float32 of features (N, D)."""
        with torch.autocast(features.device.type, enabled=False):
            return self.fc(self.dropout(features.float()))  # type: ignore[no-any-return]

    def forward(self, clips: Tensor) -> Tensor:
        """Logits (N, K) float32 of clips (N, C, T, H, W)."""
        return self.classify(self.features(clips))

    def freeze(self, what: Freeze) -> None:
        """Freeze the backbone's batch-norm (statistics and affine parameters) or the backbone, also in ``train``.

        ``partial-batch-norm`` leaves the first norm free, which sees what no pre-training has seen (TSN). ``encoder``
        is the backbone without its attentive pooler. Raises UsageError: it has none.
        """
        pooler = [parameter for name, parameter in self.backbone.named_parameters() if "pooler" in name.split(".")]
        if what == "encoder" and not pooler:
            raise UsageError("--freeze encoder is for models with an attentive pooler, such as V-JEPA 2")
        self.frozen = what
        for parameter in self.backbone.parameters():
            parameter.requires_grad_(what not in ("backbone", "encoder"))
        for parameter in pooler:
            parameter.requires_grad_(what != "backbone")
        if what in FREEZES_NORMS:
            for norm in self._norms():
                for parameter in norm.parameters():
                    parameter.requires_grad_(False)
        self.train(self.training)

    def to_device(self, device: torch.device) -> Self:
        """Move to a device, in the memory layout that is fastest there."""
        self.memory_format = self._layout_on(device)
        return self.to(device).to(memory_format=self.memory_format)

    def _layout_on(self, device: torch.device) -> torch.memory_format:
        return type(self).memory_format

    def set_precision(self, dtype: torch.dtype) -> Self:
        """Convert the backbone to ``dtype`` and channels-last, for inference."""
        self.backbone.to(dtype=dtype, memory_format=self.memory_format)  # type: ignore[call-overload]
        return self

    def train(self, mode: bool = True) -> Self:
        """Set training mode, except for frozen parts."""
        super().train(mode)
        if self.frozen in ("backbone", "encoder"):
            self.backbone.eval()
        elif self.frozen in FREEZES_NORMS:
            for norm in self._norms():
                norm.eval()
        return self

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.backbone.parameters()).dtype

    def _norms(self) -> Sequence[nn.Module]:
        norm = nn.modules.batchnorm._BatchNorm
        norms = [module for module in self.backbone.modules() if isinstance(module, norm)]
        return norms[1:] if self.frozen == "partial-batch-norm" else norms


class ClipModel(Recogniser):
    """A 3D backbone on dense clips; as in mmaction2, views are averaged after the softmax."""

    is_2d = False
    is_framewise = False
    average_views: Literal["logits", "scores"] = "scores"
    memory_format = torch.channels_last_3d

    def features(self, clips: Tensor) -> Tensor:
        """Features (N, D) float32 of clips (N, C, T, H, W), pooled over time and space by the backbone."""
        pooled = self.backbone(self._to_backbone(clips))  # (N, D)
        return pooled.float()  # type: ignore[no-any-return]

    def window_logits(self, clips: Tensor, *, crop_size: int) -> Tensor:
        """Logits of every window of the training crop's size: the classifier as a 1x1x1 convolution (IG-65M Sec. 4.4).

        Ours: features are averaged over each window first, because the classifier was trained on such averages. The
        paper only says that the convolution has the classifier's weights.

        Args:
            clips: (N, C, T, H, W), normalised, any float dtype, H and W at least ``crop_size``.
            crop_size: pixels of the training crops.

        Returns:
            (N, P, K) float32, P windows; P = 1 for frames of ``crop_size``.
        """
        feature_map = self.backbone.feature_map(self._to_backbone(clips))  # type: ignore[operator]  # (N, D, h, w)
        sides = zip(feature_map.shape[2:], clips.shape[3:], strict=True)
        window = [min(count, max(1, round(count * crop_size / side))) for count, side in sides]
        pooled = functional.avg_pool2d(feature_map, window, stride=1)  # (N, D, h', w')
        return self.classify(pooled.flatten(2).transpose(1, 2))

    def _layout_on(self, device: torch.device) -> torch.memory_format:
        """Channels first for CSN on a GPU: on an H100, depthwise 3D convolutions are 2.2 to 6.5 times faster so."""
        is_depthwise = any(isinstance(module, nn.Conv3d) and module.groups > 1 for module in self.backbone.modules())
        return torch.contiguous_format if device.type == "cuda" and is_depthwise else torch.channels_last_3d

    def _to_backbone(self, clips: Tensor) -> Tensor:
        if self.flow_pairs:
            clips = stack_pairs(clips, self.flow_pairs)
        return clips.to(self._dtype).contiguous(memory_format=self.memory_format)
