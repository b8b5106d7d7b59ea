"""Architectures by name.

``tsn-<backbone>`` and ``tsm-<backbone>`` take a backbone of timm, ``tsn-torchvision.<name>`` one of torchvision,
``tsn-bninception`` our own; ``clip-<model of open_clip>`` is an image tower (``clip.tower``). ``resnet3d_configs``,
``slowfast`` and ``video.registry`` list the 3D models.
"""

import difflib
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from torch import nn

from omnicli.errors import ModelError, UsageError
from omnicli.models.bninception import BNInception
from omnicli.models.clip.tower import is_clip, new_clip, without_file
from omnicli.models.downloads import failing_fast
from omnicli.models.flow_stem import widen_stem
from omnicli.models.libraries import library
from omnicli.models.pretrained import TORCHVISION, TORCHVISION_WEIGHTS, imagenet_weights, without_tag
from omnicli.models.recogniser import ClipModel, Recogniser
from omnicli.models.resnet3d import ResNet3D
from omnicli.models.resnet3d_configs import RESNET3D_CONFIGS, ResNet3DConfig
from omnicli.models.slowfast import SLOWFAST_CONFIGS, SlowFast, SlowFastConfig
from omnicli.models.tsm import TSM
from omnicli.models.tsn import TSN
from omnicli.models.video.library_model import IMAGENET_MEAN, IMAGENET_STD, LibraryConfig, LibraryModel
from omnicli.models.video.registry import library_config, library_names
from omnicli.models.weight_names import AUXILIARY

WITH_AUXILIARY = ("inception_v3", "googlenet")  # torchvision's, with more classifiers in training
CLASSIFIERS = ("fc", "classifier", "head", "heads")  # torchvision's names of the layers after the features


def find_config_3d(name: str) -> ResNet3DConfig | SlowFastConfig | LibraryConfig | None:
    """The configuration of a 3D model; None for ``tsn-...``, ``tsm-...`` and ``clip-...``.

    Raises:
        UsageError: unknown architecture; the message names similar ones.
    """
    config = RESNET3D_CONFIGS.get(name) or SLOWFAST_CONFIGS.get(name) or library_config(name)
    if config is None and name.partition("-")[0] not in ("tsn", "tsm", "clip"):
        near = difflib.get_close_matches(name, [*RESNET3D_CONFIGS, *SLOWFAST_CONFIGS, *library_names()], n=3)
        nearest = f"; near: {', '.join(near)}" if near else ""
        raise UsageError(f"--model {name}: expected tsn-<timm backbone>, such as tsn-resnet50, or a 3D model{nearest}")
    return config


def default_dropout(name: str) -> float:
    """The dropout that mmaction2 publishes: 0.4 for TSN, 0.5 for all others; of another library's model, its own.

    Ours: none for image-text models.
    """
    if library := library_config(name):
        return library.dropout
    return 0.0 if is_clip(name) else 0.4 if name.startswith("tsn-") else 0.5


def new_model(
    name: str,
    num_classes: int,
    *,
    dropout: float | None = None,
    fc_std: float | None = None,
    pretrained: bool = False,
    library: Mapping[str, Any] | None = None,
    flow_pairs: int = 0,
) -> Recogniser:
    """A model with random weights, or with ImageNet weights in a 2D backbone; with ``flow_pairs`` one of optical flow.

    ``library`` are the options of another library's model (``ModelSpec.library``).

    Raises:
        UsageError: unknown architecture, or a 3D one with ``pretrained``.
        ModelError: the weights cannot be downloaded.
    """
    model = _rgb_model(name, num_classes, dropout=dropout, fc_std=fc_std, pretrained=pretrained, library=library)
    if flow_pairs:
        widen_stem(model.backbone, 2 * flow_pairs, is_pretrained=pretrained)
        model.flow_pairs = flow_pairs
    return model


