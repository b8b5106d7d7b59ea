"""The ``model`` config with which mmaction2 1.x builds one of omni's architectures."""

from typing import Any

from omnicli.models.architectures import backbone_name, find_config_3d
from omnicli.models.factory import ModelSpec
from omnicli.models.pretrained import TORCHVISION, without_tag
from omnicli.models.resnet3d_configs import ResNet3DConfig
from omnicli.models.slowfast import SlowFastConfig
from omnicli.models.video.library_model import LibraryConfig

PLAIN_RESNETS = {f"resnet{depth}": depth for depth in (18, 34, 50, 101, 152)}
KEEPS_HEAD = (f"{TORCHVISION}swin", f"{TORCHVISION}vit")  # mmaction2 removes only layers named fc or classifier

Config = dict[str, Any]


def mmaction2_model(spec: ModelSpec, num_features: int) -> Config | None:
    """The config that builds the model in mmaction2; None if mmaction2 has no equivalent.

    Args:
        spec: of the model.
        num_features: input size of its classifier.
    """
    if spec.library is not None:
        return None
    config = find_config_3d(spec.name)
    if isinstance(config, LibraryConfig):
        return None
    backbone = _backbone_2d(spec) if config is None else _backbone_3d(spec.name, config)
    if backbone is None:
        return None
    head = {
        "num_classes": len(spec.classes),
        "in_channels": num_features,
        "spatial_type": "avg",
        "dropout_ratio": spec.dropout,
        "average_clips": "prob",
    }
    if spec.multi_label:  # "score" gives logits: mmaction2 applies no sigmoid
        head |= {"average_clips": "score", "multi_class": True, "loss_cls": {"type": "BCELossWithLogits"}}
    if spec.flow_pairs:
        backbone |= {"in_chans" if backbone["type"].startswith("timm.") else "in_channels": 2 * spec.flow_pairs}
    mean, std = normalisation_of(spec)
    return {
        "type": "Recognizer2D" if config is None else "Recognizer3D",
        "backbone": backbone,
        "cls_head": _head_kind(spec, config) | head,
        "data_preprocessor": {
            "type": "ActionDataPreprocessor",
            "mean": mean,
            "std": std,
            "format_shape": "NCHW" if config is None else "NCTHW",
        },
    }


def normalisation_of(spec: ModelSpec) -> tuple[list[float], list[float]]:
    """Mean and std of each channel of the input; those of x and y of optical flow are equal."""
    if spec.flow_pairs:
        return [spec.mean[0]] * 2 * spec.flow_pairs, [spec.std[0]] * 2 * spec.flow_pairs
    return [*spec.mean], [*spec.std]


def as_python(value: Any) -> str:
    """A config in mmaction2's notation.

    >>> as_python({"type": "ResNet", "inflate": (0, 1)})
    "dict(type='ResNet', inflate=(0, 1))"
    """
    if isinstance(value, dict):
        return f"dict({', '.join(f'{key}={as_python(item)}' for key, item in value.items())})"
    return repr(value)


def is_plain_resnet(name: str) -> bool:
    """True for a 2D model with a plain ResNet, for which mmaction2 has weight names of its own."""
    return without_tag(name).partition("-")[2] in PLAIN_RESNETS


def _head_kind(spec: ModelSpec, config: ResNet3DConfig | SlowFastConfig | None) -> Config:
    if isinstance(config, SlowFastConfig):
        return {"type": "SlowFastHead"}
    if config is not None:
        return {"type": "I3DHead"}
    average = {"consensus": {"type": "AvgConsensus", "dim": 1}}
    if spec.name.startswith("tsm-"):
        return {"type": "TSMHead", "num_segments": spec.num_segments, "is_shift": True, **average}
    return {"type": "TSNHead", **average}


