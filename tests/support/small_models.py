"""A small model of each family, with random weights in which a swap shows."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from tiny_torchvision import tiny_config

from omnicli.models.architectures import new_model
from omnicli.models.factory import ModelSpec, model_spec
from omnicli.models.loading import open_model
from omnicli.models.recogniser import Recogniser
from omnicli.models.video.torchvision_video import TORCHVISION_VIDEO

CLASSES = ["archery", "żeglarstwo", "rock climbing", "x"]
NAMES = {  # by family
    "tsn": "tsn-resnet10t", "efficientnet": "tsn-tf_efficientnet_lite0", "tsm": "tsm-resnet18",
    "slowonly": "slowonly-r18w16", "i3d": "i3d-r50", "r2plus1d": "r2plus1d-r18", "ircsn": "ircsn-r50",
    "slowfast": "slowfast-r50",
}  # fmt: skip
TRANSFORMERS = ("videomae", "timesformer", "vivit", "vjepa2")
TORCHVISION = ("mvit", "swin3d")
FAMILIES = [*NAMES, *TORCHVISION, *TRANSFORMERS, "siglip"]


def small_model(family: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Recogniser, ModelSpec]:
    """The network, in ``eval`` mode, and its description; of open_clip and transformers from files in ``folder``."""
    torch.manual_seed(3)
    if family in TORCHVISION:
        name = f"torchvision-{family}_tiny"
        monkeypatch.setitem(TORCHVISION_VIDEO, name, tiny_config(name))
    if family in TRANSFORMERS:
        from tiny_transformers import save_folder

        save_folder(folder / "published", family, CLASSES)
        opened = open_model(folder / "published")
        return opened.network, opened.spec
    if family == "siglip":
        return _zero_shot(folder)
    name = NAMES.get(family, f"torchvision-{family}_tiny")
    spec = replace(model_spec(name, classes=CLASSES), short_side=36, crop_size=32, num_segments=3)
    if family in NAMES:
        side = 64 if family == "slowfast" else 32
        spec = replace(spec, crop_size=side, short_side=side + 8, num_segments=3 if name.startswith("ts") else 1)
    network = new_model(name, len(CLASSES), fc_std=1.0)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(cast(torch.Tensor, module.running_mean), std=0.1)
    return network.eval(), spec


def _zero_shot(folder: Path) -> tuple[Recogniser, ModelSpec]:
    from made_clip import published

    from omnicli.models.clip.published import open_published
    from omnicli.stages.zero_shot import zero_shot

    pytest.importorskip("open_clip", reason="needs pip install 'omnicli[clip]'")
    zero_shot(CLASSES, model=open_published(str(published(folder / "Tiny", "siglip"))), out=folder / "zero.pth")
    opened = open_model(folder / "zero.pth")
    return opened.network, opened.spec
