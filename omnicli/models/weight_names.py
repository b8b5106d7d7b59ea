"""Translation between omni's weight names and those of torchvision, timm, mmaction2 and old mmaction (0.x).

omni's names are ``backbone.`` and torchvision's layer names, and ``fc.`` for the classifier. The names alone decide the
layout.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from torch import Tensor

from omnicli.models.video.torchvision_video import is_video, to_ours
from omnicli.models.vmz import from_vmz, is_vmz

Layout = Literal["omni", "mmaction2", "mmaction", "torchvision-video", "vmz", "bare"]
AUXILIARY = ("AuxLogits", "aux1", "aux2")  # classifiers of torchvision's GoogLeNet and Inception, for training
BNINCEPTION_STEM = "conv1_7x7_s2.weight"
UNUSED = ("data_preprocessor.", *(f"{prefix}{name}." for prefix in ("", "backbone.") for name in AUXILIARY))
CLASSIFIER_NAMES = ("fc.", "classifier.", "head.fc.", "head.", "cls_head.", "last_linear.")

# mmaction2 to omni; only the first matching rule is applied
MMACTION2_RULES = (
    (r"non_local_block\.(g|phi)\.0\.conv\.", r"non_local_block.\1."),
    (r"non_local_block\.conv_out\.bn\.", r"non_local_block.bn_out."),
    (r"non_local_block\.(g|phi|theta|conv_out)\.conv\.", r"non_local_block.\1."),
    (r"\bconv(\d)\.conv\.(conv_s|bn_s|conv_t)\.", r"conv\1.\2."),
    (r"\bdownsample\.conv\.(conv_s|bn_s|conv_t)\.", r"downsample.0.\1."),
    (r"\bconv1\.conv\.net\.", r"conv1."),
    (r"_lateral\.conv\.", r"_lateral."),
    (r"\bdownsample\.conv\.", r"downsample.0."),
    (r"\bdownsample\.bn\.", r"downsample.1."),
    (r"\bconv(\d)\.conv\.", r"conv\1."),
    (r"\bconv(\d)\.bn\.", r"bn\1."),
)
# mmaction2 numbers the parts of conv2 in CSNs: in irCSN 0 is the depthwise one, in ipCSN 0 is the 1x1x1 before it
IR_RULES = ((r"\bconv2\.0\.conv\.", r"conv2."), (r"\bconv2\.0\.bn\.", r"bn2."))
IP_RULES = (
    (r"\bconv2\.0\.conv\.", r"point_conv."),
    (r"\bconv2\.0\.bn\.", r"point_bn."),
    (r"\bconv2\.1\.conv\.", r"conv2."),
    (r"\bconv2\.1\.bn\.", r"bn2."),
)
# omni to mmaction2
TO_MMACTION2_RULES = (
    (r"non_local_block\.(g|phi)\.", r"non_local_block.\1.0.conv."),
    (r"non_local_block\.bn_out\.", r"non_local_block.conv_out.bn."),
    (r"non_local_block\.(theta|conv_out)\.", r"non_local_block.\1.conv."),
    (r"\bconv(\d)\.(conv_s|bn_s|conv_t)\.", r"conv\1.conv.\2."),
    (r"\bdownsample\.0\.(conv_s|bn_s|conv_t)\.", r"downsample.conv.\1."),
    (r"_lateral\.", r"_lateral.conv."),
    (r"\bdownsample\.0\.", r"downsample.conv."),
    (r"\bdownsample\.1\.", r"downsample.bn."),
    (r"\bconv(\d)\.", r"conv\1.conv."),
    (r"\bbn(\d)\.", r"conv\1.bn."),
)
TO_IR_RULES = ((r"\bconv2\.", r"conv2.0.conv."), (r"\bbn2\.", r"conv2.0.bn."))
TO_IP_RULES = (
    (r"\bpoint_conv\.", r"conv2.0.conv."),
    (r"\bpoint_bn\.", r"conv2.0.bn."),
    (r"\bconv2\.", r"conv2.1.conv."),
    (r"\bbn2\.", r"conv2.1.bn."),
)
TORCHVISION_R3D_RULES = (
    (r"^stem\.0\.", r"conv1."),
    (r"^stem\.1\.", r"bn1."),
    (r"\bconv(\d)\.0\.", r"conv\1."),
    (r"\bconv(\d)\.1\.", r"bn\1."),
)
TORCHVISION_R2PLUS1D_RULES = (
    (r"^stem\.0\.", r"conv1.conv_s."),
    (r"^stem\.1\.", r"conv1.bn_s."),
    (r"^stem\.3\.", r"conv1.conv_t."),
    (r"^stem\.4\.", r"bn1."),
    (r"\bconv(\d)\.0\.0\.", r"conv\1.conv_s."),
    (r"\bconv(\d)\.0\.1\.", r"conv\1.bn_s."),
    (r"\bconv(\d)\.0\.3\.", r"conv\1.conv_t."),
    (r"\bconv(\d)\.1\.", r"bn\1."),
    (r"\bconv(\d)\.0\.(?=weight)", r"conv\1."),  # 1x1x1, in bottlenecks
)
TORCHVISION_IP_RULES = (  # ipCSN in the PyTorch code of VMZ
    (r"\bconv2\.0\.0\.", r"point_conv."),
    (r"\bconv2\.0\.1\.", r"point_bn."),
    (r"\bconv2\.0\.2\.", r"conv2."),
    *TORCHVISION_R3D_RULES,
)

# the stem, without ``backbone.`` in files of a backbone alone (``pretrained=`` of its configs)
GOOGLENET = re.compile(r"(backbone\.)?inception3a\.")  # torchvision's, whose stem has the same name
MMACTION2_STEM = re.compile(r"backbone\.(\w+\.)*conv1\.conv\.|((slow|fast)_path\.)?conv1\.conv\.")

Rules = tuple[tuple[str, str], ...]


def bare_name(name: str) -> str:
    """The name without ``module.`` of data-parallel training and ``_orig_mod.`` of ``torch.compile``, in any order.

    >>> bare_name("module._orig_mod.backbone._orig_mod.conv1.weight")
    'backbone.conv1.weight'
    """
    if "_orig_mod." in name:
        name = ".".join(part for part in name.split(".") if part != "_orig_mod")
    while name.startswith("module."):
        name = name.removeprefix("module.")
    return name


def bare_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights without what wrappers put before their names, ``data_preprocessor.*`` and auxiliary classifiers."""
    names = {bare_name(name): tensor for name, tensor in weights.items()}
    return {name: tensor for name, tensor in names.items() if not name.startswith(UNUSED)}


