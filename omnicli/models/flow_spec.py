"""Models of optical flow as specs: what they take, and which files hold them."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from omnicli.errors import UsageError
from omnicli.models.architectures import find_config_3d
from omnicli.models.factory import ModelSpec
from omnicli.models.flow_stem import RGB_CHANNELS, STACKED_PAIRS
from omnicli.models.resnet3d_configs import ResNet3DConfig

MEAN_AND_STD = (128.0, 128.0, 128.0)  # of both, as in mmaction2
STEMS = ("conv1.weight", "conv1.conv_s.weight", "conv1_7x7_s2.weight", "conv_stem.weight", "features.conv0.weight")


def flow_spec(spec: ModelSpec, num_pairs: int | None = None) -> ModelSpec:
    """The spec of the same architecture for flow. Raises UsageError: it takes RGB alone.

    Args:
        spec: for RGB.
        num_pairs: pairs of flow in a snippet of a 2D model; default 5. A 3D model takes one after the other.
    """
    check_takes_flow(spec.name)
    flow_pairs = 1 if find_config_3d(spec.name) else num_pairs or STACKED_PAIRS
    return replace(spec, flow_pairs=flow_pairs, mean=MEAN_AND_STD, std=MEAN_AND_STD)


def check_takes_flow(name: str) -> None:
    """Raises UsageError: the architecture takes RGB alone. Ours: flow is for TSN, and for 3D models of one pathway."""
    if not name.startswith("tsn-") and not isinstance(find_config_3d(name), ResNet3DConfig):
        raise UsageError(f"--modality flow: {name} takes RGB; give a TSN, such as tsn-resnet50, or i3d-r50")


def pairs_in(weights: Mapping[str, Tensor]) -> int:
    """Pairs of flow that the first layer of these weights, by omni's names, takes at once; 0 for RGB."""
    shapes = [weights[f"backbone.{stem}"].shape for stem in STEMS if f"backbone.{stem}" in weights]
    if not shapes or len(shapes[0]) < 4:  # of a damaged file, which is refused later
        return 0
    return shapes[0][1] // 2 if shapes[0][1] not in (1, RGB_CHANNELS) else 0
