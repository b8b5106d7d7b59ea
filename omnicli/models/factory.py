"""Models by name, and models out of checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from omnicli.errors import ModelError, UsageError
from omnicli.models.architectures import backbone_name, find_config_3d, imagenet_twin, new_model, own_dropout, own_input
from omnicli.models.checkpoint import Checkpoint, load_any, load_weights
from omnicli.models.recogniser import Recogniser
from omnicli.models.weight_names import CLASSIFIER_NAMES, inflate, to_omni

KINETICS_MEAN, KINETICS_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # RGB, 0-255: mmaction's layouts
IPCSN_MEAN, IPCSN_STD = (110.2008, 100.63983, 95.99475), (58.14765, 56.46975, 55.332195)  # as released
NON_LOCAL = ".non_local_block."


@dataclass(frozen=True)
class ModelSpec:
    """All that using a model takes besides its weights; a checkpoint carries it.

    Attributes:
        name: architecture, ``tsn-<timm backbone>``.
        classes: (K,) names, in the order of the logits.
        mean: RGB, on the scale 0-255.
        std: the same.
        short_side: pixels the short side is resized to before cropping.
        crop_size: pixels of the square the model sees.
        num_segments: segments it was trained with (2D).
        num_frames: frames a clip (3D); 1 for 2D models.
        frame_interval: frames from one frame of a clip to the next (3D); 1 for 2D models.
        dropout: before the classifier, in training.
        multi_label: scores are a sigmoid for each class, not one softmax.
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

    @property
    def looks(self) -> str:
        """The backbone and what it is shown, as one word for comparing: its features are of no use to another.

        >>> ModelSpec("slowonly-r50", (), (0, 0, 0), (1, 1, 1), 256, 224, num_frames=4, frame_interval=16).looks
        'slowonly-r50 4x16 256/224'
        """
        if self.name.startswith("tsn-"):  # each frame alone
            shown = ""
        elif self.name.startswith("tsm-"):
            shown = f" {self.num_segments}"
        else:
            shown = f" {self.num_frames}x{self.frame_interval}"
        return f"{self.name}{shown} {self.short_side}/{self.crop_size}"

    def to_meta(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> "ModelSpec":
        """From ``to_meta``'s object.

        Raises:
            TypeError: a field is missing or unknown.
        """
        spec = cls(**meta)
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
) -> ModelSpec:
    """What the architecture eats: its own frames, normalisation and input size unless given.

    Ours: where one of the two sizes is not given, the crop is 7/8 of the short side (224 of 256), as in the protocol.

    Raises:
        UsageError: no such architecture; names the nearest.
    """
    design = find_config_3d(name)
    mean, std, own_size = (KINETICS_MEAN, KINETICS_STD, 224) if design else own_input(backbone_name(name))
    if name.startswith("ipcsn-"):
        mean, std = IPCSN_MEAN, IPCSN_STD
    size = crop_size or (min(own_size, round(short_side * 7 / 8)) if short_side else own_size)
    return ModelSpec(
        name=name,
        classes=tuple(classes),
        mean=mean,
        std=std,
        short_side=short_side or round(size * 8 / 7),
        crop_size=size,
        num_segments=1 if design else num_segments or (8 if name.startswith("tsm-") else 3),
        num_frames=(num_frames or design.num_frames) if design else 1,
        frame_interval=(frame_interval or design.frame_interval) if design else 1,
        dropout=own_dropout(name) if dropout is None else dropout,
    )


def create_model(
    name: str,
    *,
    num_classes: int,
    init: str = "scratch",
    dropout: float | None = None,
    fc_std: float | None = None,
    seed: int = 0,
) -> Recogniser:
    """A new model with a new classifier.

    Args:
        name: see ``architectures``.
        num_classes: K.
        init: ``scratch``; ``imagenet``, which downloads; or a file of backbone weights or a checkpoint of any layout,
            whose backbone is taken. 2D weights are inflated into 3D models (CHECKPOINTS section 2).
        dropout: before the classifier; default the architecture's.
        fc_std: standard deviation of the classifier's first weights; default 0.01, for TSM 0.001.
        seed: of every random weight; the global random state is left alone.

    Raises:
        UsageError: no such architecture.
        ModelError: the weights cannot be read or downloaded, or do not fit.
    """
    twin = imagenet_twin(name) if init == "imagenet" else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        own = init == "imagenet" and twin is None
        model = new_model(name, num_classes, dropout=dropout, fc_std=fc_std, pretrained=own)
    if twin is not None:
        _load_backbone(model.backbone, twin.state_dict(), path="ImageNet")
    elif init not in ("scratch", "imagenet"):
        _load_backbone(model.backbone, load_weights(init), path=init)
    return model.to(memory_format=model.memory_format)


