"""A video model of another library as a backbone and a classifier of ours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from omnicli.errors import UsageError
from omnicli.models.recogniser import ClipModel

Triple = tuple[float, float, float]
Build = Callable[[Mapping[str, Any]], tuple[nn.Module, int]]
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # RGB, 0-255


@dataclass(frozen=True, kw_only=True)
class LibraryConfig:
    """A video model of another library, as it was published.

    Attributes:
        build: from ``options`` to the backbone without classifier, which maps clips (N, C, T, H, W) to pooled features
            (N, D), and D.
        num_frames: frames per clip.
        frame_interval: source frames between them.
        mean: RGB, 0-255.
        std: RGB, 0-255.
        short_side: pixels to which the short side is resized.
        crop_size: pixels of the square input.
        num_clips: clips per video of its published test.
        crops: of each clip in its published test.
        is_test_tight: its published test resizes the short side to that of the crops, whatever ``short_side`` is.
        dropout: before the classifier.
        is_fixed: it takes no other number of frames and no other size.
        licence: of its weights, as their publisher states it; "" if unknown.
        options: what its library builds it from, as JSON values; a checkpoint remembers them.
    """

    build: Build
    num_frames: int
    frame_interval: int
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    short_side: int = 256
    crop_size: int = 224
    num_clips: int = 10
    crops: Literal["centre", "three"] = "centre"
    is_test_tight: bool = False
    dropout: float = 0.0
    is_fixed: bool = False
    licence: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def check(self, name: str, num_frames: int | None, crop_size: int | None) -> None:
        """Refuse another input of a model that takes only one. Raises UsageError."""
        given = {"--num-frames": (num_frames, self.num_frames), "--crop-size": (crop_size, self.crop_size)}
        for option, (value, own) in given.items():
            if self.is_fixed and value not in (None, own):
                raise UsageError(
                    f"{option} {value}: {name} takes {self.num_frames} frames of {self.crop_size} pixels; remove it"
                )


class LibraryModel(ClipModel):
    """A video model of another library; views are averaged after the softmax."""

    memory_format = torch.contiguous_format

    def _layout_on(self, device: torch.device) -> torch.memory_format:
        return torch.contiguous_format
