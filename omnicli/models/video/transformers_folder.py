"""A model folder of transformers, read as data: configuration, preprocessing, class names, licence, weights.

Nothing in the folder is executed. A folder that names code (``auto_map``), an adapter or a quantiser is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from omnicli.errors import ModelError
from omnicli.models.checkpoint import load_weights
from omnicli.models.licences import licence_of
from omnicli.models.model_files import CONFIG, digest_of_model, weight_files
from omnicli.models.video.library_model import LibraryConfig, Triple
from omnicli.models.video.transformers_video import CLASS_NAMES, PREFIX, checked_options, configured

PREPROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")
MAX_JSON_BYTES = 32 << 20
CODE_KEYS = (  # by which a folder asks for modules in it, for kernels of a hub, or for another library
    "auto_map", "custom_pipelines", "trust_remote_code", "quantization_config", "_attn_implementation",
    "attn_implementation", "kernel_config",
)  # fmt: skip


@dataclass(frozen=True)
class ModelFolder:
    """What a folder says of its model.

    Attributes:
        path: of the folder, as given.
        family: ``videomae``, ``timesformer``, ``vivit`` or ``vjepa2``.
        config: how it is built, and its input.
        classes: names in the order of the logits; None if it has none, or only numbered ones.
        num_classes: that its configuration states.
    """

    path: str
    family: str
    config: LibraryConfig
    classes: tuple[str, ...] | None
    num_classes: int

    @property
    def name(self) -> str:
        """The architecture."""
        return f"{PREFIX}{self.family}"

    def weights(self) -> tuple[dict[str, Tensor], str]:
        """All weights, and the SHA-256 over the digests of their files. Raises ModelError."""
        weights: dict[str, Tensor] = {}
        for file in weight_files(Path(self.path)):
            weights |= load_weights(file)
        return weights, digest_of_model(self.path)


def read_folder(path: str | Path) -> ModelFolder:
    """What is needed of a folder, without its weights.

    Raises:
        ModelError: not a folder of one of the four families, damaged, or one that names code.
        UsageError: transformers is not installed.
    """
    folder = Path(path)
    fields = _read_json(folder / CONFIG)
    family = fields.get("model_type")
    if not isinstance(family, str) or family not in CLASS_NAMES:
        raise ModelError(f"{path}: model_type {family!r}; expected one of {', '.join(CLASS_NAMES)}")
    for file in (folder / name for name in (CONFIG, *PREPROCESSORS)):
        _refuse_code(file)
    if (folder / "adapter_config.json").exists():
        raise ModelError(f"{path}: holds an adapter (adapter_config.json); merge it into the model first")
    config = configured(family, checked_options(family, fields, path=str(folder / CONFIG)))
    names = _class_names(fields)
    config = replace(_with_preprocessing(config, folder), licence=licence_of(folder))
    return ModelFolder(str(path), family, config, names, len(fields.get("id2label") or ()) or 2)


def _refuse_code(file: Path) -> None:
    """Raise ModelError if a file of the folder asks for code that is not omni's or transformers' own."""
    if not file.exists():
        return
    fields = _read_json(file)
    for name in CODE_KEYS:
        if fields.get(name) not in (None, "", {}, False, "eager", "sdpa"):
            raise ModelError(f"{file}: {name} asks for other code than transformers' own; omni runs none")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_JSON_BYTES:
            raise ModelError(f"{file}: larger than {MAX_JSON_BYTES >> 20} MiB")
        fields = json.loads(file.read_bytes())
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise ModelError(f"{file}: not valid JSON") from None
    if not isinstance(fields, dict):
        raise ModelError(f"{file}: expected a JSON object")
    return fields


def _class_names(fields: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Names by number; None for those that transformers makes up (``LABEL_0``). Raises ModelError."""
    labels = fields.get("id2label") or {}
    try:
        ordered = [labels[key] for key in sorted(labels, key=int)]
        is_whole = [int(key) for key in sorted(labels, key=int)] == [*range(len(labels))]
    except (TypeError, ValueError, AttributeError):
        raise ModelError(f"{CONFIG}: id2label does not map numbers to names") from None
    if not is_whole or not all(isinstance(name, str) for name in ordered):
        raise ModelError(f"{CONFIG}: id2label does not map 0, 1, ... to names")
    return None if not ordered or all(name.startswith("LABEL_") for name in ordered) else tuple(ordered)


def _with_preprocessing(config: LibraryConfig, folder: Path) -> LibraryConfig:
    """With normalisation and sizes of the folder's processor: y = (x f - offset - m) / s as mean and std on 0-255."""
    file = next((folder / name for name in PREPROCESSORS if (folder / name).exists()), None)
    if file is None:
        return config
    fields = _read_json(file)
    try:
        factor = float(fields.get("rescale_factor", 1 / 255)) if fields.get("do_rescale", True) else 1.0
        offset = 1.0 if fields.get("offset", False) else 0.0
        mean, std = fields.get("image_mean"), fields.get("image_std")
        if not fields.get("do_normalize", True):
            mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        size = fields.get("size")
        side = size.get("shortest_edge", size.get("height")) if isinstance(size, dict) else size
        return replace(
            config,
            mean=config.mean if mean is None else _triple([(float(value) + offset) / factor for value in mean]),
            std=config.std if std is None else _triple([float(value) / factor for value in std]),
            short_side=max(int(side or config.short_side), config.crop_size),
        )
    except (TypeError, ValueError, ZeroDivisionError, AttributeError) as error:
        raise ModelError(f"{file}: not the preprocessing of a video model ({error})") from None


def _triple(values: list[float]) -> Triple:
    red, green, blue = (round(value, 6) for value in values)
    return red, green, blue
