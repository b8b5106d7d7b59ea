"""The image tower of a CLIP or SigLIP model, with the embeddings of class names as its classifier.

The tower is built by open_clip from the options that a checkpoint stores. The feature of a frame is its embedding of
length 1; a video has the mean of its frames' features.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnicli.errors import ModelError, UsageError
from omnicli.extras import need
from omnicli.models.libraries import library
from omnicli.models.tsn import TSN

PREFIX = "clip-"
TOWER_OPTIONS = ("embed_dim", "vision_cfg", "quick_gelu")  # of a model in open_clip's registry
TINY_TEXT = {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}


class TextClassifier(nn.Linear):
    """logits = scale · fᵀ·text + shift + what training has learnt; before training that is zero.

    Ours: training learns the difference from the text classifier, so weight decay pulls towards the texts, not towards
    zero. What is learnt sees f times √D, numbers of unit variance, for which the learning rates of recipes were chosen.

    Attributes:
        text: (K, D) embeddings of the classes, of length 1; zero where training started without texts.
        scale: factor on the cosines.
        shift: of all logits; 0 for softmax models.
    """

    text: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
        self.register_buffer("text", torch.zeros(num_classes, num_features))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, K) of features (N, D)."""
        return self.by_texts(features) + functional.linear(self.seen(features), self.weight, self.bias)

    def by_texts(self, features: Tensor) -> Tensor:
        """Logits (N, K) before training."""
        return functional.linear(self.scale * features, self.text) + self.shift

    def seen(self, features: Tensor) -> Tensor:
        """What training sees of features (N, D), the same shape."""
        return features * math.sqrt(self.in_features)


class ClipTSN(TSN):
    """A TSN whose features of frames have length 1."""

    fc: TextClassifier

    def __init__(self, backbone: nn.Module, num_features: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__(backbone, num_features, num_classes, dropout)
        self.fc = TextClassifier(num_features, num_classes)

    def snippet_features(self, clips: Tensor) -> Tensor:
        """Features (N, S, D) float32 of every snippet of clips (N, C, S, H, W)."""
        return functional.normalize(super().snippet_features(clips), dim=-1)


def is_clip(name: str) -> bool:
    """Whether this is the name of a model of this module, such as ``clip-ViT-B-16-SigLIP2``."""
    return name.startswith(PREFIX)


def new_clip(name: str, options: Mapping[str, Any] | None, num_classes: int, dropout: float) -> ClipTSN:
    """A model with random weights.

    Args:
        name: for error messages.
        options: ``tower_options`` of a model; None for a name without a file.
        num_classes: K.
        dropout: before the classifier.

    Raises:
        UsageError: open_clip is missing, or ``options`` are.
        ModelError: open_clip cannot build such a tower.
    """
    if options is None:
        raise without_file(name)
    backbone = new_tower(options)
    return ClipTSN(backbone, int(options["embed_dim"]), num_classes, dropout)


def without_file(name: str) -> UsageError:
    """What is wrong with such a name alone."""
    return UsageError(f"--model {name}: its weights are in a checkpoint of omni zero-shot: give --init FILE alone")


def new_tower(options: Mapping[str, Any]) -> nn.Module:
    """An image tower with random weights. Raises ModelError, or UsageError if open_clip is missing."""
    open_clip = import_open_clip()
    check_options(options)
    try:
        return open_clip.CLIP(**options, text_cfg=TINY_TEXT).visual  # type: ignore[no-any-return]
    except (TypeError, ValueError, KeyError, AttributeError, AssertionError, RuntimeError, ZeroDivisionError) as error:
        raise ModelError(f"open_clip cannot build this image tower ({type(error).__name__}: {error})") from None


def tower_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """What builds the image tower, of a configuration of open_clip. Raises ModelError: not such a configuration."""
    options = {name: config[name] for name in TOWER_OPTIONS if name in config}
    check_options(options)
    return options


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what names code or files elsewhere, and towers that give more than one vector. Raises ModelError."""
    vision = options.get("vision_cfg")
    if not isinstance(vision, Mapping) or not isinstance(options.get("embed_dim"), int):
        raise ModelError("not a configuration of open_clip: expected embed_dim and vision_cfg")
    unknown = set(options) - set(TOWER_OPTIONS)
    if unknown:
        raise ModelError(f"not the configuration of an image tower: {', '.join(sorted(unknown))}")
    name = vision.get("timm_model_name")
    if name is not None and not (isinstance(name, str) and library("timm").is_model(name)):
        raise ModelError(f"timm_model_name {name!r}: not a model of timm; names of files and hubs are refused")
    if vision.get("timm_model_pretrained") or vision.get("output_tokens"):
        raise ModelError("timm_model_pretrained and output_tokens are not supported")


def import_open_clip() -> Any:
    """The library. Raises UsageError: it is not installed."""
    need("clip", "the image tower of omni zero-shot")
    return library("open_clip")
