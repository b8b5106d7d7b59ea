"""Trained models, loaded from checkpoints of omni or of other codebases."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from omnicli.errors import ModelError, UsageError
from omnicli.models.checkpoint import Checkpoint, Weights, load_any
from omnicli.models.content import digest_of_backbone
from omnicli.models.factory import ModelSpec, build_model, create_model, model_spec, spec_of
from omnicli.models.folding import fold_by_shape
from omnicli.models.import_weights import NO_CLASSES, build_foreign, check_can_score
from omnicli.models.licences import say_licence
from omnicli.models.model_files import is_model_folder, local_path
from omnicli.models.onnx.onnx_model import OnnxModel
from omnicli.models.onnx.opening import described, model_of
from omnicli.models.pretrained import imagenet_weights
from omnicli.models.recogniser import ClipModel, ModelCompiler, Recogniser
from omnicli.models.tsm import ShiftedConv2d
from omnicli.models.video.folder_model import folder_classifier
from omnicli.models.video.library_model import LibraryModel
from omnicli.models.video.transformers_folder import read_folder


@dataclass(frozen=True)
class LoadedModel:
    """A trained model on its device, with what it needs to be applied: classes, input sizes, temperature, digest.

    Attributes:
        network: maps clips (N, C, S, H, W) to logits (N, K) float32.
        spec: architecture, input, normalisation, classes.
        temperature: divides the logits before the softmax; 1.0 if none was fitted.
        sha256: digest of the checkpoint.
        name: path of the checkpoint, as given.
        device: device of ``network``.
        precision: dtype of the backbone.
        backbone: SHA-256 of the weights of a backbone that was frozen in training, "" for ImageNet weights; None if it
            was trained.
        meta: JSON of the checkpoint; empty for another program's.
        reopen: builds the network again as it was before its batch-norms were folded; None: ``network`` is that.
        content: digest of the backbone, if it was asked for when the model was loaded.
        exact: the same model in float32 (``models.exact``); None without.
        compiler: makes programs of the network's functions (``inference.compiled``); None: they run as they are.
    """

    network: Recogniser
    spec: ModelSpec
    temperature: float
    sha256: str
    name: str
    device: torch.device
    precision: torch.dtype
    backbone: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    reopen: Callable[[], Recogniser] | None = None
    content: str = ""
    exact: "LoadedModel | None" = None
    compiler: ModelCompiler | None = None

    @cached_property
    def backbone_content(self) -> str:
        """The digest by which equal backbones are recognised (``models.content``), computed when it is asked for.

        Raises:
            ModelError: the file of the weights is gone.
        """
        if self.content:
            return self.content
        network = self.network if self.reopen is None else self.reopen()
        return digest_of_backbone(network.backbone, self.spec)

    @property
    def classes(self) -> tuple[str, ...]:
        """(K,) class names, in the order of the logits."""
        return self.spec.classes


@dataclass(frozen=True)
class OpenedModel:
    """A model as stored in its file.

    Attributes:
        network: in ``eval`` mode, on the CPU, in float32.
        spec: architecture, input, normalisation, classes.
        temperature: None if none was fitted.
        file: content of the file.
    """

    network: Recogniser
    spec: ModelSpec
    temperature: float | None
    file: Checkpoint | Weights


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
    with_content: bool = False,
) -> LoadedModel:
    """Load a checkpoint of omni or of another codebase for inference.

    Args:
        path: checkpoint. The other arguments describe a model of another codebase (see ``import_weights``).
        device: default CPU.
        precision: dtype of the backbone.
        name: architecture; None infers it.
        classes: (K,) names, in the order of the logits.
        num_segments: of a 2D model; default as published.
        num_frames: per clip; default as published.
        frame_interval: of a clip; default as published.
        with_content: compute ``backbone_content`` now, for which the model would be opened again later.

    Raises:
        UsageError: unknown architecture ``name``; or an argument that a checkpoint of omni stores itself.
        ModelError: the file is missing, damaged or holds code; its weights do not fit; or its classes are unknown or
            differ from ``classes``.
    """
    device = device or torch.device("cpu")
    reopen = partial(
        open_model, path, name=name, classes=classes, num_segments=num_segments, num_frames=num_frames,
        frame_interval=frame_interval,
    )  # fmt: skip
    opened = reopen()
    content = digest_of_backbone(opened.network.backbone, opened.spec) if with_content else ""
    if isinstance(opened.network, OnnxModel):
        device, precision = opened.network.start(device), torch.float32
    return LoadedModel(
        network=_prepared(opened.network, opened.spec, device, precision),
        spec=opened.spec,
        temperature=1.0 if opened.temperature is None else opened.temperature,
        sha256=opened.file.sha256,
        name=str(path),
        device=device,
        precision=precision,
        backbone=_frozen_backbone(opened.file),
        meta=opened.file.meta if isinstance(opened.file, Checkpoint) else {},
        reopen=lambda: reopen().network,
        content=content,
    )


def inference_copy(model: LoadedModel, precision: torch.dtype) -> LoadedModel:
    """A model in training as ``load_model`` would load it from its checkpoint: batch-norms folded, in ``precision``."""
    network = copy.deepcopy(model.network).to("cpu").eval()
    for module in network.backbone.modules():
        if isinstance(module, ShiftedConv2d):
            module.num_segments = 1  # as before the first clip: folding shows the backbone one frame
    prepared = _prepared(network, model.spec, model.device, precision)
    return replace(model, network=prepared, precision=precision, reopen=lambda: model.network)


def open_model(
    path: str | Path,
    *,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    num_segments: int | None = None,
    num_frames: int | None = None,
    frame_interval: int | None = None,
) -> OpenedModel:
    """Read a checkpoint of omni or of another codebase unchanged; arguments and errors are those of ``load_model``."""
    path = local_path(path)
    if is_model_folder(path):
        return _open_folder(path, classes, num_frames=num_frames, frame_interval=frame_interval, name=name)
    file = load_any(path)
    if isinstance(file, Checkpoint):
        if name or num_frames or frame_interval:
            raise UsageError(
                f"{path}: this checkpoint stores its architecture; remove --model, --num-frames and --frame-interval"
            )
        if file.program:
            spec = spec_of(file)
            network: Recogniser = model_of(file.program, spec)
        else:
            network, spec = build_model(file)
        say_licence(spec.licence, path=path)
        _check_same_classes(path, spec.classes, classes)
        return OpenedModel(network, spec, _checked_temperature(file), file)
    if file.program:
        spec = described(
            file.program, name=name, classes=classes, num_segments=num_segments, num_frames=num_frames,
            frame_interval=frame_interval,
        )  # fmt: skip
        return OpenedModel(model_of(file.program, spec), spec, None, file)
    check_can_score(file.state_dict, path=str(path), num_classes=len(classes or file.classes or ()))
    if classes is None and file.classes is None:
        raise ModelError(f"{path}: {NO_CLASSES}")
    if file.classes is not None and classes is not None and len(file.classes) == len(classes):
        _check_same_classes(path, file.classes, classes)  # otherwise the file may name the classes of another dataset
    network, spec = build_foreign(
        file.state_dict, path=str(path), classes=classes or file.classes or (), name=name, num_segments=num_segments,
        num_frames=num_frames, frame_interval=frame_interval, meta=file.meta,
    )  # fmt: skip
    return OpenedModel(network, spec, None, file)


def _open_folder(
    path: Path, classes: Sequence[str] | None, *, num_frames: int | None, frame_interval: int | None, name: str | None
) -> OpenedModel:
    """The classifier in a folder of another library. Raises ModelError and UsageError."""
    folder = read_folder(path)
    if name not in (None, folder.name):
        raise UsageError(f"--model {name}: {path} is a {folder.name}; remove it")
    names = tuple(classes or folder.classes or ())
    if not names:
        raise ModelError(f"{path}: {NO_CLASSES}")
    if folder.classes and len(folder.classes) == len(names):
        _check_same_classes(path, folder.classes, classes)
    say_licence(folder.config.licence, path=path)
    network, file = folder_classifier(folder, num_classes=len(names))
    spec = model_spec(
        folder.name, classes=names, num_frames=num_frames, frame_interval=frame_interval, published=folder.config
    )
    return OpenedModel(network, spec, None, file)


def load_extractor(
    backbone: str,
    weights: str | Path | None,
    device: torch.device | None = None,
    precision: torch.dtype = torch.float32,
    *,
    with_content: bool = False,
) -> LoadedModel:
    """A 2D backbone for feature extraction, without classes; its classifier is random.

    Args:
        backbone: timm's name, such as ``resnet50``.
        weights: file of its weights; None downloads ImageNet weights.
        device: default CPU.
        precision: dtype of the backbone.
        with_content: as in ``load_model``.

    Raises:
        UsageError: unknown backbone.
        ModelError: the weights cannot be read or downloaded, or do not fit.
    """
    device = device or torch.device("cpu")
    name = f"tsn-{backbone}"
    create = partial(create_model, name, num_classes=1, init=str(local_path(weights)) if weights else "imagenet")
    model = create().eval()
    spec = model_spec(name, classes=())
    content = digest_of_backbone(model.backbone, spec) if with_content else ""
    return LoadedModel(
        network=_prepared(model, spec, device, precision),
        spec=spec,
        temperature=1.0,
        sha256="",
        name=str(weights or imagenet_weights(backbone)),
        device=device,
        precision=precision,
        reopen=create,
        content=content,
    )


def _check_same_classes(path: str | Path, own: Sequence[str], given: Sequence[str] | None) -> None:
    """Raise ModelError if ``--classes`` contradicts the file."""
    if given is not None and tuple(given) != tuple(own):
        raise ModelError(f"{path}: has other classes than --classes, or another order")


def _checked_temperature(checkpoint: Checkpoint) -> float | None:
    temperature = checkpoint.meta.get("temperature")
    if temperature is not None and not (isinstance(temperature, int | float) and temperature > 0):
        raise ModelError(
            f"{checkpoint.path}: damaged checkpoint (temperature {temperature!r}, expected a number above 0)"
        )
    return None if temperature is None else float(temperature)


def _frozen_backbone(file: Checkpoint | Weights) -> str | None:
    provenance = file.meta.get("provenance") if isinstance(file, Checkpoint) else None
    backbone = provenance.get("trunk") if isinstance(provenance, dict) else None
    return backbone if isinstance(backbone, str) else None


def _prepared(network: Recogniser, spec: ModelSpec, device: torch.device, precision: torch.dtype) -> Recogniser:
    """The network with folded batch-norms, on its device and in its precision."""
    if isinstance(network, OnnxModel):
        return network
    side = (spec.crop_size, spec.crop_size)  # some 2D backbones accept no other size
    channels = 2 * spec.flow_pairs or 3
    shape = (1, channels, spec.num_frames, 64, 64) if isinstance(network, ClipModel) else (1, channels, *side)
    if isinstance(network, LibraryModel):
        shape = (1, 3, min(spec.num_frames, 16), *side)  # S3D takes no less, and its 128 frames take seconds
    network.backbone = fold_by_shape(network.backbone, shape)  # while it is still float32
    return network.to_device(device).set_precision(precision)
