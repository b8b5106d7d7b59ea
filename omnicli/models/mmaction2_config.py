"""The config that mmaction2 stores in its checkpoints: what weights alone do not say of their network and its input.

It is a program in Python's syntax, and is read as data: literals, calls of ``dict`` and names of earlier values.
"""

import ast
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from omnicli.errors import ModelError
from omnicli.models.factory import ModelSpec
from omnicli.models.mmaction2 import mmaction2_model

MAX_CHARACTERS = 1 << 20
OTHER_NETWORKS = ("C2D",)  # with the weights of a ResNet, and pooling over time
# of backbones, where they change no shape; others than these are computed by no model of omni
USUAL: dict[str, Any] = {
    "style": "pytorch", "with_pool1": True, "temporal_pool": False, "conv1_stride_s": 2, "pool1_stride_s": 2,
    "spatial_strides": (1, 2, 2, 2), "strides": (1, 2, 2, 2), "dilations": (1, 1, 1, 1),
}  # fmt: skip
COMPARED = ("conv1_stride_t", "pool1_stride_t", "temporal_strides", "shift_div", "resample_rate", "speed_ratio")
ATTENTION = ("mode", "use_scale", "sub_sample")

Config = Mapping[str, Any]


def read_config(meta: Mapping[Any, Any]) -> Config:
    """The config in the ``meta`` of a checkpoint (mmengine: ``cfg``, mmcv: ``config``); empty without one."""
    text = next((meta[key] for key in ("cfg", "config") if isinstance(meta.get(key), str)), "")
    if len(text) > MAX_CHARACTERS:
        return {}
    values: dict[str, Any] = {}
    try:
        for statement in ast.parse(text).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    values[name] = _value(value, values)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return values


def _value(node: ast.expr, known: Config) -> Any:
    """A value; None for what is no data."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return known.get(name)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value) | float(value))):
            return -value
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return tuple(_value(item, known) for item in items)
        case ast.Dict(keys=keys, values=items):
            return {key.value: _value(item, known) for key, item in zip(keys, items, strict=True)
                    if isinstance(key, ast.Constant)}  # fmt: skip
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=items):
            made: dict[str, Any] = {}
            for item in items:
                value = _value(item.value, known)
                made |= {item.arg: value} if item.arg else value if isinstance(value, dict) else {}
            return made
    return None


def timm_backbone(config: Config) -> str | None:
    """The architecture of a TSN whose backbone the config takes from timm."""
    kind = _part(config, "model", "backbone").get("type")
    is_tsn = _part(config, "model", "cls_head").get("type") == "TSNHead"
    owner, _, backbone = str(kind).partition(".")
    return f"tsn-{backbone}" if is_tsn and owner == "timm" else None


def takes_bgr(config: Config) -> bool | None:
    """Whether the network takes BGR; None if the config does not say."""
    images = _part(config, "img_norm_cfg")
    if isinstance(images.get("to_bgr"), bool):
        return bool(images["to_bgr"])  # mmaction2 0.x decodes to RGB
    return not images["to_rgb"] if isinstance(images.get("to_rgb"), bool) else None  # old mmaction to BGR


def with_input(spec: ModelSpec, config: Config) -> ModelSpec:
    """The spec with the normalisation of the config, and a sigmoid where its loss has one."""
    own = _part(config, "model", "data_preprocessor") or _part(config, "img_norm_cfg")
    mean, std = (_triple(own.get(key), spec, is_bgr=takes_bgr(config)) for key in ("mean", "std"))
    if mean and std and min(std) > 0:
        spec = replace(spec, mean=mean, std=std)
    head = _part(config, "model", "cls_head")
    is_binary = _part(head, "loss_cls").get("type") == "BCELossWithLogits"
    return replace(spec, multi_label=True) if is_binary else spec


def check_same_network(spec: ModelSpec, config: Config, *, path: str) -> None:
    """Refuse weights that fit a model of omni which computes something else with them.

    Raises:
        ModelError: names the first differences.
    """
    theirs = _part(config, "model", "backbone")
    kind = str(theirs.get("type")).rpartition(".")[2]
    if kind in OTHER_NETWORKS:
        raise ModelError(f"{path}: its config has a {kind}, which {spec.name} with the same weights does not compute")
    ours = (mmaction2_model(spec, 1) or {}).get("backbone", {})
    if not theirs or not ours or "timm" in str(theirs.get("type")):
        return
    wanted = {key: value for key, value in USUAL.items() if key in theirs}
    wanted |= {key: ours[key] for key in COMPARED if key in ours and key in theirs}
    pairs = [(key, theirs[key], value) for key, value in wanted.items()]
    attention, usual = _part(theirs, "non_local_cfg"), ours.get("non_local_cfg", {})
    pairs += [(key, attention[key], usual[key]) for key in ATTENTION if key in attention and key in usual]
    differing = [f"{key} is {given!r}, expected {value!r}" for key, given, value in pairs if given != value]
    if differing:
        raise ModelError(f"{path}: its config differs from {spec.name}: {'; '.join(differing[:3])}")


def _part(config: Config, *keys: str) -> Config:
    """A part of the config; empty where it has none."""
    for key in keys:
        part = config.get(key)
        config = part if isinstance(part, dict) else {}
    return config


def _triple(values: Any, spec: ModelSpec, *, is_bgr: bool | None) -> tuple[float, float, float] | None:
    """Three numbers in RGB order; of flow, whose channels are alike, the first."""
    if not isinstance(values, tuple) or not all(isinstance(value, int | float) for value in values):
        return None
    if spec.flow_pairs and values:
        return (float(values[0]),) * 3
    if len(values) != 3:
        return None
    first, green, last = (float(value) for value in values)
    return (last, green, first) if is_bgr else (first, green, last)
