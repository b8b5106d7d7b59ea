"""The video models of other libraries, by name."""

from collections.abc import Iterable

from omnicli.models.video.library_model import LibraryConfig
from omnicli.models.video.torchvision_video import TORCHVISION_VIDEO
from omnicli.models.video.transformers_video import TRANSFORMERS_VIDEO


def library_names() -> Iterable[str]:
    """All names."""
    return [*TORCHVISION_VIDEO, *TRANSFORMERS_VIDEO]


def library_config(name: str) -> LibraryConfig | None:
    """The configuration of a video model of another library; None for other names."""
    return TORCHVISION_VIDEO.get(name) or TRANSFORMERS_VIDEO.get(name)