def build_model(checkpoint: Checkpoint) -> tuple[Recogniser, ModelSpec]:
    """The model a checkpoint of ours holds, on the CPU, in ``eval`` mode.

    Raises:
        ModelError: its meta is incomplete, or its weights do not fit the architecture it names.
    """
    spec = _spec_of(checkpoint)
    try:
        model = model_to_fill(spec)
    except UsageError as error:
        raise ModelError(f"{checkpoint.path}: {error}") from None
    load_exactly(model, checkpoint.state_dict, path=checkpoint.path, what=spec.name)
    return model.to(memory_format=model.memory_format).eval(), spec


def own_options(path: str) -> dict[str, Any]:
    """The options that made the model of a checkpoint of ours: ``model``, frames and sizes; none for any other file.

    Raises:
        ModelError: it cannot be read.
    """
    checkpoint = load_any(path)
    if not isinstance(checkpoint, Checkpoint):
        return {}
    spec = _spec_of(checkpoint)
    frames = ("num_frames", "frame_interval") if find_config_3d(spec.name) else ("num_segments",)
    return {"model": spec.name} | {name: getattr(spec, name) for name in (*frames, "short_side", "crop_size")}


def _spec_of(checkpoint: Checkpoint) -> ModelSpec:
    try:
        return ModelSpec.from_meta(checkpoint.meta["model"])
    except (KeyError, TypeError) as error:
        raise ModelError(f"{checkpoint.path}: damaged checkpoint (meta: {error})") from None


def model_to_fill(spec: ModelSpec) -> Recogniser:
    """A model whose weights are all about to be given: a 3D one without memory for them, since drawing takes seconds.

    Raises:
        UsageError: no such architecture.
    """
    device = "cpu" if find_config_3d(spec.name) is None else "meta"
    with torch.random.fork_rng(devices=[]), torch.device(device):
        return new_model(spec.name, len(spec.classes), dropout=spec.dropout)


def _load_backbone(backbone: nn.Module, weights: Mapping[str, Tensor], *, path: str) -> None:
    """Copy backbone weights in, with or without the prefix ``backbone.``; a classifier in the file is left out.

    Non-local blocks that the weights know nothing of stay new, which is the identity.
    """
    ours = to_omni(weights)
    own = {name.removeprefix("backbone."): value for name, value in ours.items() if not name.startswith("fc.")}
    wanted = backbone.state_dict()
    fitting = {name: value for name, value in own.items() if name in wanted or not name.startswith(CLASSIFIER_NAMES)}
    if not any(NON_LOCAL in name for name in fitting):
        fitting |= {name: value for name, value in wanted.items() if NON_LOCAL in name}
    load_exactly(backbone, inflate(fitting, wanted), path=path, what="the backbone")


def load_exactly(module: nn.Module, weights: Mapping[str, Tensor], *, path: str, what: str) -> None:
    """Copy weights in, or take them over where ``module`` is on the meta device.

    Every key and shape must agree, ``num_batches_tracked`` apart.

    Raises:
        ModelError: names the first that differ.
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
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise ModelError(f"{path}: does not fit {what}: {'; '.join(differing[:3])}{more}")
    is_empty = any(tensor.is_meta for tensor in wanted.values())
    counts = {name: torch.zeros((), dtype=torch.int64) for name in optional}
    given = {
        name: tensor.to(wanted[name].dtype).contiguous() if is_empty else tensor for name, tensor in weights.items()
    }
    module.load_state_dict({**counts, **given}, assign=is_empty)
