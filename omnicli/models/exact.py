"""A model in bfloat16 beside the same model in float32, which decides what bfloat16 cannot."""

import copy
from dataclasses import replace

import torch

from omnicli.models.loading import LoadedModel
from omnicli.models.onnx.onnx_model import OnnxModel


def with_exact(exact: LoadedModel, precision: torch.dtype) -> LoadedModel:
    """A model in ``precision`` whose ``exact`` is the one given.

    Args:
        exact: loaded in float32.
        precision: of the other one; in float32, and of a program of its own precision (ONNX), the model is as it is.
    """
    if precision == torch.float32 or isinstance(exact.network, OnnxModel):
        return exact
    if exact.device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # as ``inference.device.pick_precision`` sets it for float32
    network = copy.deepcopy(exact.network).set_precision(precision)
    return replace(exact, network=network, precision=precision, exact=exact)
