"""A square input as models of open_clip were trained: Pillow's antialiased filters, and torchvision's centre crop.

``how`` names the filter and the fit: ``bicubic shortest`` resizes the short side and crops the centre, ``bilinear
squash`` stretches all of the frame.
"""

import numpy as np
from PIL import Image


def own_view(frames: np.ndarray, size: int, how: str) -> np.ndarray:
    """Frames (T, H, W, 3) uint8 of full size → (T, size, size, 3) uint8."""
    filter_name, _, fit = how.partition(" ")
    resample = Image.Resampling[filter_name.upper()]
    height, width = frames.shape[1:3]
    resized_h, resized_w = (size, size) if fit == "squash" else _shortest(height, width, size)
    top, left = (round((side - size) / 2) for side in (resized_h, resized_w))  # torchvision's, half to even
    view = np.empty((len(frames), size, size, 3), np.uint8)
    for frame, target in zip(frames, view, strict=True):
        resized = Image.fromarray(frame).resize((resized_w, resized_h), resample)
        target[:] = np.asarray(resized)[top : top + size, left : left + size]
    return view


def _shortest(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width with ``size`` as the shorter; torchvision rounds the other down."""
    if height <= width:
        return size, int(size * width / height)
    return int(size * height / width), size
