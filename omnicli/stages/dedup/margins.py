"""Bars and mirrored margins around an image: where the image itself lies (Ours).

Who copies a video to another shape fills the rest of the canvas, with one colour or with the image reflected in its
own edges. Both move the image on the canvas, so that nothing that compares whole canvases recognises it.

A mirrored margin is found by its gradient: left and right of the mirror it is the same with its sign turned. Summed
over rows, that is the correlation of a row with itself, at all mirrors at once, by one Fourier transform.
"""

from typing import NamedTuple

import cv2
import numpy as np

MIN_MARGIN = 0.05  # of the canvas: what is narrower changes a signature little
MAX_MARGIN = 0.4  # of the canvas, on each side
MIN_MIRROR = 0.65  # share of the gradient that is mirrored; in actions6 98 % of mirrored sides have it, 1 % of others
MAX_GRADIENT = 8  # grey levels: a single strong edge, which is its own mirror image, must not decide
BAND_LINES = 4  # lines whose mean is compared
MAX_BAR_RANGE = 16  # grey levels between the darkest and the brightest pixel of a line of a bar: what codecs leave
MAX_BAR_DRIFT = 8  # grey levels between the means of two lines of one bar
MIN_LEFT_OVER = 0.3  # of the canvas, in height and in width


class CropBox(NamedTuple):
    """A rectangle on a square canvas, edges in half pixels from the top left corner, ends exclusive."""

    top: int
    bottom: int
    left: int
    right: int


def full_crop(size: int) -> CropBox:
    """The whole of a canvas of ``size`` pixels a side."""
    return CropBox(0, 2 * size, 0, 2 * size)


def inside_mirrors(frames: np.ndarray) -> CropBox:
    """What these frames show without the margins in which they are mirrored.

    Args:
        frames: (F, S, S) uint8 grey, of one shot.

    Returns:
        The whole canvas if no side is mirrored.
    """
    left, right = _mirrors(frames)
    top, bottom = _mirrors(np.ascontiguousarray(frames.swapaxes(1, 2)))
    return CropBox(top, bottom, left, right)


def inside_bars(frames: np.ndarray, crop: CropBox) -> CropBox:
    """What these frames show without bars of one colour.

    Args:
        frames: (F, S, S) uint8 grey, of one shot.
        crop: search inside it; remove mirrored margins first, since bars may be mirrored.

    Returns:
        ``crop`` if there are no bars in it, or too little between them.
    """
    inside = frames[:, (crop.top + 1) // 2 : crop.bottom // 2, (crop.left + 1) // 2 : crop.right // 2]
    top, bottom = _bars(inside)
    left, right = _bars(inside[:, top : inside.shape[1] - bottom].swapaxes(1, 2)) if top < inside.shape[1] else (0, 0)
    found = CropBox(crop.top + 2 * top, crop.bottom - 2 * bottom, crop.left + 2 * left, crop.right - 2 * right)
    is_enough = min(found.bottom - found.top, found.right - found.left) >= 2 * frames.shape[1] * MIN_LEFT_OVER
    return found if is_enough else crop


def mirror_scores(frames: np.ndarray) -> np.ndarray:
    """How well the columns to one side of a mirror repeat those to its other side, turned round.

    Args:
        frames: (F, H, S) uint8.

    Returns:
        (2S - 3,) float64 in [-1, 1], mirror m standing at (m + 2) / 2 pixels from the left edge: 1 if the narrower
        side is reflected, about 0 if not.
    """
    size = frames.shape[2]
    gradient = np.diff(frames.astype(np.float32), axis=2).clip(-MAX_GRADIENT, MAX_GRADIENT)  # (F, H, S - 1)
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
