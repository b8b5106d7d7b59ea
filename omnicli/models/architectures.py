"""Architectures by name.

``tsn-<backbone>`` and ``tsm-<backbone>`` take a backbone of timm, ``tsn-torchvision.<name>`` one of torchvision,
``tsn-bninception`` ours; ``designs`` and ``slowfast`` list the 3D models.
"""

import difflib

from torch import nn

from omnicli.errors import ModelError, UsageError
from omnicli.models.bninception import BNInception
from omnicli.models.recogniser import ClipModel, Recogniser
from omnicli.models.resnet3d import ResNet3D
from omnicli.models.resnet3d_configs import DESIGNS, ResNet3DConfig
from omnicli.models.slowfast import SLOWFAST_DESIGNS, SlowFast, SlowFastConfig
from omnicli.models.tsm import TSM
from omnicli.models.tsn import TSN

TORCHVISION = "torchvision."
CLASSIFIERS = ("fc", "classifier", "head", "heads")  # what torchvision calls the part after the features


def find_config_3d(name: str) -> ResNet3DConfig | SlowFastConfig | None:
    """Of a 3D model; None for ``tsn-...`` and ``tsm-...``.

    Raises:
        UsageError: no such architecture; names the nearest.
    """
    design = DESIGNS.get(name) or SLOWFAST_DESIGNS.get(name)
    if design is None and name.partition("-")[0] not in ("tsn", "tsm"):
        near = difflib.get_close_matches(name, [*DESIGNS, *SLOWFAST_DESIGNS], n=3)
        nearest = f"; near: {', '.join(near)}" if near else ""
        raise UsageError(f"--model {name}: expected tsn-<timm backbone>, such as tsn-resnet50, or a 3D model{nearest}")
    return design


def own_dropout(name: str) -> float:
    """Of the published recipe: 0.4 for TSN, 0.5 for all others."""
    return 0.4 if name.startswith("tsn-") else 0.5


def new_model(
    name: str, num_classes: int, *, dropout: float | None = None, fc_std: float | None = None, pretrained: bool = False
) -> Recogniser:
    """A model with random weights, or with ImageNet's in a 2D backbone.

    Raises:
        UsageError: no such architecture, or a 3D one with ``pretrained``.
        ModelError: the weights cannot be downloaded.
    """
    drop = own_dropout(name) if dropout is None else dropout
    design = find_config_3d(name)
    if design is not None:
        if pretrained:
            raise UsageError(f"--model {name}: only 2D backbones have ImageNet weights of their own")
        network = SlowFast(design) if isinstance(design, SlowFastConfig) else ResNet3D(design)
        return ClipModel(network, network.num_features, num_classes, drop, 0.01 if fc_std is None else fc_std)
    backbone, num_features = _backbone(backbone_name(name), pretrained=pretrained)
    if name.startswith("tsn-"):
        return TSN(backbone, num_features, num_classes, drop, 0.01 if fc_std is None else fc_std)
    try:
        return TSM(backbone, num_features, num_classes, drop, 0.001 if fc_std is None else fc_std)
    except ValueError as error:
        raise UsageError(f"--model {name}: {error}; expected tsm-resnet50 or another ResNet") from None


def backbone_name(name: str) -> str:
    """``tsn-resnet50`` → ``resnet50``, checked.

    Raises:
        UsageError: nothing after ``tsn-``, or no such backbone; names the nearest.
    """
    _, _, backbone = name.partition("-")
    if not backbone:
        raise UsageError(f"--model {name}: expected tsn-<timm backbone>, such as tsn-resnet50")
    if backbone == "bninception":
        return backbone
    if backbone.startswith(TORCHVISION):
        from torchvision import models  # noqa: PLC0415  1 s

        known, owner = [TORCHVISION + known for known in models.list_models(module=models)], "torchvision"
    else:
        import timm  # noqa: PLC0415  4 s, and only building a model needs it

        if timm.is_model(backbone):
            return backbone
        known, owner = timm.list_models(), "timm"
    if backbone not in known:
        near = difflib.get_close_matches(backbone, known, n=3)
        raise UsageError(
            f"--model {name}: {owner} has no backbone '{backbone}'" + (f"; near: {', '.join(near)}" if near else "")
        )
    return backbone


