"""What the initial weights of a training decide: its architecture, its input, their licence."""

from dataclasses import replace
from typing import Any

from omnicli.models.architectures import find_config_3d
from omnicli.models.checkpoint import Checkpoint, load_any
from omnicli.models.factory import spec_of
from omnicli.models.model_files import is_model_folder
from omnicli.models.video.library_model import LibraryConfig
from omnicli.models.video.transformers_folder import read_folder


def stored_options(path: str) -> dict[str, Any]:
    """Values of ``--model``, frames and sizes stored in a checkpoint of omni; empty for any other file.

    Raises:
        ModelError: the file cannot be read.
    """
    if is_model_folder(path):
        return {"model": read_folder(path).name}
    checkpoint = load_any(path)
    if not isinstance(checkpoint, Checkpoint):
        return {}
    spec = spec_of(checkpoint)
    frames = ("num_frames", "frame_interval") if find_config_3d(spec.name) else ("num_segments",)
    stored = {"model": spec.name} | {name: getattr(spec, name) for name in (*frames, "short_side", "crop_size")}
    if spec.flow_pairs:
        stored |= {"modality": "flow"} | ({} if find_config_3d(spec.name) else {"num_frames": spec.flow_pairs})
    return stored


def published_config(init: str) -> LibraryConfig | None:
    """The configuration of another library's model that training starts from; None for other initial weights.

    Raises:
        ModelError: the file cannot be read.
    """
    if init in ("scratch", "imagenet"):
        return None
    if is_model_folder(init):
        return read_folder(init).config
    checkpoint = load_any(init)
    spec = spec_of(checkpoint) if isinstance(checkpoint, Checkpoint) else None
    config = find_config_3d(spec.name) if spec else None
    if spec is None or not isinstance(config, LibraryConfig):
        return None
    return replace(
        config, mean=spec.mean, std=spec.std, num_frames=spec.num_frames, frame_interval=spec.frame_interval,
        short_side=spec.short_side, crop_size=spec.crop_size, options=spec.library or {}, licence=spec.licence,
    )  # fmt: skip
