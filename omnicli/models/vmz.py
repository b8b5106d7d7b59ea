"""Weights of VMZ, the authors' code of IG-65M and of CSN, under omni's names.

Its files are pickles of Caffe2 blobs, arrays by name: ``comp_3_conv_1_middle_w`` is the spatial part of the first
convolution of the fourth block. Blocks are counted through all layers. They are read as data (``array_pickle``).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from omnicli.errors import ModelError
from omnicli.models.array_pickle import read_arrays
from omnicli.models.resnet3d_configs import BLOCKS_OF_DEPTH

TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how the older files of torch.save begin
PARTS = {"w": "weight", "s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}
LAYERS_OF_COUNT = {sum(counts): counts for counts in BLOCKS_OF_DEPTH.values()}
LAYER = re.compile(
    r"(?P<of>conv1|comp_(?P<block>\d+)_(?P<kind>conv|spatbn)_(?P<index>\d+))"
    r"(?P<middle>_middle)?(?P<norm>_spatbn_relu)?_(?P<part>w|s|b|rm|riv)"
)
SHORTCUT = re.compile(r"shortcut_projection_(?P<block>\d+)(?P<norm>_spatbn)?_(?P<part>w|s|b|rm|riv)")
CLASSIFIER = re.compile(r"last_out_L\d+_(?P<part>[wb])")


def is_vmz(names: Iterable[str]) -> bool:
    """Whether the names are those of Caffe2 blobs of VMZ."""
    return {"conv1_w", "comp_0_conv_1_w"} <= set(names)


def read_blobs(data: bytes, *, path: str) -> dict[str, Tensor]:
    """Tensors by their names in a pickle of blobs.

    Raises:
        ModelError: the pickle holds anything but arrays by name.
    """
    content = read_arrays(data, path=path)
    blobs = content.get("blobs", content) if isinstance(content, dict) else None
    if not isinstance(blobs, dict) or not is_vmz(map(str, blobs)):
        raise ModelError(f"{path}: not a checkpoint (a pickle that torch.save did not write)")
    arrays = {str(name): value for name, value in blobs.items() if isinstance(value, np.ndarray)}
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}


def from_vmz(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by omni's names; names that are unknown stay, and the momentum of the optimiser is left out."""
    found = [match for match in map(LAYER.fullmatch, weights) if match and match["kind"] == "conv"]
    indices: dict[str, set[int]] = defaultdict(set)  # of the convolutions of a block; irCSN counts its second twice
    for match in found:
        indices[match["block"]].add(int(match["index"]))
    counts = LAYERS_OF_COUNT.get(len(indices), (len(indices),))
    layers = [f"layer{layer}.{block}" for layer, count in enumerate(counts, start=1) for block in range(count)]
    blocks = {str(number): f"backbone.{layer}" for number, layer in enumerate(layers) if str(number) in indices}

    def rename(name: str) -> str:
        if match := CLASSIFIER.fullmatch(name):
            return f"fc.{PARTS[match['part']]}"
        if (match := SHORTCUT.fullmatch(name)) and match["block"] in blocks:
            return f"{blocks[match['block']]}.downsample.{int(match['norm'] is not None)}.{PARTS[match['part']]}"
        if not (match := LAYER.fullmatch(name)) or match["block"] not in (None, *blocks):
            return name
        number, block = 1, "backbone"
        if match["block"]:
            number = 1 + sum(index < int(match["index"]) for index in indices[match["block"]])
            block = blocks[match["block"]]
        is_norm = bool(match["norm"]) or match["kind"] == "spatbn"
        layer = _layer_name(
            number, is_norm=is_norm, is_middle=bool(match["middle"]), has_middle=f"{match['of']}_middle_w" in weights,
            is_factorised="conv1_middle_w" in weights,
        )  # fmt: skip
        return f"{block}.{layer}.{PARTS[match['part']]}"

    return {rename(name): tensor for name, tensor in weights.items() if not name.endswith("_momentum")}


def _layer_name(number: int, *, is_norm: bool, is_middle: bool, has_middle: bool, is_factorised: bool) -> str:
    """A convolution or batch-norm in a block; the ``middle`` ones are spatial in R(2+1)D, and 1x1x1 in ipCSN."""
    kind = "bn" if is_norm else "conv"
    if not is_factorised:
        return f"point_{kind}" if is_middle else f"{kind}{number}"
    if is_middle:
        return f"conv{number}.{kind}_s"
    return f"conv{number}.conv_t" if has_middle and not is_norm else f"{kind}{number}"