def imagenet_twin(name: str) -> nn.Module | None:
    """The 2D ResNet with torchvision's ImageNet weights that a 3D model is inflated from; None for 2D models.

    Raises:
        UsageError: a 3D model whose convolutions have no 2D counterpart.
        ModelError: the weights cannot be downloaded.
    """
    design = find_config_3d(name)
    if design is None:
        return None
    if isinstance(design, SlowFastConfig) or design.factorised or design.block in ("ir", "ip") or design.width != 64:
        raise UsageError(
            f"--model {name} --init imagenet: its convolutions have no 2D counterpart to be inflated from; give "
            "--init scratch, or --init FILE with weights of its own kind"
        )
    return _timm_backbone(f"resnet{design.depth}.tv_in1k", pretrained=True)


def own_input(backbone: str) -> tuple[tuple[float, float, float], tuple[float, float, float], int]:
    """Mean and std (RGB, 0-255) and side in pixels of a 2D backbone; ImageNet's where it states none."""
    import timm  # noqa: PLC0415  4 s, and only building a model needs it
    from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD  # noqa: PLC0415

    if backbone == "bninception":
        return (128.0, 117.0, 104.0), (1.0, 1.0, 1.0), 224  # Caffe's means, here in the order RGB
    is_timm = not backbone.startswith(TORCHVISION)
    own = timm.get_pretrained_cfg(backbone, allow_unregistered=True) if is_timm else None
    mean, std, size = (
        (own.mean, own.std, own.input_size[-1]) if own else (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, 224)
    )
    to_255 = [tuple(round(255 * value, 6) for value in triple) for triple in (mean, std)]
    return to_255[0], to_255[1], int(size)  # type: ignore[return-value]


def _backbone(backbone: str, *, pretrained: bool) -> tuple[nn.Module, int]:
    """A 2D backbone that gives pooled features, and how many."""
    if backbone == "bninception":
        if pretrained:
            raise ModelError("bninception: no ImageNet weights can be downloaded; give a file: --init FILE")
        return BNInception(), BNInception.num_features
    if backbone.startswith(TORCHVISION):
        return _torchvision_backbone(backbone.removeprefix(TORCHVISION), pretrained=pretrained)
    module = _timm_backbone(backbone, pretrained=pretrained)
    return module, int(getattr(module, "head_hidden_size", None) or module.num_features)  # type: ignore[arg-type]


def _timm_backbone(backbone: str, *, pretrained: bool) -> nn.Module:
    import timm  # noqa: PLC0415  4 s, and only building a model needs it

    try:
        return timm.create_model(backbone, pretrained=pretrained, num_classes=0)
    except Exception as error:  # the hub client has no common error: requests', its own and OSError all come out
        if not pretrained:
            raise
        raise _no_download(backbone, error) from None


def _torchvision_backbone(name: str, *, pretrained: bool) -> tuple[nn.Module, int]:
    """A torchvision classifier without its last part; features are counted by the first linear layer taken off."""
    from torchvision.models import get_model  # noqa: PLC0415  1 s

    try:
        module: nn.Module = get_model(name, weights="DEFAULT" if pretrained else None)
    except Exception as error:
        if not pretrained:
            raise
        raise _no_download(TORCHVISION + name, error) from None
    for classifier in CLASSIFIERS:
        taken_off = getattr(module, classifier, None)
        if isinstance(taken_off, nn.Module):
            linear = next(layer for layer in taken_off.modules() if isinstance(layer, nn.Linear))
            setattr(module, classifier, nn.Identity())
            return module, linear.in_features
    raise UsageError(f"--model tsn-{TORCHVISION}{name}: not a classifier of images")


def _no_download(backbone: str, error: Exception) -> ModelError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    return ModelError(
        f"the ImageNet weights of {backbone} cannot be downloaded ({reason}); give a file of its weights: "
        f"--init {backbone}.safetensors to train, --weights {backbone}.safetensors for features"
    )