def _rgb_model(
    name: str,
    num_classes: int,
    *,
    dropout: float | None,
    fc_std: float | None,
    pretrained: bool,
    library: Mapping[str, Any] | None,
) -> Recogniser:
    drop = default_dropout(name) if dropout is None else dropout
    config = find_config_3d(name)
    if config is not None:
        if pretrained:
            raise UsageError(f"--model {name}: only 2D backbones have ImageNet weights")
        if isinstance(config, LibraryConfig):
            backbone, num_features = config.build(config.options if library is None else library)
            return LibraryModel(backbone, num_features, num_classes, drop, 0.01 if fc_std is None else fc_std)
        network = SlowFast(config) if isinstance(config, SlowFastConfig) else ResNet3D(config)
        return ClipModel(network, network.num_features, num_classes, drop, 0.01 if fc_std is None else fc_std)
    if is_clip(name):
        return new_clip(name, library, num_classes, drop)
    backbone, num_features = _backbone(backbone_name(name), pretrained=pretrained)
    if name.startswith("tsn-"):
        return TSN(backbone, num_features, num_classes, drop, 0.01 if fc_std is None else fc_std)
    try:
        return TSM(backbone, num_features, num_classes, drop, 0.001 if fc_std is None else fc_std)
    except ValueError as error:
        raise UsageError(f"--model {name}: {error}; expected tsm-resnet50 or another ResNet") from None


def backbone_name(name: str) -> str:
    """The 2D backbone in an architecture's name, such as ``resnet50`` in ``tsn-resnet50``.

    Raises:
        UsageError: nothing after ``tsn-``, ``clip-...``, or an unknown backbone; the message names similar ones.
    """
    if is_clip(name):
        raise without_file(name)
    _, _, backbone = name.partition("-")
    if not backbone:
        raise UsageError(f"--model {name}: expected tsn-<timm backbone>, such as tsn-resnet50")
    if backbone == "bninception":
        return backbone
    if backbone.startswith(TORCHVISION):
        models = library("torchvision.models")
        known, owner = [TORCHVISION + known for known in models.list_models(module=models)], "torchvision"
    else:
        timm = library("timm")
        if timm.is_model(backbone):
            return backbone
        known, owner = timm.list_models(), "timm"
    if backbone not in known:
        near = difflib.get_close_matches(backbone, known, n=3)
        raise UsageError(
            f"--model {name}: {owner} has no backbone '{backbone}'" + (f"; near: {', '.join(near)}" if near else "")
        )
    return backbone


def imagenet_resnet(name: str) -> nn.Module | None:
    """The 2D ResNet with torchvision's ImageNet weights from which a 3D model is inflated; None for 2D models.

    Raises:
        UsageError: the 3D model's convolutions have no 2D counterpart.
        ModelError: the weights cannot be downloaded.
    """
    config = find_config_3d(name)
    if config is None:
        return None
    if (
        isinstance(config, SlowFastConfig | LibraryConfig)
        or config.factorised
        or config.block in ("ir", "ip")
        or config.width != 64
    ):
        raise UsageError(
            f"--model {name} --init imagenet: its convolutions have no 2D counterpart to inflate; give --init scratch, "
            f"or --init FILE with weights of {name}"
        )
    return _timm_backbone(f"resnet{config.depth}", pretrained=True)


def default_input(backbone: str) -> tuple[tuple[float, float, float], tuple[float, float, float], int]:
    """Mean and std (RGB, 0-255) and side in pixels of a 2D backbone's input; ImageNet's if the backbone states none."""
    if backbone == "bninception":
        return (128.0, 117.0, 104.0), (1.0, 1.0, 1.0), 224  # the Caffe model's means, in RGB order
    if backbone.removeprefix(TORCHVISION) in WITH_AUXILIARY and backbone.startswith(TORCHVISION):
        return (127.5,) * 3, (127.5,) * 3, 224  # what ``transform_input`` makes of ImageNet's mean and std
    own = None
    if not backbone.startswith(TORCHVISION):
        own = library("timm").get_pretrained_cfg(imagenet_weights(backbone), allow_unregistered=True)
    if own is None:
        return IMAGENET_MEAN, IMAGENET_STD, 224
    to_255 = [tuple(round(255 * value, 6) for value in triple) for triple in (own.mean, own.std)]
    return to_255[0], to_255[1], int(own.input_size[-1])


