"""Small video models of torchvision with random weights, under names that omni is told for a test."""

from dataclasses import replace
from typing import Any

from torchvision.models.video.mvit import MSBlockConfig, MViT
from torchvision.models.video.swin_transformer import SwinTransformer3d

from omnicli.models.video.library_model import LibraryConfig
from omnicli.models.video.torchvision_video import TORCHVISION_VIDEO, without_classifier


def tiny_mvit(num_classes: int = 400) -> Any:
    blocks = [
        MSBlockConfig(1, 8, 16, [3, 3, 3], [3, 3, 3], [1, 1, 1], [1, 4, 4]),
        MSBlockConfig(2, 16, 16, [3, 3, 3], [3, 3, 3], [1, 2, 2], [1, 2, 2]),
    ]
    return MViT((32, 32), 4, blocks, True, False, True, True, num_classes=num_classes, stochastic_depth_prob=0.1)


def tiny_swin3d(num_classes: int = 400) -> Any:
    return SwinTransformer3d([2, 4, 4], 8, [1, 1], [1, 2], [2, 4, 4], num_classes=num_classes)


TINY = {"torchvision-mvit_tiny": tiny_mvit, "torchvision-swin3d_tiny": tiny_swin3d}


def tiny_config(name: str) -> LibraryConfig:
    return replace(
        TORCHVISION_VIDEO["torchvision-swin3d_t"], build=lambda options: without_classifier(TINY[name]()),
        num_frames=4, short_side=36, crop_size=32, num_clips=2,
    )  # fmt: skip
