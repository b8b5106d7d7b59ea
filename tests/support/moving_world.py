"""A rendered world whose motion is known: a textured ground that the camera passes over."""

import cv2
import numpy as np

Shift = tuple[float, float]  # x, y in pixels a frame


def texture(height: int, width: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8 with detail of a few pixels, so that motion can be seen everywhere."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 6 + 1, width // 6 + 1, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def moving_frames(
    num_frames: int, *, height: int = 128, width: int = 160, shift: Shift = (3.0, -1.5), turn: float = 0.0
) -> np.ndarray:
    """Frames (N, H, W, 3) uint8 RGB of a ground that moves by ``shift`` (x, y) pixels and ``turn`` degrees a frame."""
    ground = texture(4 * height, 4 * width, seed=0)
    return np.stack(
        [
            cv2.warpAffine(ground, pose(index, height, width, shift, turn), (width, height), flags=cv2.INTER_LINEAR)
            for index in range(num_frames)
        ]
    )


def pose(index: int, height: int, width: int, shift: Shift, turn: float) -> np.ndarray:
    """(2, 3) from ground to frame ``index``."""
    matrix = cv2.getRotationMatrix2D((2.0 * width, 2.0 * height), turn * index, 1.0)
    matrix[:, 2] += np.array((-1.5 * width + shift[0] * index, -1.5 * height + shift[1] * index))
    return matrix


def true_flow(
    index: int, *, height: int = 128, width: int = 160, shift: Shift = (3.0, -1.5), turn: float = 0.0
) -> np.ndarray:
    """(H, W, 2) pixels from frame ``index`` to the next."""
    full = [np.vstack([pose(i, height, width, shift, turn), [0, 0, 1]]) for i in (index, index + 1)]
    step = full[1] @ np.linalg.inv(full[0])
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    points = np.stack([x, y, np.ones_like(x)], axis=-1) @ step.T
    moved: np.ndarray = points[..., :2] - np.stack([x, y], axis=-1)
    return moved.astype(np.float32)
