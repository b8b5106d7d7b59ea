"""The video models of other libraries, by name."""

from collections.abc import Iterable
from typing import Any

from omnicli.models.video.library_model import LibraryConfig
from omnicli.models.video.torchvision_video import TORCHVISION_VIDEO
from omnicli.models.video.transformers_video import TRANSFORMERS_VIDEO


def library_names() -> Iterable[str]:
    """All names."""
    return [*TORCHVISION_VIDEO, *TRANSFORMERS_VIDEO]


def library_config(name: str) -> LibraryConfig | None:
    """The configuration of a video model of another library; None for other names."""
    return TORCHVISION_VIDEO.get(name) or TRANSFORMERS_VIDEO.get(name)


def published_test(name: str, *, short_side: int, crop_size: int) -> dict[str, Any]:
    """Views of the published test of another library's model with this input, as arguments of ``ViewOptions``.

    Empty for other models.
    """
    config = library_config(name)
    if config is None:
        return {}
    tight = {"short_side": crop_size} if config.is_test_tight and short_side != crop_size else {}
    return {"num_clips": config.num_clips, "crops": config.crops, **tight}
