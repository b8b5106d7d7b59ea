"""Whether a model takes clips of other sizes than the published ones, found without computing anything.

The network is run on PyTorch's meta device, where tensors have shapes and no numbers.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from omnicli.errors import UsageError
from omnicli.models.architectures import find_config_3d, new_model
from omnicli.models.clip.tower import is_clip
from omnicli.models.libraries import library as library_of
from omnicli.models.pretrained import TORCHVISION
from omnicli.models.resnet3d_configs import ResNet3DConfig
from omnicli.models.slowfast import SlowFastConfig
from omnicli.models.video.library_model import LibraryConfig

if TYPE_CHECKING:
    from omnicli.models.factory import ModelSpec

FEWEST_I3D = 5
Config3D = ResNet3DConfig | SlowFastConfig | LibraryConfig


def check_sizes(
    name: str,
    config: Config3D | None,
    *,
    num_frames: int | None,
    sides: tuple[int, int],
    published_side: int,
    library: Mapping[str, Any] | None = None,
) -> None:
    """Refuse frames and sides that a model cannot compute with.

    Args:
        name: of the architecture.
        config: of a 3D model; None for a 2D one.
        num_frames: that were asked for; None: the published ones.
        sides: height and width of the input.
        published_side: of the published square input, which is not questioned.
        library: what another library builds the model from, if not the defaults.

    Raises:
        UsageError: names the options.
    """
    if isinstance(config, LibraryConfig):
        config.check(name, num_frames, sides[0])
    usual = config.num_frames if config else 1
    frames = (num_frames or usual) if config else 1
    if isinstance(config, SlowFastConfig) and frames % config.tau:
        nearest = max(frames // config.tau, 1) * config.tau
        raise UsageError(f"--num-frames {frames}: {name} takes a multiple of {config.tau}: give {nearest}")
    if num_frames and isinstance(config, ResNet3DConfig) and config.has_time_pool and frames < FEWEST_I3D:
        raise UsageError(f"--num-frames {frames}: {name} takes {FEWEST_I3D} or more, as it halves them three times")
    is_usual = frames == usual and sides == (published_side, published_side)
    if is_usual or not _is_choosy(name, config):
        return
    library = config.options if library is None and isinstance(config, LibraryConfig) else library
    options = json.dumps(dict(library)) if library else ""
    why = _failure(name, frames, *sides, options)
    if why is None or _failure(name, usual, published_side, published_side, options) is not None:
        return
    clip = f"{frames} frames of " if config else ""
    raise UsageError(
        f"{name} cannot take {clip}{sides[1]} x {sides[0]} pixels ({why}); it was published with "
        f"{f'{usual} frames of ' if config else ''}{published_side} x {published_side}: change --num-frames, "
        "--crop-size or --crops"
    )


def _is_choosy(name: str, config: Config3D | None) -> bool:
    """Whether a model may not take every size; only such ones are tried, which takes seconds."""
    if config is not None:
        return isinstance(config, LibraryConfig) and not name.startswith("torchvision-swin3d")
    if is_clip(name):
        return True
    backbone = name.partition("-")[2]
    if backbone.startswith(TORCHVISION):
        return "vit_" in backbone
    own = (
        library_of("timm").get_pretrained_cfg(backbone, allow_unregistered=True) if backbone != "bninception" else None
    )
    return bool(own and own.fixed_input_size)


def check_view_sizes(spec: "ModelSpec", sides: tuple[int, int]) -> None:
    """Refuse views of these sides that a model cannot compute with. Raises UsageError."""
    config = find_config_3d(spec.name)
    if isinstance(config, LibraryConfig):
        config = replace(config, crop_size=spec.crop_size, options=spec.library or config.options)
    config = config and replace(config, num_frames=spec.num_frames)
    check_sizes(
        spec.name, config, num_frames=None, sides=sides, published_side=spec.crop_size, library=spec.library
    )  # fmt: skip


@cache
def _failure(name: str, frames: int, height: int, width: int, library: str) -> str | None:
    """What goes wrong with such a clip; None: nothing."""
    with torch.device("meta"), torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            model = new_model(name, 1, library=json.loads(library) if library else None).eval()
            model.features(torch.empty(1, 3, frames, height, width))
        except Exception as error:  # whatever a layer of another library raises
            return (str(error).strip() or type(error).__name__).splitlines()[0][:100]
    return None
