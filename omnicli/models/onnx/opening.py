"""The model in an ONNX program: its description, from what ``omni convert`` wrote or from options.

A program of another tool names neither classes nor preprocessing. Its sizes are those of its input; class names, and
for clips the distance between frames, are given. ``--model NAME`` names the architecture whose published preprocessing
it has. Ours: without it, that is ImageNet's mean and std, and a short side of 8/7 of the input.
"""

import warnings
from collections.abc import Mapping, Sequence

from omnicli.errors import ModelError, UsageError
from omnicli.models.architectures import find_config_3d
from omnicli.models.factory import ModelSpec, model_spec
from omnicli.models.import_weights import NO_CLASSES
from omnicli.models.onnx.onnx_model import OnnxModel, axes_of, sizes_of
from omnicli.models.onnx.program import Program
from omnicli.models.published_input import KINETICS_MEAN, KINETICS_STD, published_input

UNKNOWN = "onnx"  # the architecture of a program of another tool
DEFAULT_SIDE, DEFAULT_FRAMES, DEFAULT_SEGMENTS = 224, 16, 3


def model_of(program: Program, spec: ModelSpec) -> OnnxModel:
    """The model of a program with a known description. Raises ModelError: they do not fit each other."""
    is_images = len(program.images.shape) == 4
    is_2d = is_images or spec.name.startswith("tsm-")
    model = OnnxModel(program, is_2d=is_2d, flow_pairs=spec.flow_pairs)
    frames = spec.num_segments if is_2d else spec.num_frames
    own = {"H": spec.crop_size, "W": spec.crop_size, "T": frames}
    for axis, size in sizes_of(program, model.axes).items():
        if axis in own and size not in (None, own[axis]):
            raise ModelError(f"{program.path}: input {program.images} does not fit {spec.name}: {axis} is {own[axis]}")
    num_classes = program.logits.shape[1]
    if num_classes not in (None, len(spec.classes)):
        raise ModelError(
            f"{program.path}: scores {num_classes:,} classes, but {len(spec.classes):,} names were given; --classes "
            "FILE must list one class name per line, in training order"
        )
    return model


def described(
    program: Program,
    *,
    name: str | None,
    classes: Sequence[str] | None,
    num_segments: int | None,
    num_frames: int | None,
    frame_interval: int | None,
) -> ModelSpec:
    """The description of a program of another tool, from options.

    Raises:
        UsageError: unknown architecture ``name``, or frames that the program does not take.
        ModelError: classes are missing, or for clips the distance between frames.
    """
    if not classes:
        raise ModelError(f"{program.path}: {NO_CLASSES}")
    sizes = sizes_of(program, axes_of(program))
    side, is_images = _side_of(program, sizes), "T" not in sizes
    if not is_images and num_frames not in (None, sizes["T"] or num_frames):
        raise UsageError(f"--num-frames {num_frames}: {program.path} takes {sizes['T']} frames; remove it")
    if name:
        return _published(program, sizes, name, classes, side, num_segments, num_frames, frame_interval)
    if not is_images and frame_interval is None:
        raise ModelError(
            f"{program.path}: does not say how far apart the frames of a clip are; give --frame-interval N, or --model "
            "NAME for the input of an architecture"
        )
    side = side or DEFAULT_SIDE
    spec = ModelSpec(
        UNKNOWN, tuple(classes), KINETICS_MEAN, KINETICS_STD, round(side * 8 / 7), side,
        num_segments=num_segments or DEFAULT_SEGMENTS if is_images else 1,
        num_frames=1 if is_images else num_frames or sizes["T"] or DEFAULT_FRAMES, frame_interval=frame_interval or 1,
    )  # fmt: skip
    mean, std = (", ".join(f"{value:g}" for value in triple) for triple in (spec.mean, spec.std))
    warnings.warn(
        f"{program.path}: states no preprocessing: taken are {side} pixels of a short side of {spec.short_side}, mean "
        f"{mean}, std {std}; --model NAME takes those of an architecture",
        stacklevel=2,
    )
    return spec


def _published(
    program: Program, sizes: Mapping[str, int | None], name: str, classes: Sequence[str], side: int | None,
    num_segments: int | None, num_frames: int | None, frame_interval: int | None,
) -> ModelSpec:  # fmt: skip
    """The description with the published input of an architecture."""
    is_images = "T" not in sizes
    is_clips = find_config_3d(name) is not None
    if (is_clips or name.startswith("tsm-")) == is_images:
        kind = "images" if is_images else "clips"
        raise UsageError(f"--model {name}: {program.path} takes {kind}, input {program.images}; name another")
    frames = None if is_images else sizes["T"]
    return model_spec(
        name, classes=classes, num_segments=num_segments or (None if is_clips else frames),
        num_frames=num_frames or (frames if is_clips else None), frame_interval=frame_interval,
        crop_size=None if side in (None, published_input(name).crop_size) else side,
    )  # fmt: skip


def _side_of(program: Program, sizes: Mapping[str, int | None]) -> int | None:
    """The side of the square input, None if it takes any. Raises ModelError: it is no square."""
    height, width = sizes["H"], sizes["W"]
    if height != width:
        raise ModelError(f"{program.path}: input {program.images} is not a square, and omni takes squares")
    return height