def _backbone_2d(spec: ModelSpec) -> Config | None:
    backbone = without_tag(backbone_name(spec.name))
    depth = PLAIN_RESNETS.get(backbone)
    if spec.name.startswith("tsm-"):
        shifted = {"type": "ResNetTSM", "num_segments": spec.num_segments, "shift_div": 8}
        return {**shifted, "depth": depth, "pretrained": None, "norm_eval": False} if depth else None
    if depth:
        return {"type": "ResNet", "depth": depth, "pretrained": None, "norm_eval": False}
    is_torchvision = backbone.startswith(TORCHVISION)
    if backbone == "bninception" or backbone.startswith(KEEPS_HEAD) or (is_torchvision and spec.flow_pairs):
        return None
    owner = "" if is_torchvision else "timm."
    return {"type": f"{owner}{backbone}", "pretrained": False}


def _backbone_3d(name: str, config: ResNet3DConfig | SlowFastConfig) -> Config | None:
    if isinstance(config, SlowFastConfig):
        return _slowfast(config)
    made: Config = {"depth": config.depth, "pretrained": None}
    if config.width != 64:
        made["base_channels"] = config.width
    if config.block in ("ir", "ip"):
        return {
            "type": "ResNet3dCSN", **made, "pretrained2d": False, "with_pool2": False, "bottleneck_mode": config.block,
            "norm_eval": False, "zero_init_residual": False,
        }  # fmt: skip
    if config.pool_stride_t is None or name.startswith("torchvision-"):
        return None
    if config.factorised and config.block != "basic":
        return None  # mmaction2 factorises every convolution of a block, IG-65M not the 1x1x1
    made |= {
        "pretrained2d": False,
        "conv1_kernel": (config.stem_kernel_t, 7, 7),
        "conv1_stride_t": config.stem_stride_t,
        "pool1_stride_t": config.pool_stride_t,
        "temporal_strides": config.temporal_strides,
        "inflate": _inflate(config),
        "norm_eval": False,
    }
    if config.factorised:
        norm = {"type": "SyncBN", "requires_grad": True, "eps": config.eps}
        return {"type": "ResNet2Plus1d", **made, "conv_cfg": {"type": "Conv2plus1d"}, "norm_cfg": norm}
    kind = {"type": "ResNet3d"} if config.has_time_pool else {"type": "ResNet3dSlowOnly", "lateral": False}
    return {**kind, **made, **_non_local(config)}


def _inflate(config: ResNet3DConfig) -> tuple[Any, ...]:
    """1 for temporal blocks, else 0: one number per layer, or one per block if the blocks of a layer differ."""
    is_basic = config.block == "basic"
    layers = []
    for index, count in enumerate(config.num_blocks):
        kernels = (config.conv3x3_kernels_t[index],) if is_basic else config.first_kernels_t[index]
        layers.append(tuple(int(kernels[block % len(kernels)] > 1) for block in range(count)))
    is_mixed = any(len(set(flags)) > 1 for flags in layers)
    return tuple(layers) if is_mixed else tuple(flags[0] for flags in layers)


def _non_local(config: ResNet3DConfig) -> Config:
    blocks = tuple(
        tuple(int(pattern[block % len(pattern)]) for block in range(count))
        for pattern, count in zip(config.non_local, config.num_blocks, strict=True)
    )
    if not any(map(any, blocks)):
        return {}
    norm = {"type": "BN3d", "requires_grad": True}
    kind = {"sub_sample": True, "use_scale": config.is_scaled, "norm_cfg": norm, "mode": "embedded_gaussian"}
    return {"non_local": blocks, "non_local_cfg": kind}


def _slowfast(config: SlowFastConfig) -> Config:
    common = {
        "type": "resnet3d", "depth": config.depth, "pretrained": None, "conv1_stride_t": 1, "pool1_stride_t": 1,
        "norm_eval": False,
    }  # fmt: skip
    slow = {"lateral": True, "conv1_kernel": (1, 7, 7), "dilations": (1, 1, 1, 1), "inflate": (0, 0, 1, 1)}
    return {
        "type": "ResNet3dSlowFast",
        "pretrained": None,
        "resample_rate": config.tau,
        "speed_ratio": config.alpha,
        "channel_ratio": 8,
        "slow_pathway": {**common, **slow, "fusion_kernel": config.fusion_kernel},
        "fast_pathway": {**common, "lateral": False, "base_channels": 8, "conv1_kernel": (5, 7, 7)},
    }
