"""Resizing and turning of decoded frames, as the released models were trained: cv2 bilinear, no antialias."""

import cv2
import numpy as np


def resize_short_side(frames: np.ndarray, short_side: int) -> np.ndarray:
    """Frames whose short side is ``short_side``, the long side int(long·s + 0.5).

    Args:
        frames: (T, H, W, 3) uint8.
        short_side: pixels, at least 1.

    Returns:
        (T, H', W', 3) uint8; the same array if it already fits.
    """
    height, width = frames.shape[1:3]
    return resize(frames, *fitting_size(height, width, short_side))


def resize(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Frames stretched to ``height`` x ``width`` pixels.

    Returns:
        (T, height, width, 3) uint8; the same array if it already fits.
    """
    if frames.shape[1:3] == (height, width):
        return frames
    resized = np.empty((len(frames), height, width, 3), np.uint8)
    for frame, target in zip(frames, resized, strict=True):
        resize_into(frame, target)
    return resized


def resize_into(frame: np.ndarray, target: np.ndarray) -> None:
    """A frame (H, W, 3) uint8 stretched into ``target``, contiguous, of any size."""
    if frame.shape == target.shape:
        target[:] = frame
    else:
        height, width = target.shape[:2]
        cv2.resize(frame, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)


def fitting_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width with ``short_side`` as the shorter, the other int(long·s + 0.5).

    >>> fitting_size(240, 320, 256)
    (256, 341)
    """
    scale = short_side / min(height, width)
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)


def shrink(image: np.ndarray, size: int) -> np.ndarray:
    """An image stretched to a small square: each pixel the mean of the area it covers, so that no detail aliases.

    Args:
        image: (H, W) or (H, W, C) uint8.
        size: pixels of a side.

    Returns:
        (size, size) or (size, size, C) uint8; an image with a smaller side is interpolated.
    """
    interpolation = cv2.INTER_AREA if min(image.shape[:2]) >= size else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=interpolation)


def orient(image: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels as they are meant to be seen.

    Args:
        image: (H, W, 3) or (H, W) as stored.
        orientation: Exif's 1-8: 2 mirrored, 3 upside down, 4 flipped, 5 transposed, 6 to be turned right, 7 transposed
            along the other diagonal, 8 to be turned left.

    Returns:
        The same, H and W swapped for 5-8; contiguous.
    """
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
