"""Models out of files that other codes wrote: which architecture their weights are, and what they eat."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from omnicli.errors import ModelError
from omnicli.models.architectures import find_config_3d, new_model
from omnicli.models.factory import (
    IPCSN_MEAN,
    IPCSN_STD,
    KINETICS_MEAN,
    KINETICS_STD,
    ModelSpec,
    load_exactly,
    model_spec,
    model_to_fill,
)
from omnicli.models.recogniser import Recogniser
from omnicli.models.resnet3d_configs import DESIGNS
from omnicli.models.slowfast import SLOWFAST_DESIGNS
from omnicli.models.weight_names import bare_names, recognise_layout, shifts, to_omni

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
# tried in turn when a 2D backbone is no ResNet; any other is found by --model
OTHER_BACKBONES = (
    *(f"tf_efficientnet_b{scale}" for scale in range(8)),
    "tf_efficientnet_lite0",
    "densenet121",
    "densenet161",
    "mobilenetv2_100",
    "swin_tiny_patch4_window7_224",
    "swin_small_patch4_window7_224",
    "swin_base_patch4_window7_224",
)

# of torchvision's video models; Ours: of their 128x171 pixels the short side, so that nothing is stretched
VIDEO_MEAN, VIDEO_STD = IPCSN_MEAN, IPCSN_STD
VIDEO_SHORT_SIDE, VIDEO_CROP_SIZE = 128, 112

Shapes = dict[str, tuple[int, ...]]


def build_foreign(
    weights: Mapping[str, Tensor],
    *,
    path: str,
    classes: Sequence[str],
    name: str | None = None,
    num_segments: int | None = None,
    num_frames: int | None = None,
    frame_interval: int | None = None,
) -> tuple[Recogniser, ModelSpec]:
    """The model that weights of any layout are, on the CPU, in ``eval`` mode.

    Normalisation is the architecture's own for weights of timm or torchvision, else mmaction's (CHECKPOINTS section 4).

    Args:
        weights: tensors by their own names.
        path: where they are from, for messages.
        classes: (K,) names, in the order of the logits; such files hold none.
        name: architecture; None infers it.
        num_segments: of a 2D model; default as published.
        num_frames: of a clip; default as published.
        frame_interval: of a clip; default as published.

    Raises:
        UsageError: no architecture of this ``name``.
        ModelError: the architecture cannot be inferred, the weights do not fit it, there is no classifier, or the
            classifier has another number of classes.
    """
    theirs = bare_names(weights)
    ours = to_omni(theirs)
    name = name or infer_name(ours, is_shifted=shifts(theirs), path=path)
    spec = model_spec(
        name, classes=classes, num_segments=num_segments, num_frames=num_frames, frame_interval=frame_interval
    )
    layout = recognise_layout(theirs)
    if layout in ("mmaction", "mmaction2") and find_config_3d(name) is None:
        spec = replace(spec, mean=KINETICS_MEAN, std=KINETICS_STD)
    elif layout == "torchvision-video":
        spec = replace(spec, mean=VIDEO_MEAN, std=VIDEO_STD, short_side=VIDEO_SHORT_SIDE, crop_size=VIDEO_CROP_SIZE)
    _check_classifier(ours, classes, path=path)
    model = model_to_fill(spec)
    load_exactly(model, ours, path=path, what=name)
    return model.to(memory_format=model.memory_format).eval(), spec


def infer_name(weights: Mapping[str, Tensor], *, is_shifted: bool, path: str) -> str:
    """The first architecture with the same names and shapes of backbone weights.

    Args:
        weights: by our names.
        is_shifted: they were named as a TSM's, which has the same weights as a TSN.
        path: for messages.

    Raises:
        ModelError: none fits; says what differs from the nearest.
    """
    shapes = _shapes_of(weights)
    nearest, differing = "", ["no layers of a backbone"] if not shapes else []
    for name in _candidates(shapes, is_shifted=is_shifted):
        wanted = shapes_of_backbone(name)
        if wanted == shapes:
            return name
        differences = _differences(shapes, wanted)
        if not nearest or len(differences) < len(differing):
            nearest, differing = name, differences
    what = f"not {nearest}: " if nearest else ""
    raise ModelError(
        f"{path}: its architecture cannot be told from its weights ({what}{'; '.join(differing[:3])}"
        f"{f' and {len(differing) - 3} more' if len(differing) > 3 else ''}); name it with --model"
    )


@cache
def shapes_of_backbone(name: str) -> Shapes:
    """Names and shapes of a backbone's weights, ``num_batches_tracked`` apart; takes no memory for them."""
    with torch.device("meta"):
        model = new_model(name, 1)
    return _shapes_of(model.state_dict())


def _candidates(shapes: Shapes, *, is_shifted: bool) -> Iterator[str]:
    is_3d = any(len(shape) == 5 for shape in shapes.values())
    if any(name.startswith("backbone.slow_path.") for name in shapes):
        yield from SLOWFAST_DESIGNS
    elif is_3d:
        num_blocks = tuple(_num_blocks(shapes, layer) for layer in range(1, 5))
        yield from (name for name, design in DESIGNS.items() if design.num_blocks == num_blocks)
    elif any(name.startswith("backbone.layer3.") for name in shapes):
        yield from (f"{'tsm' if is_shifted else 'tsn'}-{backbone}" for backbone in RESNETS)
    elif any(name.startswith("backbone.inception_") for name in shapes):
        yield "tsn-bninception"
    elif shapes:
        yield from (f"tsn-{backbone}" for backbone in OTHER_BACKBONES)


def _num_blocks(shapes: Shapes, layer: int) -> int:
    prefix = f"backbone.layer{layer}."
    return len({name.removeprefix(prefix).split(".")[0] for name in shapes if name.startswith(prefix)})


def _shapes_of(weights: Mapping[str, Tensor]) -> Shapes:
    return {
        name: tuple(tensor.shape)
        for name, tensor in weights.items()
        if name.startswith("backbone.") and not name.endswith("num_batches_tracked")
    }


def _differences(shapes: Shapes, wanted: Shapes) -> list[str]:
    missing = [f"{name} missing" for name in wanted if name not in shapes]
    unknown = [f"{name} unknown" for name in shapes if name not in wanted]
    other = [
        f"{name} is {shapes[name]}, expected {shape}"
        for name, shape in wanted.items()
        if name in shapes and shapes[name] != shape
    ]
    return other + missing + unknown


def _check_classifier(weights: Mapping[str, Tensor], classes: Sequence[str], *, path: str) -> None:
    classifier = weights.get("fc.weight")
    if classifier is None or classifier.ndim != 2:
        raise ModelError(f"{path}: has no classifier, so it cannot score; backbone weights are for --init")
    if classifier.shape[0] != len(classes):
        raise ModelError(
            f"{path}: scores {classifier.shape[0]:,} classes, but {len(classes):,} names were given; "
            f"--classes FILE lists them, one a line, in the order of its training"
        )
