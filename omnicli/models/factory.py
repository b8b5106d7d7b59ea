"""Models created by name or rebuilt from checkpoints."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from omnicli.errors import ModelError, UsageError
from omnicli.models.architectures import default_dropout, find_config_3d, imagenet_resnet, new_model
from omnicli.models.bninception import check_side
from omnicli.models.checkpoint import Checkpoint, load_weights
from omnicli.models.clip.tower import import_open_clip, is_clip
from omnicli.models.flow_stem import cross_modality
from omnicli.models.input_sizes import check_sizes
from omnicli.models.model_files import is_model_folder
from omnicli.models.pretrained import without_tag
from omnicli.models.published_input import published_input
from omnicli.models.recogniser import Recogniser
from omnicli.models.video.folder_model import folder_model
from omnicli.models.video.library_model import LibraryConfig
from omnicli.models.weight_names import CLASSIFIER_NAMES, inflate, to_omni

NON_LOCAL = ".non_local_block."
MM_STEM_CHANNELS = 83  # between the parts of the stem of mmaction2's R(2+1)D; 45 in IG-65M's
RARE_FIELDS = ("library", "licence", "resize", "flow_pairs")
RESIZES = ("", *(f"{kind} {fit}" for kind in ("bicubic", "bilinear") for fit in ("shortest", "squash")))


@dataclass(frozen=True)
class ModelSpec:
    """Architecture, classes and input of a model, stored in its checkpoint beside the weights.

    Attributes:
        name: architecture, such as ``tsn-<timm backbone>``.
        classes: (K,) names, in the order of the logits.
        mean: RGB, 0-255.
        std: RGB, 0-255.
        short_side: pixels to which the short side is resized before cropping.
        crop_size: pixels of the square input.
        num_segments: segments in training (2D); 1 for 3D models.
        num_frames: frames per clip (3D); 1 for 2D models.
        frame_interval: distance between the frames of a clip (3D); 1 for 2D models.
        dropout: before the classifier, in training.
        multi_label: scores are one sigmoid per class instead of one softmax.
        library: what another library builds the model from, as JSON values; None for models of omni.
        licence: of the weights that training started from, if their publisher names one.
        resize: how a whole frame becomes the input of an image-text model (``data.own_view``); "" is bilinear, without
            antialias, to ``short_side``.
        flow_pairs: pairs of optical flow that the first layer takes at once; 0 for RGB.
    """

    name: str
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    short_side: int
    crop_size: int
    num_segments: int = 3
    num_frames: int = 1
    frame_interval: int = 1
    dropout: float = 0.4
    multi_label: bool = False
    library: Mapping[str, Any] | None = None
    licence: str = ""
    resize: str = ""
    flow_pairs: int = 0

    @property
    def modality(self) -> str:
        """``rgb`` or ``flow``."""
        return "flow" if self.flow_pairs else "rgb"

    @property
    def signature(self) -> str:
        """Backbone and input as one string: features of models with different signatures cannot be mixed.

        The tag of pretrained weights is no part of it; ``models.content`` is the digest of the weights themselves.

        >>> ModelSpec("slowonly-r50", (), (0, 0, 0), (1, 1, 1), 256, 224, num_frames=4, frame_interval=16).signature
        'slowonly-r50 4x16 256/224'
        """
        if is_clip(self.name):
            shown = f" {self.resize}"
        elif self.name.startswith("tsn-"):  # the features of a frame do not depend on other frames
            shown = ""
        elif self.name.startswith("tsm-"):
            shown = f" {self.num_segments}"
        else:
            shown = f" {self.num_frames}x{self.frame_interval}"
        name = without_tag(self.name).replace("r2plus1d-mm-", "r2plus1d-")  # its name in 0.1.0
        flow = f" flow of {self.flow_pairs}" if self.flow_pairs else ""
        return f"{name}{shown} {self.short_side}/{self.crop_size}{flow}"

    def to_meta(self) -> dict[str, Any]:
        """A JSON object of all fields; those that few models have are left out of the others'."""
        return {name: value for name, value in asdict(self).items() if name not in RARE_FIELDS or value}

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> "ModelSpec":
        """The inverse of ``to_meta``. Raises TypeError: a field is missing or unknown."""
        spec = cls(**meta)
        if spec.resize not in RESIZES:
            raise TypeError(f"resize {spec.resize!r}, expected one of {', '.join(RESIZES[1:])}")
        triples = {"mean": (*spec.mean,), "std": (*spec.std,), "classes": (*spec.classes,)}
        return cls(**{**meta, **triples})


