"""What mmaction2 1.x has to be told besides the weights: the ``model`` of its config for one of our architectures."""

from typing import Any

from omnicli.models.architectures import TORCHVISION, backbone_name, find_config_3d
from omnicli.models.factory import ModelSpec
from omnicli.models.resnet3d_configs import ResNet3DConfig
from omnicli.models.slowfast import SlowFastConfig

PLAIN_RESNETS = {f"resnet{depth}": depth for depth in (18, 34, 50, 101, 152)}
KEEPS_HEAD = (f"{TORCHVISION}swin", f"{TORCHVISION}vit")  # mmaction2 takes off what is named fc or classifier only

Config = dict[str, Any]


def mmaction2_model(spec: ModelSpec, num_features: int) -> Config | None:
    """The config that builds the model in mmaction2; None where nothing there computes the same.

    Args:
        spec: of our model.
        num_features: at the entrance of its classifier.
    """
    design = find_config_3d(spec.name)
    backbone = _backbone_2d(spec) if design is None else _backbone_3d(spec.name, design)
    if backbone is None:
        return None
    head = {
        "num_classes": len(spec.classes),
        "in_channels": num_features,
        "spatial_type": "avg",
        "dropout_ratio": spec.dropout,
        "average_clips": "prob",
    }
    return {
        "type": "Recognizer2D" if design is None else "Recognizer3D",
        "backbone": backbone,
        "cls_head": _head_kind(spec, design) | head,
        "data_preprocessor": {
            "type": "ActionDataPreprocessor",
            "mean": [*spec.mean],
            "std": [*spec.std],
            "format_shape": "NCHW" if design is None else "NCTHW",
        },
    }


def as_python(value: Any) -> str:
    """A config as it is written there.

    >>> as_python({"type": "ResNet", "inflate": (0, 1)})
    "dict(type='ResNet', inflate=(0, 1))"
    """
    if isinstance(value, dict):
        return f"dict({', '.join(f'{key}={as_python(item)}' for key, item in value.items())})"
    return repr(value)


def is_plain_resnet(name: str) -> bool:
    """Whether a 2D model has a backbone that mmaction2 names in its own way; others keep timm's or torchvision's."""
    return name.partition("-")[2] in PLAIN_RESNETS


def _head_kind(spec: ModelSpec, design: ResNet3DConfig | SlowFastConfig | None) -> Config:
    if isinstance(design, SlowFastConfig):
        return {"type": "SlowFastHead"}
    if design is not None:
        return {"type": "I3DHead"}
    average = {"consensus": {"type": "AvgConsensus", "dim": 1}}
    if spec.name.startswith("tsm-"):
        return {"type": "TSMHead", "num_segments": spec.num_segments, "is_shift": True, **average}
    return {"type": "TSNHead", **average}


def _backbone_2d(spec: ModelSpec) -> Config | None:
    backbone = backbone_name(spec.name)
    depth = PLAIN_RESNETS.get(backbone)
    if spec.name.startswith("tsm-"):
        shifted = {"type": "ResNetTSM", "num_segments": spec.num_segments, "shift_div": 8}
        return {**shifted, "depth": depth, "pretrained": None, "norm_eval": False} if depth else None
    if depth:
        return {"type": "ResNet", "depth": depth, "pretrained": None, "norm_eval": False}
    if backbone == "bninception" or backbone.startswith(KEEPS_HEAD):
        return None
    owner = "" if backbone.startswith(TORCHVISION) else "timm."
    return {"type": f"{owner}{backbone}", "pretrained": False}


def _backbone_3d(name: str, design: ResNet3DConfig | SlowFastConfig) -> Config | None:
    if isinstance(design, SlowFastConfig):
        return _slowfast(design)
    made: Config = {"depth": design.depth, "pretrained": None}
    if design.width != 64:
        made["base_channels"] = design.width
    if design.block in ("ir", "ip"):
        return {
            "type": "ResNet3dCSN", **made, "pretrained2d": False, "with_pool2": False, "bottleneck_mode": design.block,
            "norm_eval": False, "zero_init_residual": False,
        }  # fmt: skip
    if design.pool_stride_t is None or name.startswith("torchvision-"):
        return None
    if design.factorised and design.block != "basic":
        return None  # there every convolution of a block is factorised, IG-65M's 1x1x1 are not
    made |= {
        "pretrained2d": False,
        "conv1_kernel": (design.stem_kernel_t, 7, 7),
        "conv1_stride_t": design.stem_stride_t,
        "pool1_stride_t": design.pool_stride_t,
        "temporal_strides": design.temporal_strides,
        "inflate": _inflate(design),
        "norm_eval": False,
    }
    if design.factorised:
        norm = {"type": "SyncBN", "requires_grad": True, "eps": design.eps}
        return {"type": "ResNet2Plus1d", **made, "conv_cfg": {"type": "Conv2plus1d"}, "norm_cfg": norm}
    kind = {"type": "ResNet3d"} if design.has_time_pool else {"type": "ResNet3dSlowOnly", "lateral": False}
    return {**kind, **made, **_non_local(design)}


def _inflate(design: ResNet3DConfig) -> tuple[Any, ...]:
    """Which blocks see more than one frame: one number a layer, or one a block where blocks of a layer differ."""
    wide = design.block == "basic"
    layers = []
    for index, count in enumerate(design.num_blocks):
        kernels = (design.wide_kernels_t[index],) if wide else design.first_kernels_t[index]
        layers.append(tuple(int(kernels[block % len(kernels)] > 1) for block in range(count)))
    is_mixed = any(len(set(flags)) > 1 for flags in layers)
    return tuple(layers) if is_mixed else tuple(flags[0] for flags in layers)


def _non_local(design: ResNet3DConfig) -> Config:
    blocks = tuple(
        tuple(int(pattern[block % len(pattern)]) for block in range(count))
        for pattern, count in zip(design.non_local, design.num_blocks, strict=True)
    )
    if not any(map(any, blocks)):
        return {}
    norm = {"type": "BN3d", "requires_grad": True}
    kind = {"sub_sample": True, "use_scale": design.is_scaled, "norm_cfg": norm, "mode": "embedded_gaussian"}
    return {"non_local": blocks, "non_local_cfg": kind}


def _slowfast(design: SlowFastConfig) -> Config:
    common = {
        "type": "resnet3d", "depth": design.depth, "pretrained": None, "conv1_stride_t": 1, "pool1_stride_t": 1,
        "norm_eval": False,
    }  # fmt: skip
    slow = {"lateral": True, "conv1_kernel": (1, 7, 7), "dilations": (1, 1, 1, 1), "inflate": (0, 0, 1, 1)}
    return {
        "type": "ResNet3dSlowFast",
        "pretrained": None,
        "resample_rate": design.tau,
        "speed_ratio": design.alpha,
        "channel_ratio": 8,
        "slow_pathway": {**common, **slow, "fusion_kernel": design.fusion_kernel},
        "fast_pathway": {**common, "lateral": False, "base_channels": 8, "conv1_kernel": (5, 7, 7)},
    }
