"""Decoded pixels of any number of channels as RGB on white."""

import cv2
import numpy as np

from omnicli.errors import MediaError


def to_rgb(image: np.ndarray, kind: str) -> np.ndarray:
    """Pixels as OpenCV decodes them → RGB.

    Args:
        image: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA of 8 or 16 bits.
        kind: what it was decoded from, for the error.

    Returns:
        (H, W, 3) uint8 RGB; transparency is laid on white, 16 bits become the high 8.

    Raises:
        MediaError: "PNG of float32 numbers is not supported".
    """
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise MediaError(f"{kind} of {image.dtype} numbers is not supported")
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if image.shape[2] != 4:
        raise MediaError(f"{kind} of {image.shape[2]} channels is not supported")
    return on_white(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA))


def on_white(image: np.ndarray) -> np.ndarray:
    """(H, W, 4) uint8 RGBA → (H, W, 3): colour·a + white·(1 - a), rounded."""
    colour, alpha = image[..., :3], image[..., 3:]
    if (alpha == 255).all():
        return np.ascontiguousarray(colour)
    blended = np.empty(colour.shape, np.uint8)
    for row in range(len(image)):  # a row at a time: the products need two bytes a number
        opaque = alpha[row].astype(np.uint16)
        blended[row] = (colour[row] * opaque + 255 * (255 - opaque) + 127) // 255
    return blended
