"""Recorded outputs of the released implementation, if ../shared is present."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from load_script import load_script

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"
ARCHITECTURES = {
    "i3d_r50_32x2": "i3d-r50",
    "ipcsn_r152_32x2": "ipcsn-r152",
    "ircsn_r152_32x2": "ircsn-r152",
    "ircsn_r50_32x2": "ircsn-r50",
    "r2plus1d_r34_32x2": "r2plus1d-mm-r34",
    "r2plus1d_r34_8x8": "r2plus1d-mm-r34",
    "slowfast_r50_4x16": "slowfast-r50",
    "slowfast_r50_8x8": "slowfast-r50-8x8",
    "slowonly_r101_8x8": "slowonly-r101",
    "slowonly_r50_4x16": "slowonly-r50",
    "slowonly_r50_8x8": "slowonly-r50",
    "tsm_r50_8seg": "tsm-resnet50",
    "tsn_r50_3seg": "tsn-resnet50",
    "tsn_r50_3seg_224": "tsn-resnet50",
}


class Reference:
    """Weights, inputs and logits of the released models, by mmaction2's names."""

    architectures = ARCHITECTURES

    def __init__(self) -> None:
        self.rule: Any = load_script(REFERENCE / "weights_rule.py")

    def weights(self, model: str) -> dict[str, torch.Tensor]:
        arrays = self.rule.state_dict(REFERENCE / f"{model}.keys.json")
        return {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}

    def empty_weights(self, model: str) -> dict[str, torch.Tensor]:
        """Names and shapes without data."""
        file = f"{model}.json" if model.startswith("keys_") else f"{model}.keys.json"
        keys = json.loads((REFERENCE / file).read_text())
        keys = keys["keys"] if isinstance(keys, dict) else keys
        return {name: torch.empty(shape, device="meta") for name, shape, *_ in keys}

    def config(self, model: str) -> dict[str, Any]:
        """The ``model`` of its config."""
        return json.loads((REFERENCE / f"{model}.keys.json").read_text())["model_cfg"]

    def clips(self, model: str) -> torch.Tensor:
        """(N, C, T, H, W)."""
        shape = tuple(int(side) for side in np.load(REFERENCE / f"{model}.npz")["input_shape"])
        given = torch.from_numpy(self.rule.make_input(model, shape))
        return given.transpose(1, 2) if given.ndim == 5 else given.flatten(0, 1)

    def logits(self, model: str) -> torch.Tensor:
        return torch.from_numpy(np.load(REFERENCE / f"{model}.npz")["logits"])


@pytest.fixture(scope="session")
def reference() -> Reference:
    if not REFERENCE.is_dir():
        pytest.skip("needs ../shared/reference")
    return Reference()
