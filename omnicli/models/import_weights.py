"""Models from other codebases' weights: finds the architecture and the input it was trained on."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from omnicli.errors import ModelError
from omnicli.models.architectures import find_config_3d, new_model
from omnicli.models.factory import ModelSpec, empty_model, load_exactly, model_spec
from omnicli.models.flow_spec import STEMS, flow_spec, pairs_in
from omnicli.models.libraries import library
from omnicli.models.mmaction2_config import check_same_network, read_config, takes_bgr, timm_backbone, with_input
from omnicli.models.published_input import (
    KINETICS_MEAN,
    KINETICS_STD,
    VIDEO_CROP_SIZE,
    VIDEO_MEAN,
    VIDEO_SHORT_SIDE,
    VIDEO_STD,
)
from omnicli.models.recogniser import Recogniser
from omnicli.models.resnet3d_configs import RESNET3D_CONFIGS
from omnicli.models.slowfast import SLOWFAST_CONFIGS
from omnicli.models.video.library_model import LibraryConfig
from omnicli.models.video.torchvision_video import candidates
from omnicli.models.weight_names import bare_names, is_tsm, recognise_layout, to_omni

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
# candidates for a 2D backbone other than a ResNet, in this order; all others need --model
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

NUM_IMAGENET_CLASSES = 1000
NO_CLASSES = "names no classes; --classes FILE must list one per line, in training order (omni convert stores them)"
CAFFE_STD = (1.0, 1.0, 1.0)

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
    meta: Mapping[Any, Any] = MappingProxyType({}),
) -> tuple[Recogniser, ModelSpec]:
    """The model of weights of any layout, on the CPU, in ``eval`` mode.

    Normalisation is mmaction2's for the layouts of mmaction2 and old mmaction, else timm's or torchvision's.

    Args:
        weights: tensors by the names in the file.
        path: of the file, for messages.
        classes: (K,) names, in the order of the logits.
        name: architecture; None infers it.
        num_segments: of a 2D model; default as published.
        num_frames: per clip; default as published.
        frame_interval: of a clip; default as published.
        meta: of a file of mmaction2, which may hold the config of its training.

    Raises:
        UsageError: unknown architecture ``name``.
        ModelError: the architecture cannot be inferred, the weights do not fit it, its config is of another network,
            there is no classifier, or the classifier has another number of classes.
    """
    theirs = bare_names(weights)
    ours = to_omni(theirs)
    flow_pairs = pairs_in(ours)
    config = read_config(meta)
    name = name or timm_backbone(config)
    name = name or infer_name(ours, is_shifted=is_tsm(theirs), path=path, flow_pairs=flow_pairs)
    spec = model_spec(
        name, classes=classes, num_segments=num_segments, num_frames=num_frames, frame_interval=frame_interval
    )
    layout, is_caffe = recognise_layout(theirs), name.endswith("-bninception")
    if layout in ("mmaction", "mmaction2") and find_config_3d(name) is None and not is_caffe:
        spec = replace(spec, mean=KINETICS_MEAN, std=KINETICS_STD)
    elif layout in ("torchvision-video", "vmz") and not isinstance(find_config_3d(name), LibraryConfig):
        spec = replace(spec, mean=VIDEO_MEAN, std=VIDEO_STD)
        if "csn-" not in name:
            spec = replace(spec, short_side=VIDEO_SHORT_SIDE, crop_size=VIDEO_CROP_SIZE)
    if flow_pairs:
        spec = flow_spec(spec, flow_pairs)
        spec = replace(spec, std=CAFFE_STD) if is_caffe else spec
    elif takes_bgr(config) is not None and takes_bgr(config) != (is_caffe and layout == "mmaction"):
        ours = _other_colour_order(ours, path)
    check_same_network(spec, config, path=path)
    spec = with_input(spec, config)
    _check_classifier(ours, classes, path=path)
    model = empty_model(spec)
    load_exactly(model, ours, path=path, what=name)
    return model.to(memory_format=model.memory_format).eval(), spec


def _other_colour_order(weights: Mapping[str, Tensor], path: str) -> dict[str, Tensor]:
    """Weights whose first layer takes RGB instead of BGR, or the other way round. Raises ModelError: it is unknown."""
    stem = next((f"backbone.{stem}" for stem in STEMS if f"backbone.{stem}" in weights), None)
    if stem is None:
        raise ModelError(f"{path}: its config takes BGR, and the first layer is unknown, which must be turned to RGB")
    return {**weights, stem: weights[stem].flip(1)}


def infer_name(weights: Mapping[str, Tensor], *, is_shifted: bool, path: str, flow_pairs: int = 0) -> str:
    """The first architecture whose backbone weights have these names and shapes.

    Args:
        weights: by omni's names.
        is_shifted: True for a TSM, whose weights equal a TSN's.
        path: for messages.
        flow_pairs: pairs of optical flow that the first layer takes; 0 for RGB.

    Raises:
        ModelError: none fits; the message names the differences from the nearest.
    """
    shapes = _shapes_of(weights)
    nearest, differing = "", ["no backbone layers"] if not shapes else []
    for name in _candidates(shapes, is_shifted=is_shifted):
        wanted = shapes_of_backbone(name, flow_pairs)
        if wanted == shapes:
            _warn_of_twin(name, path)
            return name
        differences = _differences(shapes, wanted)
        if not nearest or len(differences) < len(differing):
            nearest, differing = name, differences
    what = f"not {nearest}: " if nearest else ""
    raise ModelError(
        f"{path}: the architecture cannot be inferred from the weights ({what}{'; '.join(differing[:3])}"
        f"{f' and {len(differing) - 3} more' if len(differing) > 3 else ''}); give --model"
    )


def _warn_of_twin(name: str, path: str) -> None:
    """Say that weights that came from TensorFlow (``tf_``) have the shapes of others, which pad otherwise."""
    twin = name.replace("-tf_", "-", 1)
    if twin != name and library("timm").is_model(twin.partition("-")[2]):
        warnings.warn(
            f"{path}: the weights fit {name} and {twin}, which differ in padding and scores; taken is the first; "
            "--model says which it is",
            stacklevel=3,
        )


@cache
def shapes_of_backbone(name: str, flow_pairs: int = 0) -> Shapes:
    """Names and shapes of a backbone's weights without ``num_batches_tracked``; allocates no weights."""
    with torch.device("meta"):
        model = new_model(name, 1, flow_pairs=flow_pairs)
    return _shapes_of(model.state_dict())


