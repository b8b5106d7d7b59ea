"""Models by name, and models out of checkpoints."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from omnicli.errors import ModelError, UsageError
from omnicli.models.checkpoint import Checkpoint, load_weights
from omnicli.models.tsn import TSN

CLASSIFIER_NAMES = ("fc.", "classifier.", "head.fc.", "head.", "cls_head.", "last_linear.")


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
    num_segments: int = 3,
    short_side: int | None = None,
    crop_size: int | None = None,
    dropout: float = 0.4,
) -> ModelSpec:
    """What the architecture eats: normalisation and input size are the backbone's own unless given.

    Ours: where one of the two sizes is not given, the crop is 7/8 of the short side (224 of 256), as in the protocol.

    Raises:
        UsageError: no such architecture; names the nearest.
    """
    mean, std, own_size = _own_input(_backbone_name(name))
    size = crop_size or (min(own_size, round(short_side * 7 / 8)) if short_side else own_size)
    return ModelSpec(
        name=name,
        classes=tuple(classes),
        mean=mean,
        std=std,
        short_side=short_side or round(size * 8 / 7),
        crop_size=size,
        num_segments=num_segments,
        dropout=dropout,
    )


def create_model(
    name: str, *, num_classes: int, init: str = "scratch", dropout: float = 0.4, fc_std: float = 0.01, seed: int = 0
) -> TSN:
    """A new model with a new classifier.

    Args:
        name: ``tsn-<timm backbone>``.
        num_classes: K.
        init: ``scratch``; ``imagenet``, which downloads; or a file of backbone weights or a checkpoint of ours, whose
            backbone is taken.
        dropout: before the classifier.
        fc_std: standard deviation of the classifier's first weights.
        seed: of every random weight; the global random state is left alone.

    Raises:
        UsageError: no such architecture.
        ModelError: the weights cannot be read or downloaded, or do not fit.
    """
    backbone_name = _backbone_name(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = _create_backbone(backbone_name, pretrained=init == "imagenet")
        num_features = int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)  # type: ignore[arg-type]
        model = TSN(backbone, num_features, num_classes, dropout=dropout, fc_std=fc_std)
    if init not in ("scratch", "imagenet"):
        _load_backbone(model.backbone, load_weights(init), path=init)
    return model.to(memory_format=torch.channels_last)


def build_model(checkpoint: Checkpoint) -> tuple[TSN, ModelSpec]:
    """The model a checkpoint of ours holds, on the CPU, in ``eval`` mode.

    Raises:
        ModelError: its meta is incomplete, or its weights do not fit the architecture it names.
    """
    try:
        spec = ModelSpec.from_meta(checkpoint.meta["model"])
        model = create_model(spec.name, num_classes=len(spec.classes), dropout=spec.dropout)
    except (KeyError, TypeError) as error:
        raise ModelError(f"{checkpoint.path}: damaged checkpoint (meta: {error})") from None
    except UsageError as error:
        raise ModelError(f"{checkpoint.path}: {error}") from None
    _load_exactly(model, checkpoint.state_dict, path=checkpoint.path, what=spec.name)
    return model.eval(), spec


def _backbone_name(name: str) -> str:
    """``tsn-resnet50`` → ``resnet50``, checked."""
    import timm  # noqa: PLC0415  4 s, and only building a model needs it

    kind, _, backbone = name.partition("-")
    if kind != "tsn" or not backbone:
        raise UsageError(f"--model {name}: expected tsn-<timm backbone>, such as tsn-resnet50")
    if not timm.is_model(backbone):
        near = difflib.get_close_matches(backbone, timm.list_models(), n=3)
        raise UsageError(
            f"--model {name}: timm has no backbone '{backbone}'" + (f"; near: {', '.join(near)}" if near else "")
        )
    return backbone


def _own_input(backbone: str) -> tuple[tuple[float, float, float], tuple[float, float, float], int]:
    """Mean and std (RGB, 0-255) and side in pixels of a timm backbone; ImageNet's where it states none."""
    import timm  # noqa: PLC0415  4 s, and only building a model needs it
    from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD  # noqa: PLC0415

    own = timm.get_pretrained_cfg(backbone, allow_unregistered=True)
    mean, std, size = (
        (own.mean, own.std, own.input_size[-1]) if own else (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, 224)
    )
    to_255 = [tuple(round(255 * value, 6) for value in triple) for triple in (mean, std)]
    return to_255[0], to_255[1], int(size)  # type: ignore[return-value]


def _create_backbone(backbone: str, *, pretrained: bool) -> nn.Module:
    import timm  # noqa: PLC0415  4 s, and only building a model needs it

    try:
        return timm.create_model(backbone, pretrained=pretrained, num_classes=0)
    except Exception as error:  # the hub client has no common error: requests', its own and OSError all come out
        if not pretrained:
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise ModelError(
            f"the ImageNet weights of {backbone} cannot be downloaded ({reason}); give a file of timm's weights: "
            f"--init {backbone}.safetensors to train, --weights {backbone}.safetensors for features"
        ) from None


def _load_backbone(backbone: nn.Module, weights: Mapping[str, Tensor], *, path: str) -> None:
    """Copy backbone weights in, with or without the prefix ``backbone.``; a classifier in the file is left out."""
    own = {name.removeprefix("backbone."): value for name, value in weights.items()}
    wanted = backbone.state_dict()
    fitting = {name: value for name, value in own.items() if name in wanted or not name.startswith(CLASSIFIER_NAMES)}
    _load_exactly(backbone, fitting, path=path, what="the backbone")


def _load_exactly(module: nn.Module, weights: Mapping[str, Tensor], *, path: str, what: str) -> None:
    """Copy weights in; every key and shape must agree, ``num_batches_tracked`` apart."""
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
    module.load_state_dict({**{name: wanted[name] for name in optional}, **weights})