def model_spec(
    name: str,
    *,
    classes: Sequence[str],
    num_segments: int | None = None,
    num_frames: int | None = None,
    frame_interval: int | None = None,
    short_side: int | None = None,
    crop_size: int | None = None,
    dropout: float | None = None,
    published: LibraryConfig | None = None,
) -> ModelSpec:
    """The spec of an architecture; arguments replace its published frames, input size and dropout.

    Ours: if only one of the two sizes is given, the crop is 7/8 of the short side, like mmaction2's 224 of 256.

    ``published`` is the configuration of another library's model where its weights have their own.

    Raises:
        UsageError: unknown architecture; the message names similar ones.
    """
    config = published or find_config_3d(name)
    own = published_input(name, published)
    if name == "tsn-bninception" and crop_size:
        check_side(crop_size)
    if not (short_side or crop_size):
        short_side, crop_size = own.short_side, own.crop_size
    size = crop_size or (min(own.crop_size, round(short_side * 7 / 8)) if short_side else own.crop_size)
    check_sizes(name, config, num_frames=num_frames, sides=(size, size), published_side=own.crop_size)
    return ModelSpec(
        name=name,
        classes=tuple(classes),
        mean=own.mean,
        std=own.std,
        short_side=short_side or round(size * 8 / 7),
        crop_size=size,
        library=config.options if isinstance(config, LibraryConfig) else None,
        licence=published.licence if published else "",
        num_segments=1 if config else num_segments or (8 if name.startswith("tsm-") else 3),
        num_frames=(num_frames or config.num_frames) if config else 1,
        frame_interval=(frame_interval or config.frame_interval) if config else 1,
        dropout=default_dropout(name) if dropout is None else dropout,
    )


def create_model(
    name: str,
    *,
    num_classes: int,
    init: str = "scratch",
    dropout: float | None = None,
    fc_std: float | None = None,
    seed: int = 0,
    library: Mapping[str, Any] | None = None,
    flow_pairs: int = 0,
) -> Recogniser:
    """A new model with a new classifier.

    Args:
        name: see ``architectures``.
        num_classes: K.
        init: ``scratch``; ``imagenet``, which downloads; or a file of weights or a checkpoint of any layout, of which
            the backbone is used. 2D weights are inflated into 3D models.
        dropout: before the classifier; default the architecture's.
        fc_std: standard deviation of the classifier's initial weights; default 0.01, for TSM 0.001.
        seed: for all random weights; the global random state does not change.
        library: options of another library's model (``ModelSpec.library``).
        flow_pairs: of a model of optical flow, whose first layer takes the mean of RGB weights; 0 for RGB.

    Raises:
        UsageError: unknown architecture.
        ModelError: the weights cannot be read or downloaded, or do not fit.
    """
    if is_model_folder(init):
        return folder_model(name, init, num_classes=num_classes, dropout=dropout, seed=seed)
    resnet = imagenet_resnet(name) if init == "imagenet" else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = new_model(
            name, num_classes, dropout=dropout, fc_std=fc_std, pretrained=init == "imagenet" and resnet is None,
            library=library, flow_pairs=flow_pairs,
        )  # fmt: skip
    if resnet is not None:
        _load_backbone(model.backbone, resnet.state_dict(), path="ImageNet")
    elif init not in ("scratch", "imagenet"):
        _load_backbone(model.backbone, load_weights(init), path=init)
    return model.to(memory_format=model.memory_format)


def build_model(checkpoint: Checkpoint) -> tuple[Recogniser, ModelSpec]:
    """The model in a checkpoint of omni, on the CPU, in ``eval`` mode.

    Raises:
        ModelError: the meta is incomplete, or the weights do not fit the architecture.
        UsageError: the library that builds the model is not installed.
    """
    spec = spec_of(checkpoint)
    if is_clip(spec.name):
        import_open_clip()
    try:
        model = empty_model(spec)
    except (UsageError, ModelError) as error:
        raise ModelError(f"{checkpoint.path}: {error}") from None
    load_exactly(model, checkpoint.state_dict, path=checkpoint.path, what=spec.name)
    return model.to(memory_format=model.memory_format).eval(), spec


