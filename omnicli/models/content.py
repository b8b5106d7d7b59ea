"""What a backbone computes, as a digest: two files whose backbones are equal give the same features."""

import hashlib
import json
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from omnicli.models.factory import ModelSpec

COUNTERS = "num_batches_tracked"  # of batch-norms, which no output depends on


def digest_of_backbone(backbone: nn.Module, spec: "ModelSpec") -> str:
    """SHA-256 of the weights and buffers, and of how the input is normalised.

    Weights count as the network uses them, by their names in it and in float32: the program and the type that they were
    stored with make no difference. The architecture and the size of the input are in ``ModelSpec.signature``.

    Args:
        backbone: as it was built, without folded batch-norms.
        spec: its normalisation.
    """
    digest = hashlib.sha256(json.dumps([float(value) for value in (*spec.mean, *spec.std)]).encode())
    for name, tensor in sorted(backbone.state_dict().items()):
        if not name.endswith(COUNTERS):
            plain = tensor.detach().to("cpu", torch.float32).reshape(-1)
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(plain.numpy().data)
    return digest.hexdigest()