def recognise_layout(names: Iterable[str]) -> Layout:
    """The layout that uses these names; ``bare`` is a torchvision or timm model with its classifier.

    >>> recognise_layout(["backbone.conv1.conv.weight", "cls_head.fc_cls.bias"])
    'mmaction2'
    >>> recognise_layout(["backbone.bn1.weight", "cls_head.fc_cls.bias"])
    'mmaction'
    """
    known = set(names)
    if any(MMACTION2_STEM.match(name) for name in known) and not any(map(GOOGLENET.match, known)):
        return "mmaction2"
    if is_vmz(known):
        return "vmz"
    if any(name.startswith("cls_head.") for name in known):
        return "mmaction"
    if any(name.startswith("backbone.") for name in known):
        return "omni"
    return "torchvision-video" if "stem.0.weight" in known or is_video(known) else "bare"


def is_tsm(names: Iterable[str]) -> bool:
    """True for the names of a TSM, in which the first convolution of each block is wrapped in ``net``."""
    return any(re.search(r"\blayer\d\.\d+\.conv1(\.conv)?\.net\.", name) for name in names)


def to_omni(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of any layout under omni's names; only the stem of BN-Inception is copied, other tensors are shared."""
    weights = bare_names(weights)
    match recognise_layout(weights):
        case "mmaction2":
            is_ip = any(".conv2.1.conv." in name for name in weights)
            rules = (*(IP_RULES if is_ip else IR_RULES), *MMACTION2_RULES)
            return {_to_backbone(_head_to_ours(_rename(name, rules))): tensor for name, tensor in weights.items()}
        case "mmaction":
            return {_head_to_ours(_unwrapped(name)): _in_rgb(name, tensor) for name, tensor in weights.items()}
        case "torchvision-video":
            if is_video(weights):
                return to_ours(weights)
            is_ip = any(".conv2.0.2." in name for name in weights)
            plain = TORCHVISION_IP_RULES if is_ip else TORCHVISION_R3D_RULES
            rules = TORCHVISION_R2PLUS1D_RULES if "stem.3.weight" in weights else plain
            return {_bare_to_ours(_rename(name, rules)): tensor for name, tensor in weights.items()}
        case "vmz":
            return from_vmz(weights)
        case "bare":
            return {_bare_to_ours(name): _in_rgb(name, tensor) for name, tensor in weights.items()}
        case _:
            return weights


def from_omni(
    weights: Mapping[str, Tensor], layout: Literal["mmaction2", "mmaction"], *, is_shifted: bool = False
) -> dict[str, Tensor]:
    """Weights under the names of mmaction2 or old mmaction.

    Depthwise convolutions identify CSNs. TSNs on backbones other than ResNets only differ in the classifier's name.

    Args:
        weights: by omni's names.
        layout: to write.
        is_shifted: True for a TSM.
    """
    shifted = _shifted_names(weights) if is_shifted else set()
    rules: Rules = ()
    if layout == "mmaction2":
        rules = TO_MMACTION2_RULES
        depthwise = weights.get("backbone.layer1.0.conv2.weight")
        if any(".point_conv." in name for name in weights):
            rules = (*TO_IP_RULES, *rules)
        elif depthwise is not None and depthwise.ndim == 5 and depthwise.shape[1] == 1:
            rules = (*TO_IR_RULES, *rules)
    renamed = {}
    for name, tensor in weights.items():
        theirs = _rename(name, rules)
        if name in shifted:
            theirs = theirs.removesuffix("weight") + "net.weight"
        renamed[re.sub(r"^fc\.", "cls_head.fc_cls.", theirs)] = tensor
    return renamed


def inflate(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with 2D convolutions inflated to the wanted 3D ones: repeated k_t times along time, divided by k_t.

    Args:
        weights: by omni's names; (Cout, Cin, k, k), or R2D's (Cout, Cin, 1, k, k), become (Cout, Cin, k_t, k, k).
        wanted: weights of the model to fill, by the same names.
    """
    inflated = dict(weights)
    for name, tensor in weights.items():
        if name not in wanted or wanted[name].ndim != 5:
            continue
        frames = wanted[name].shape[2]
        if tensor.ndim == 4:
            tensor = tensor.unsqueeze(2)
        if tensor.ndim == 5 and tensor.shape[2] == 1:
            inflated[name] = tensor.repeat(1, 1, frames, 1, 1) / frames
    return inflated


def _rename(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    return name


def _head_to_ours(name: str) -> str:
    return re.sub(r"^cls_head\.fc_cls\.", "fc.", name)


def _to_backbone(name: str) -> str:
    return name if name.startswith(("backbone.", "fc.", "cls_head.")) else f"backbone.{name}"


def _unwrapped(name: str) -> str:
    return re.sub(r"(\blayer\d\.\d+\.conv1)\.net\.", r"\1.", name)


def _bare_to_ours(name: str) -> str:
    """``fc.`` and similar prefixes are the classifier, all other names the backbone."""
    for classifier in CLASSIFIER_NAMES:
        if name in (f"{classifier}weight", f"{classifier}bias"):
            return f"fc.{name.removeprefix(classifier)}"
    return f"backbone.{name}"


def _in_rgb(name: str, tensor: Tensor) -> Tensor:
    """Flip the stem of BN-Inception, which takes BGR: ImageNet weights come from Caffe, and old mmaction kept it."""
    is_stem = name.removeprefix("backbone.") == BNINCEPTION_STEM and tensor.ndim == 4 and tensor.shape[1] == 3
    return tensor.flip(1) if is_stem else tensor


def _shifted_names(weights: Mapping[str, Tensor]) -> set[str]:
    """Names of the convolutions before which a TSM with these weights shifts."""
    firsts = [name for name in weights if re.fullmatch(r"backbone\.layer\d\.\d+\.conv1\.weight", name)]
    in_layer3 = sum(name.startswith("backbone.layer3.") for name in firsts)
    every = 2 if in_layer3 >= 23 else 1
    return {name for name in firsts if int(name.split(".")[2]) % every == 0}