def _candidates(shapes: Shapes, *, is_shifted: bool) -> Iterator[str]:
    is_3d = any(len(shape) == 5 for shape in shapes.values())
    if any(name.startswith("backbone.slow_path.") for name in shapes):
        yield from SLOWFAST_CONFIGS
    elif published := candidates(shapes):
        yield from published
    elif is_3d:
        num_blocks = tuple(_num_blocks(shapes, layer) for layer in range(1, 5))
        yield from (name for name, config in RESNET3D_CONFIGS.items() if config.num_blocks == num_blocks)
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


def check_can_score(weights: Mapping[str, Tensor], *, path: str, num_classes: int) -> None:
    """Refuse the weights of a backbone, those of ImageNet above all, where a trained model is needed.

    Args:
        weights: tensors by the names in the file.
        path: of the file, for messages.
        num_classes: number of class names that are known; 0 if none are.

    Raises:
        ModelError: there is no classifier; or that of ImageNet, and the classes are others.
    """
    classifier = to_omni(weights).get("fc.weight")
    if classifier is None or classifier.ndim != 2:
        why = "no classifier, so the model cannot score"
    elif classifier.shape[0] == NUM_IMAGENET_CLASSES != num_classes:
        why = f"scores the {NUM_IMAGENET_CLASSES:,} classes of ImageNet"
    else:
        return
    raise ModelError(
        f"{path}: {why}: these are weights of a backbone; train a teacher on your classes with omni "
        "teacher-train --init FILE (omni features and dedup take the file as --weights)"
    )


def _check_classifier(weights: Mapping[str, Tensor], classes: Sequence[str], *, path: str) -> None:
    check_can_score(weights, path=path, num_classes=len(classes))
    num_scored = weights["fc.weight"].shape[0]
    if num_scored != len(classes):
        raise ModelError(
            f"{path}: scores {num_scored:,} classes, but {len(classes):,} names were given; --classes FILE "
            "must list one class name per line, in training order"
        )
