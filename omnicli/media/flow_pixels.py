"""Optical flow as 8-bit images, which is how two-stream models take it: displacements in pixels to levels and back.

Level 0 is -bound, 255 is +bound, and 127.5 no motion. Models see a flow frame as an RGB image whose channels are x, y
and 128, so that every transform of images takes it; they read the first two channels only.
"""

import cv2
import numpy as np

BOUND = 20.0  # pixels, as in the released programs that extract flow
NO_MOTION = 128


def to_levels(flow: np.ndarray, bound: float = BOUND) -> np.ndarray:
    """Displacements in pixels, clipped to ±bound, as uint8 of the same shape."""
    levels: np.ndarray = np.rint((np.clip(flow, -bound, bound) + bound) * (255 / (2 * bound)))
    return levels.astype(np.uint8)


def to_pixels(levels: np.ndarray, bound: float = BOUND) -> np.ndarray:
    """The inverse of ``to_levels``: float32 displacements, at most bound/255 from what they were."""
    return levels.astype(np.float32) * np.float32(2 * bound / 255) - np.float32(bound)


def as_frame(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Levels (H, W) of both axes as a flow frame (H, W, 3) uint8."""
    return np.dstack([x, y, np.full_like(x, NO_MOTION)])


def mirror_flow(frames: np.ndarray) -> np.ndarray:
    """The flow (..., H, W, 3) that the mirrored video has: mirrored, and x negated."""
    mirrored = frames[..., ::-1, :].copy()
    mirrored[..., 0] = 255 - mirrored[..., 0]
    return mirrored


def flow_colours(frame: np.ndarray) -> np.ndarray:
    """A flow frame (H, W, 3) for people, uint8 RGB: the hue is the direction, no motion is white.

    Ours: full saturation is the fastest of 99 % of the pixels, but at least an eighth of the bound.
    """
    x, y = (frame[..., channel].astype(np.float32) - 127.5 for channel in (0, 1))
    speed, angle = cv2.cartToPolar(x, y, angleInDegrees=True)
    fastest = max(float(np.percentile(speed, 99)), 127.5 / 8)
    hsv = np.dstack([angle, np.minimum(speed / fastest, 1.0), np.ones_like(speed)])
    return np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)