def spec_of(checkpoint: Checkpoint) -> ModelSpec:
    """The description in a checkpoint. Until 0.1.0 mmaction2's R(2+1)D, with another stem, had the name of IG-65M's.

    Raises:
        ModelError: the meta is incomplete.
    """
    try:
        spec = ModelSpec.from_meta(checkpoint.meta["model"])
    except (KeyError, TypeError) as error:
        raise ModelError(f"{checkpoint.path}: damaged checkpoint (meta: {error})") from None
    stem = checkpoint.state_dict.get("backbone.conv1.conv_s.weight")
    if spec.name.startswith("r2plus1d-r") and stem is not None and stem.shape[0] == MM_STEM_CHANNELS:
        return replace(spec, name=spec.name.replace("r2plus1d-", "r2plus1d-mm-"))
    return spec


def empty_model(spec: ModelSpec) -> Recogniser:
    """A model for ``load_exactly``; a 3D one is on the meta device, since drawing random weights takes seconds.

    Not so those of other libraries, which compute tables that no file holds.

    Raises:
        UsageError: unknown architecture.
    """
    device = "cpu" if isinstance(find_config_3d(spec.name), LibraryConfig | None) else "meta"
    with torch.random.fork_rng(devices=[]), torch.device(device):
        rare = {"library": spec.library, "flow_pairs": spec.flow_pairs}
        return new_model(spec.name, len(spec.classes), dropout=spec.dropout, **rare)  # type: ignore[arg-type]


def _load_backbone(backbone: nn.Module, weights: Mapping[str, Tensor], *, path: str) -> None:
    """Copy weights of any layout into a backbone, without the file's classifier.

    If the file has no non-local blocks, they keep their initial weights, which make them the identity.
    """
    ours = to_omni(weights)
    own = {name.removeprefix("backbone."): value for name, value in ours.items() if not name.startswith("fc.")}
    wanted = backbone.state_dict()
    fitting = {name: value for name, value in own.items() if name in wanted or not name.startswith(CLASSIFIER_NAMES)}
    if not any(NON_LOCAL in name for name in fitting):
        fitting |= {name: value for name, value in wanted.items() if NON_LOCAL in name}
    load_exactly(backbone, cross_modality(inflate(fitting, wanted), wanted), path=path, what="the backbone")


def _odd_numbers(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """Weights whose numbers are not of the wanted kind: those of a quantised model are not the model's weights."""
    return [
        f"{name} is {str(weights[name].dtype).removeprefix('torch.')}, expected floating-point numbers"
        for name, tensor in wanted.items()
        if name in weights and tensor.is_floating_point() and not weights[name].is_floating_point()
    ]


def load_exactly(module: nn.Module, weights: Mapping[str, Tensor], *, path: str, what: str) -> None:
    """Copy weights into a module, or assign them if it is on the meta device.

    All names and shapes must agree; only ``num_batches_tracked`` may be missing.

    Raises:
        ModelError: names the first three differences.
    """
    wanted = module.state_dict()
    optional = {name for name in wanted if name.endswith("num_batches_tracked")}
    differing = [f"{name} missing" for name in wanted if name not in weights and name not in optional]
    differing += [f"{name} unknown" for name in weights if name not in wanted]
    differing += [
        f"{name} is {tuple(weights[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    differing += _odd_numbers(weights, wanted)
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise ModelError(f"{path}: does not fit {what}: {'; '.join(differing[:3])}{more}")
    doubles = sum(tensor.dtype == torch.float64 != wanted[name].dtype for name, tensor in weights.items())
    if doubles:
        warnings.warn(f"{path}: {doubles:,} weights are float64; they are rounded to float32", stacklevel=2)
    is_meta = any(tensor.is_meta for tensor in wanted.values())
    counts = {name: torch.zeros((), dtype=torch.int64) for name in optional}
    given = {
        name: tensor.to(wanted[name].dtype).contiguous() if is_meta else tensor for name, tensor in weights.items()
    }
    module.load_state_dict({**counts, **given}, assign=is_meta)
