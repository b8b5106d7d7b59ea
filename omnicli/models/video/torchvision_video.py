"""The video models of torchvision other than 3D ResNets, by its own classes: MViT, Video Swin and S3D.

Frames, sizes, normalisation and test views are those of the weights that torchvision publishes. Its 7.5 and 15 frames
per second are every 4th and every 2nd frame of a video of 30.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from omnicli.models.libraries import library
from omnicli.models.video.library_model import LibraryConfig

PREFIX = "torchvision-"
HEADS = ("head.1.", "head.", "classifier.1.")
# a name that only one of the three families has
MARKS = {
    "mvit": "pos_encoding.class_token",
    "swin3d": "features.0.0.attn.relative_position_bias_table",
    "s3d": "features.0.0.0.weight",
}


def build(name: str, options: Mapping[str, Any]) -> tuple[nn.Module, int]:
    """A model of torchvision without its classifier, and the number of its features; weights are random."""
    return without_classifier(library("torchvision.models").get_model(name, weights=None, **options))


def without_classifier(module: nn.Module) -> tuple[nn.Module, int]:
    """The module with an identity for its classifier, and the size of the classifier's input."""
    name = "head" if hasattr(module, "head") else "classifier"
    last = [layer for layer in getattr(module, name).modules() if isinstance(layer, nn.Linear | nn.Conv3d)][-1]
    setattr(module, name, nn.Identity())
    return module, int(last.weight.shape[1])


def is_video(names: Iterable[str]) -> bool:
    """Whether these are the names of one of the models here."""
    return not set(MARKS.values()).isdisjoint(names)


def family_of(names: Iterable[str]) -> str | None:
    """``mvit``, ``swin3d`` or ``s3d`` by the names of its weights; None for other models."""
    known = set(names)
    return next((family for family, mark in MARKS.items() if mark in known), None)


def to_ours(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Torchvision's weights under omni's names; S3D's 1x1x1 classifier (K, D, 1, 1, 1) becomes a linear one (K, D)."""
    renamed = {}
    for name, tensor in weights.items():
        head = next((head for head in HEADS if name in (f"{head}weight", f"{head}bias")), None)
        ours = f"fc.{name.removeprefix(head)}" if head else f"backbone.{name}"
        renamed[ours] = tensor.flatten(1) if head and tensor.ndim == 5 else tensor
    return renamed


MVIT = LibraryConfig(
    build=partial(build, "mvit_v2_s"), num_frames=16, frame_interval=4, num_clips=5, dropout=0.5, is_fixed=True,
    mean=(114.75, 114.75, 114.75), std=(57.375, 57.375, 57.375),
)  # fmt: skip
SWIN3D = LibraryConfig(build=partial(build, "swin3d_t"), num_frames=32, frame_interval=2, num_clips=12)
S3D = LibraryConfig(
    build=partial(build, "s3d"), num_frames=128, frame_interval=2, num_clips=1, dropout=0.2,
    mean=(110.2008, 100.63983, 95.99475), std=(58.14765, 56.46975, 55.332195),
)  # fmt: skip

TORCHVISION_VIDEO = {
    f"{PREFIX}mvit_v1_b": replace(MVIT, build=partial(build, "mvit_v1_b")),
    f"{PREFIX}mvit_v2_s": MVIT,
    f"{PREFIX}swin3d_t": SWIN3D,
    f"{PREFIX}swin3d_s": replace(SWIN3D, build=partial(build, "swin3d_s")),
    f"{PREFIX}swin3d_b": replace(SWIN3D, build=partial(build, "swin3d_b")),
    f"{PREFIX}s3d": S3D,
}


def candidates(names: Iterable[str]) -> list[str]:
    """The models here that weights of these names may be, with or without ``backbone.`` in front."""
    family = family_of(name.removeprefix("backbone.") for name in names)
    return [name for name in TORCHVISION_VIDEO if family and name.startswith(f"{PREFIX}{family}")]
