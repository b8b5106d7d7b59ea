"""The input that a model was published with: normalisation and sizes."""

from dataclasses import dataclass

from omnicli.models.architectures import backbone_name, default_input, find_config_3d
from omnicli.models.resnet3d_configs import ResNet3DConfig
from omnicli.models.video.library_model import LibraryConfig

Triple = tuple[float, float, float]

KINETICS_MEAN, KINETICS_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # RGB, 0-255, as in mmaction2
IPCSN_MEAN, IPCSN_STD = (
    (110.2008, 100.63983, 95.99475),
    (58.14765, 56.46975, 55.332195),
)  # RGB, 0-255, as released with ipCSN, R(2+1)D and torchvision's video models

# torchvision's video models and VMZ's; Ours: the short side of their 128x171 pixels, which keeps the aspect ratio
VIDEO_MEAN, VIDEO_STD = IPCSN_MEAN, IPCSN_STD
VIDEO_SHORT_SIDE, VIDEO_CROP_SIZE = 128, 112


@dataclass(frozen=True)
class PublishedInput:
    """Normalisation and sizes.

    Attributes:
        mean: RGB, 0-255.
        std: RGB, 0-255.
        crop_size: pixels of the square input.
        short_side: pixels that the short side is resized to; None: 8/7 of the crop.
    """

    mean: Triple
    std: Triple
    crop_size: int = 224
    short_side: int | None = None


def published_input(name: str, config: LibraryConfig | None = None) -> PublishedInput:
    """The input of an architecture, or that of another library's ``config`` of it. Raises UsageError: it is unknown."""
    config = config or find_config_3d(name)  # type: ignore[assignment]
    if isinstance(config, LibraryConfig):
        return PublishedInput(config.mean, config.std, config.crop_size, config.short_side)
    if config is None:
        return PublishedInput(*default_input(backbone_name(name)))
    if name.startswith("torchvision-"):
        return PublishedInput(VIDEO_MEAN, VIDEO_STD, VIDEO_CROP_SIZE, VIDEO_SHORT_SIDE)
    size = config.crop_size if isinstance(config, ResNet3DConfig) else 224
    if name.startswith(("ipcsn-", "r2plus1d-r")):
        return PublishedInput(IPCSN_MEAN, IPCSN_STD, size)
    return PublishedInput(KINETICS_MEAN, KINETICS_STD, size)
