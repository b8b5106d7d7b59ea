"""RAFT (Teed and Deng, 2020) of torchvision: the optical flow between consecutive frames.

Ours: frames are padded by their edges to the multiple of 8 pixels, and the 128, that the network needs, and the flow is
cut back; the network refines 12 times, torchvision's default.
"""

import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from omnicli.errors import ModelError
from omnicli.models.checkpoint import load_weights
from omnicli.models.downloads import failing_fast
from omnicli.models.factory import load_exactly
from omnicli.models.libraries import library

SMALLEST = 128  # pixels: the network looks at 1/8, 1/16, 1/32 and 1/64 of them
MULTIPLE = 8
PAIRS_AT_ONCE = 8


def load_raft(size: Literal["large", "small"], weights: str | Path | None, device: torch.device) -> nn.Module:
    """RAFT with the weights of a file, or torchvision's, which are downloaded.

    Raises:
        ModelError: the weights cannot be read or downloaded, or do not fit.
    """
    optical_flow = library("torchvision.models.optical_flow")
    create = optical_flow.raft_large if size == "large" else optical_flow.raft_small
    if weights is not None:
        network: nn.Module = create(weights=None)
        load_exactly(network, load_weights(weights), path=str(weights), what=f"RAFT ({size})")
    else:
        try:
            with failing_fast():
                network = create(weights="DEFAULT")
        except Exception as error:  # torch.hub raises errors of urllib, http and its own
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
            raise ModelError(
                f"the weights of RAFT cannot be downloaded ({reason}); give them as --weights FILE, or --method dis"
            ) from None
    return network.to(device).eval()


class RaftFlow:
    """Flow of a stream of frames; one thread at a time computes, while others decode.

    Args:
        network: of ``load_raft``.
        device: of the network.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network = network
        self._device = device
        self._lock = threading.Lock()

    def __call__(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Flow (H, W, 2) float32 in pixels from each frame (H, W, 3) uint8 RGB to the next."""
        before = next(frames, None)
        while before is not None and (some := list(islice(frames, PAIRS_AT_ONCE))):
            together = np.stack([before, *some])
            with self._lock, torch.inference_mode():
                yield from self._flow(torch.from_numpy(together).to(self._device))
            before = some[-1]

    def _flow(self, frames: Tensor) -> list[np.ndarray]:
        """(H, W, 2) arrays of N + 1 frames (N + 1, H, W, 3)."""
        images = frames.permute(0, 3, 1, 2).float().div(255).sub(0.5).div(0.5)  # as torchvision's transform
        height, width = images.shape[2:]
        right, below = (max(-(-side // MULTIPLE) * MULTIPLE, SMALLEST) - side for side in (width, height))
        images = functional.pad(images, (0, right, 0, below), mode="replicate")
        flow = self._network(images[:-1], images[1:])[-1][..., :height, :width]  # (N, 2, H, W)
        return list(flow.permute(0, 2, 3, 1).float().cpu().numpy())
