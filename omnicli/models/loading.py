"""A trained model ready to score."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from omnicli.errors import ModelError, UsageError
from omnicli.models.checkpoint import Checkpoint, Weights, load_any
from omnicli.models.factory import ModelSpec, build_model, create_model, model_spec
from omnicli.models.folding import fold_batch_norms
from omnicli.models.import_weights import build_foreign
from omnicli.models.recogniser import ClipModel, Recogniser


@dataclass(frozen=True)
class LoadedModel:
    """A model in ``eval`` mode on its device, with all that scoring takes.

    Attributes:
        network: maps clips (N, C, S, H, W) to logits (N, K) float32.
        spec: input, normalisation, classes.
        temperature: logits are divided by it before the softmax; 1.0 where none was fitted.
        sha256: digest of the checkpoint.
        name: the checkpoint's path as given.
        device: where ``network`` is.
        precision: dtype its backbone computes in.
        backbone: digest of the file that a frozen backbone came from, "" for ImageNet's weights; None where it has
            learnt.
    """

    network: Recogniser
    spec: ModelSpec
    temperature: float
    sha256: str
    name: str
    device: torch.device
    precision: torch.dtype
    backbone: str | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """(K,) class names, in the order of the logits."""
        return self.spec.classes


@dataclass(frozen=True)
class OpenedModel:
    """A model as its file has it.

    Attributes:
        network: in ``eval`` mode, on the CPU, in float32.
        spec: input, normalisation, classes.
        temperature: fitted for its scores; None where there is none.
        found: the file.
    """

    network: Recogniser
    spec: ModelSpec
    temperature: float | None
    found: Checkpoint | Weights


def load_model(
    path: str | Path,
    device: torch.device | None = None,
    precision: torch.dtype = torch.float32,
    *,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    num_segments: int | None = None,
    num_frames: int | None = None,
    frame_interval: int | None = None,
) -> LoadedModel:
    """Read a checkpoint of ours or of another code and make it ready to score.

    Args:
        path: ours names all it needs; for others see ``foreign``.
        device: where it will run; default CPU.
        precision: dtype its backbone will compute in.
        name: architecture; None infers it.
        classes: (K,) names, in the order of the logits.
        num_segments: of a 2D model; default as published.
        num_frames: of a clip; default as published.
        frame_interval: of a clip; default as published.

    Raises:
        UsageError: no architecture of this ``name``; or ours was told what it knows itself.
        ModelError: the file is missing, damaged, holds code, or its weights do not fit; it is another code's that names
            no classes, and none were given; or it has other classes than those given.
    """
    device = device or torch.device("cpu")
    opened = open_model(
        path,
        name=name,
        classes=classes,
        num_segments=num_segments,
        num_frames=num_frames,
        frame_interval=frame_interval,
    )
    return LoadedModel(
        network=_ready(opened.network, opened.spec, device, precision),
        spec=opened.spec,
        temperature=1.0 if opened.temperature is None else opened.temperature,
        sha256=opened.found.sha256,
        name=str(path),
        device=device,
        precision=precision,
        backbone=_frozen_backbone(opened.found),
    )


def open_model(
    path: str | Path,
    *,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    num_segments: int | None = None,
    num_frames: int | None = None,
    frame_interval: int | None = None,
) -> OpenedModel:
    """Read a checkpoint of ours or of another code as it is; arguments and errors are those of ``load_model``."""
    found = load_any(path)
    if isinstance(found, Checkpoint):
        if name or num_frames or frame_interval:
            raise UsageError(
                f"{path}: knows its architecture; --model, --num-frames and --frame-interval are for others'"
            )
        model, spec = build_model(found)
        _check_same_classes(path, spec.classes, classes)
        return OpenedModel(model, spec, _checked_temperature(found), found)
    if classes is None and found.classes is None:
        raise ModelError(f"{path}: names no classes; --classes FILE lists them, one a line, in the order of training")
    if found.classes is not None and classes is not None and len(found.classes) == len(classes):
        _check_same_classes(path, found.classes, classes)  # names of another data set may be left in a file
    model, spec = build_foreign(
        found.state_dict,
        path=str(path),
        classes=classes or found.classes or (),
        name=name,
        num_segments=num_segments,
        num_frames=num_frames,
        frame_interval=frame_interval,
    )
    return OpenedModel(model, spec, None, found)


def load_extractor(
    backbone: str,
    weights: str | Path | None,
    device: torch.device | None = None,
    precision: torch.dtype = torch.float32,
) -> LoadedModel:
    """A timm backbone alone, ready to give features; it has no classes and its classifier means nothing.

    Args:
        backbone: timm's name, such as ``resnet50``.
        weights: a file of its weights; None downloads those of ImageNet.
        device: where it will run; default CPU.
        precision: dtype it will compute in.

    Raises:
        UsageError: timm has no such backbone.
        ModelError: the weights cannot be read or downloaded, or do not fit.
    """
    device = device or torch.device("cpu")
    name = f"tsn-{backbone}"
    model = create_model(name, num_classes=1, init=str(weights) if weights else "imagenet").eval()
    spec = model_spec(name, classes=())
    return LoadedModel(
        network=_ready(model, spec, device, precision),
        spec=spec,
        temperature=1.0,
        sha256="",
        name=str(weights or backbone),
        device=device,
        precision=precision,
    )


def _check_same_classes(path: str | Path, own: Sequence[str], given: Sequence[str] | None) -> None:
    """Names rule: a file that has them is not told others. Raises ModelError."""
    if given is not None and tuple(given) != tuple(own):
        raise ModelError(f"{path}: has other classes than --classes, or another order")


def _checked_temperature(checkpoint: Checkpoint) -> float | None:
    temperature = checkpoint.meta.get("temperature")
    if temperature is not None and not (isinstance(temperature, int | float) and temperature > 0):
        raise ModelError(
            f"{checkpoint.path}: damaged checkpoint (temperature {temperature!r}, expected a number above 0)"
        )
    return None if temperature is None else float(temperature)


def _frozen_backbone(found: Checkpoint | Weights) -> str | None:
    provenance = found.meta.get("provenance") if isinstance(found, Checkpoint) else None
    backbone = provenance.get("trunk") if isinstance(provenance, dict) else None
    return backbone if isinstance(backbone, str) else None


def _ready(model: Recogniser, spec: ModelSpec, device: torch.device, precision: torch.dtype) -> Recogniser:
    """The model on its device, batch-norms folded while it is still float32, then in its precision."""
    generator = torch.Generator().manual_seed(0)
    side = (spec.crop_size, spec.crop_size)  # some 2D backbones take no other
    shape = (1, 3, spec.num_frames, 64, 64) if isinstance(model, ClipModel) else (1, 3, *side)
    example = torch.randn(shape, generator=generator)
    model.backbone = fold_batch_norms(model.backbone, example)
    return model.to(device).set_precision(precision)