def _backbone(backbone: str, *, pretrained: bool) -> tuple[nn.Module, int]:
    """A 2D backbone without its classifier, and the number of its pooled features."""
    if backbone == "bninception":
        if pretrained:
            raise ModelError("bninception: its ImageNet weights cannot be downloaded; give --init FILE")
        return BNInception(), BNInception.num_features
    if backbone.startswith(TORCHVISION):
        return _torchvision_backbone(backbone.removeprefix(TORCHVISION), pretrained=pretrained)
    module = _timm_backbone(backbone, pretrained=pretrained)
    return module, int(getattr(module, "head_hidden_size", None) or module.num_features)  # type: ignore[arg-type]


def _timm_backbone(backbone: str, *, pretrained: bool) -> nn.Module:
    timm = library("timm")
    if pretrained:
        backbone = _tagged(backbone)
    try:
        with failing_fast() if pretrained else nullcontext():
            module: nn.Module = timm.create_model(backbone, pretrained=pretrained, num_classes=0)
            return module
    except Exception as error:  # the hub client raises requests' errors, its own and OSError, with no common base
        if not pretrained:
            raise
        hub = getattr(timm.get_pretrained_cfg(backbone, allow_unregistered=True), "hf_hub_id", None)
        raise _no_download(
            backbone, error, f", such as model.safetensors of huggingface.co/{hub}" if hub else ""
        ) from None


def _tagged(backbone: str) -> str:
    """The name with the tag of its ImageNet weights, or as given.

    Raises:
        ModelError: no weights of this tag, or none of ImageNet-1k alone for a bare name.
    """
    timm = library("timm")
    named = imagenet_weights(backbone)
    known = timm.list_pretrained(f"{without_tag(backbone)}.*")
    if named in known:
        return named
    why = "of this tag" if "." in named else "that were trained on ImageNet-1k alone"
    near = difflib.get_close_matches(named, known, n=3) or known[:3]
    choice = f"name others by their tag: {', '.join(f'tsn-{name}' for name in near)}" if near else "give --init FILE"
    raise ModelError(f"{backbone}: timm has no weights {why}; {choice}")


def _torchvision_backbone(name: str, *, pretrained: bool) -> tuple[nn.Module, int]:
    """A torchvision model without its classifier, and the input size of the classifier's first linear layer."""
    try:
        with failing_fast() if pretrained else nullcontext():
            weights = TORCHVISION_WEIGHTS if pretrained else None
            draws = {"init_weights": True} if name in WITH_AUXILIARY and not pretrained else {}
            module: nn.Module = library("torchvision.models").get_model(name, weights=weights, **draws)
    except Exception as error:
        if not pretrained:
            raise
        raise _no_download(TORCHVISION + name, error) from None
    if name in WITH_AUXILIARY:  # weights decide about these in torchvision, and a checkpoint does not remember them
        module.aux_logits = module.transform_input = False  # type: ignore[assignment]
        for auxiliary in AUXILIARY:
            if hasattr(module, auxiliary):
                setattr(module, auxiliary, None)
    for classifier in CLASSIFIERS:
        removed = getattr(module, classifier, None)
        if isinstance(removed, nn.Module):
            linear = next(layer for layer in removed.modules() if isinstance(layer, nn.Linear))
            setattr(module, classifier, nn.Identity())
            return module, linear.in_features
    raise UsageError(f"--model tsn-{TORCHVISION}{name}: not an image classifier")


def _no_download(backbone: str, error: Exception, source: str = "") -> ModelError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    return ModelError(
        f"the pretrained weights of {backbone} cannot be downloaded ({reason}); give a local file{source}: "
        f"--init {backbone}.safetensors to train, --weights {backbone}.safetensors for features"
    )
