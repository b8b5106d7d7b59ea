"""Bars and mirrored margins around a picture: where the picture itself lies (Ours).

Who copies a video to another shape fills the rest of the canvas, with one colour or with the picture reflected in its
own edges. Both move the picture on the canvas, so that nothing that looks at the whole canvas recognises it.

A mirrored margin is found by its gradient: left and right of the mirror it is the same with its sign turned. Summed
over rows, that is the correlation of a row with itself, at all mirrors at once, by one Fourier transform.
"""

from typing import NamedTuple

import cv2
import numpy as np

MIN_MARGIN = 0.05  # of the canvas: what is narrower changes a signature little
MAX_MARGIN = 0.4  # of the canvas, on each side
MIN_MIRROR = 0.5  # share of the gradient that is mirrored; pictures with clean mirrored margins have 0.6 to 0.98
BAND_LINES = 4  # lines whose mean is compared
MAX_BAR_RANGE = 16  # grey levels between the darkest and the brightest pixel of a line of a bar: what codecs leave
MAX_BAR_DRIFT = 8  # grey levels between the means of two lines of one bar
MIN_LEFT_OVER = 0.3  # of the canvas, in height and in width


class Crop(NamedTuple):
    """A rectangle on a square canvas, edges in half pixels from the top left corner, ends exclusive."""

    top: int
    bottom: int
    left: int
    right: int


def full_crop(size: int) -> Crop:
    """The whole of a canvas of ``size`` pixels a side."""
    return Crop(0, 2 * size, 0, 2 * size)


def find_picture(frames: np.ndarray) -> Crop:
    """Where the picture lies that these frames share: mirrored margins first, then bars, since bars may be mirrored.

    Args:
        frames: (F, S, S) uint8 grey, of one shot.

    Returns:
        The whole canvas if there is nothing around the picture, or too little left inside.
    """
    size = frames.shape[1]
    left, right = _mirrors(frames)
    top, bottom = _mirrors(np.ascontiguousarray(frames.swapaxes(1, 2)))
    inside = frames[:, (top + 1) // 2 : bottom // 2, (left + 1) // 2 : right // 2]
    bar_top, bar_bottom = _bars(inside)
    bar_left, bar_right = _bars(inside[:, bar_top : inside.shape[1] - bar_bottom].swapaxes(1, 2))
    crop = Crop(top + 2 * bar_top, bottom - 2 * bar_bottom, left + 2 * bar_left, right - 2 * bar_right)
    is_enough = min(crop.bottom - crop.top, crop.right - crop.left) >= 2 * size * MIN_LEFT_OVER
    return crop if is_enough else full_crop(size)


def mirror_scores(frames: np.ndarray) -> np.ndarray:
    """How well the columns to one side of a mirror repeat those to its other side, turned round.

    Args:
        frames: (F, H, S) uint8.

    Returns:
        (2S - 3,) float64 in [-1, 1], mirror m standing at (m + 2) / 2 pixels from the left edge: 1 if the narrower
        side is reflected, about 0 if not.
    """
    size = frames.shape[2]
    gradient = np.diff(frames.astype(np.float32), axis=2)  # (F, H, S - 1)
    num = gradient.shape[2]
    spectrum = np.fft.rfft(gradient, 2 * size, axis=2)
    products = np.fft.irfft((spectrum * spectrum).sum(axis=(0, 1)), 2 * size)[: 2 * num - 1]  # Σ g[x] g[m - x]
    energy = np.concatenate([[0.0], np.cumsum((gradient * gradient).sum(axis=(0, 1), dtype=np.float64))])
    mirrors = np.arange(2 * num - 1)
    first, last = np.maximum(mirrors - num + 1, 0), np.minimum(mirrors, num - 1)
    scores: np.ndarray = -products / np.maximum(energy[last + 1] - energy[first], 1.0)
    return scores


def _mirrors(frames: np.ndarray) -> tuple[int, int]:
    """Left and right end of what lies between two mirrors, in half pixels."""
    size = frames.shape[2]
    # Means along the mirror keep what it does; a blur across it, for the axis of a resized copy lies between pixels.
    bands = [cv2.resize(frame, (size, size // BAND_LINES), interpolation=cv2.INTER_AREA) for frame in frames]
    scores = mirror_scores(np.stack([cv2.blur(band, (3, 1)) for band in bands]))
    nearest, farthest = round(2 * size * MIN_MARGIN) - 2, round(2 * size * MAX_MARGIN) - 2
    from_left = nearest + int(scores[nearest:farthest].argmax())
    from_right = nearest + int(scores[::-1][nearest:farthest].argmax())
    left = from_left + 2 if scores[from_left] >= MIN_MIRROR else 0
    right = from_right + 2 if scores[::-1][from_right] >= MIN_MIRROR else 0
    return left, 2 * size - right


def _bars(frames: np.ndarray) -> tuple[int, int]:
    """Lines at the top and at the bottom that are of one colour, in all frames."""
    darkest, brightest = frames.min(axis=(0, 2)).astype(np.int64), frames.max(axis=(0, 2)).astype(np.int64)
    means = frames.mean(axis=(0, 2))
    return _num_alike(darkest, brightest, means), _num_alike(darkest[::-1], brightest[::-1], means[::-1])


def _num_alike(darkest: np.ndarray, brightest: np.ndarray, means: np.ndarray) -> int:
    is_bar = (brightest - darkest <= MAX_BAR_RANGE) & (np.abs(means - means[0]) <= MAX_BAR_DRIFT)
    return len(is_bar) if is_bar.all() else int(is_bar.argmin())
