"""Frames to model inputs: resize, crop, flip, normalise; the same for every frame of a clip.

Frames are (T, H, W, 3) uint8 RGB until ``normalise``, which alone turns pixels into (N, C, T, H, W) floats.
Resizing is cv2 bilinear without antialias, as the released models were trained. Crops are views: nothing is
copied until ``to_clip``.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from omnicli.media.flow_pixels import mirror_flow
from omnicli.media.resizing import resize
from omnicli.media.resizing import resize_short_side as resize_short_side  # part of this module's interface

MULTI_SCALES = (1.0, 0.875, 0.75, 0.66)  # of TSN


def centre_crop(frames: np.ndarray, crop_size: int) -> np.ndarray:
    """The square in the middle, (T, crop_size, crop_size, 3); an odd remainder is left at the right and below."""
    height, width = frames.shape[1:3]
    return _crop(frames, (height - crop_size) // 2, (width - crop_size) // 2, crop_size, crop_size)


def three_crops(frames: np.ndarray, crop_size: int) -> np.ndarray:
    """Three squares along the long side: first end, last end, middle (the 3D test protocol).

    The ends are 0 and twice the half distance, rounded down, so an odd remainder leaves one pixel at the last end.
    Ours: across the short side the squares are centred; the released code accepts only ``crop_size`` = short side.

    Args:
        frames: (T, H, W, 3) uint8, both sides at least ``crop_size``.
        crop_size: pixels.

    Returns:
        (3, T, crop_size, crop_size, 3) uint8.
    """
    height, width = frames.shape[1:3]
    half_y, half_x = (height - crop_size) // 2, (width - crop_size) // 2
    if width >= height:
        corners = [(half_y, 0), (half_y, 2 * half_x), (half_y, half_x)]
    else:
        corners = [(0, half_x), (2 * half_y, half_x), (half_y, half_x)]
    return np.stack([_crop(frames, top, left, crop_size, crop_size) for top, left in corners])


def ten_crops(frames: np.ndarray, crop_size: int, *, is_flow: bool = False) -> np.ndarray:
    """Four corners and the centre, each followed by its mirror (the TSN test protocol).

    The positions are multiples of a quarter of the free distance, rounded down, as in the released code, so the centre
    may lie up to two pixels from that of ``centre_crop``.

    Returns:
        (10, T, crop_size, crop_size, 3) uint8: top left, mirror, top right, ..., bottom left, ..., bottom right, ...,
        centre, mirror.
    """
    height, width = frames.shape[1:3]
    step_y, step_x = (height - crop_size) // 4, (width - crop_size) // 4
    crops = []
    for y, x in ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)):
        crop = _crop(frames, y * step_y, x * step_x, crop_size, crop_size)
        crops += [crop, flip(crop, is_flow=is_flow)]
    return np.stack(crops)


def five_crops(frames: np.ndarray, crop_size: int) -> np.ndarray:
    """Four corners and the centre of each frame, at the positions of ``ten_crops`` (OmniSource Sec. 3.3).

    Returns:
        (5 * T, crop_size, crop_size, 3) uint8, the five of one frame after the other.
    """
    crops = ten_crops(frames, crop_size)[::2].swapaxes(0, 1)  # (T, 5, H, W, 3)
    return crops.reshape(-1, *crops.shape[2:])


def flip(frames: np.ndarray, *, is_flow: bool = False) -> np.ndarray:
    """The mirror image, (T, H, W, 3), a view; or optical flow as the mirrored video has it, its x negated."""
    return mirror_flow(frames) if is_flow else frames[:, :, ::-1]


def random_crop(frames: np.ndarray, crop_size: int, rng: np.random.Generator) -> np.ndarray:
    """A square at a random position, one for the whole clip, without resizing (IG-65M Sec. 3.3).

    Args:
        frames: (T, H, W, 3) uint8, both sides at least ``crop_size``.
        crop_size: pixels.
        rng: draws the position.

    Returns:
        (T, crop_size, crop_size, 3) uint8; a view.
    """
    height, width = frames.shape[1:3]
    top, left = (int(rng.integers(side - crop_size + 1)) for side in (height, width))
    return _crop(frames, top, left, crop_size, crop_size)


def random_resized_crop(
    frames: np.ndarray,
    crop_size: int,
    rng: np.random.Generator,
    *,
    area_range: tuple[float, float] = (0.08, 1.0),
    aspect_range: tuple[float, float] = (3 / 4, 4 / 3),
) -> np.ndarray:
    """A random rectangle of 8 to 100 % of the image, sides 3:4 to 4:3, resized to a square; one for the whole clip.

    Args:
        frames: (T, H, W, 3) uint8, of any size.
        crop_size: pixels of the result.
        rng: draws 10 candidates; if none fits, the largest central square is used.
        area_range: smallest and largest share of the image.
        aspect_range: smallest and largest width/height, uniform in the logarithm.

    Returns:
        (T, crop_size, crop_size, 3) uint8.
    """
    top, left, height, width = _random_box(frames.shape[1], frames.shape[2], area_range, aspect_range, rng)
    return resize(_crop(frames, top, left, height, width), crop_size, crop_size)


def multi_scale_crop(
    frames: np.ndarray,
    crop_size: int,
    rng: np.random.Generator,
    *,
    scales: Sequence[float] = MULTI_SCALES,
    max_wh_scale_gap: int = 1,
) -> np.ndarray:
    """A rectangle at one of five positions, its sides two of the scales of the short side, resized to a square (TSN).

    Args:
        frames: (T, H, W, 3) uint8, of any size.
        crop_size: pixels of the result; a side within 2 pixels of it is taken as it, to avoid resampling.
        rng: draws the sides and the position (corners and centre, as in ``ten_crops``).
        scales: shares of the short side, descending.
        max_wh_scale_gap: how far apart in ``scales`` width and height may be.

    Returns:
        (T, crop_size, crop_size, 3) uint8.
    """
    height, width = frames.shape[1:3]
    sides = [int(min(height, width) * scale) for scale in scales]
    pairs = [
        (side_y, side_x)
        for index_y, side_y in enumerate(sides)
        for index_x, side_x in enumerate(sides)
        if abs(index_y - index_x) <= max_wh_scale_gap
    ]
    crop_h, crop_w = (_snap(side, crop_size, min(height, width)) for side in pairs[rng.integers(len(pairs))])
    step_y, step_x = (height - crop_h) // 4, (width - crop_w) // 4
    y, x = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2))[rng.integers(5)]
    return resize(_crop(frames, y * step_y, x * step_x, crop_h, crop_w), crop_size, crop_size)


def erase_box(clip: np.ndarray, rng: np.random.Generator, *, mean: Sequence[float], std: Sequence[float]) -> None:
    """Overwrite a random box, the same in every frame, with normal noise of these moments ("pixel" mode of timm).

    The box has 2 to 33 % of the pixels and sides 0.3:1 to 1:0.3. Ours: the noise is rounded to bytes, because clips are
    normalised later; of N(0, 1) after ImageNet's normalisation, that clips 3 %.

    Args:
        clip: (T, H, W, 3) uint8; modified.
        rng: draws the box, and the noise of every frame.
        mean: (3,) on the scale 0-255.
        std: (3,) on the scale 0-255.
    """
    height, width = clip.shape[1:3]
    top, left, box_h, box_w = _random_box(height, width, (0.02, 1 / 3), (0.3, 1 / 0.3), rng)
    box = _crop(clip, top, left, box_h, box_w)
    noise = rng.standard_normal(box.shape, dtype=np.float32) * np.array(std, np.float32) + np.array(mean, np.float32)
    box[:] = np.clip(np.rint(noise), 0, 255)


def to_clip(frames: np.ndarray) -> Tensor:
    """Frames as a tensor for a batch.

    Returns:
        (T, H, W, C) uint8, contiguous; shares memory with ``frames`` where those are contiguous and writable.
    """
    contiguous = np.require(frames, requirements=["C", "W"])
    return torch.from_numpy(contiguous)


def normalise(
    clips: Tensor,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """(x - mean) / std per channel, moved to ``device`` as bytes and computed there in float32.

    Args:
        clips: (N, T, H, W, C) uint8 RGB; pinned memory is copied asynchronously.
        mean: (C,) on the scale 0-255.
        std: (C,) on the scale 0-255.
        dtype: of the result.
        device: of the result.

    Returns:
        (N, C, T, H, W), a view on channels-last memory.
    """
    num_clips, num_frames, height, width, channels = clips.shape
    # Rows of width x channels, because rows of three numbers would prevent vector instructions.
    pixels = clips.to(device, non_blocking=True).reshape(num_clips, num_frames, height, width * channels)
    centre, spread = (_row_of((*values,), width, torch.device(device)) for values in (mean, std))
    floats = pixels.float().sub_(centre).div_(spread).to(dtype)
    return floats.reshape(clips.shape).permute(0, 4, 1, 2, 3)  # (N, C, T, H, W)


@lru_cache(maxsize=64)
def _row_of(values: tuple[float, ...], width: int, device: torch.device) -> Tensor:
    """(width * C,) float32; cached, because a copy from pageable memory to a GPU waits for all queued work."""
    return torch.tensor(values, dtype=torch.float32, device=device).repeat(width)


def _crop(frames: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A view; a crop larger than the frames is an error of the caller, never a smaller crop."""
    if top < 0 or left < 0:
        raise ValueError(
            f"frames of {frames.shape[1]}x{frames.shape[2]} pixels are smaller than a crop of {height}x{width}"
        )
    return frames[:, top : top + height, left : left + width]


def _snap(side: int, crop_size: int, short_side: int) -> int:
    return crop_size if abs(side - crop_size) < 3 and crop_size <= short_side else max(side, 1)


def _random_box(
    height: int,
    width: int,
    area_range: tuple[float, float],
    aspect_range: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """Top, left, height, width of a rectangle inside ``height`` x ``width`` pixels."""
    num_tries = 10
    aspects = np.exp(rng.uniform(math.log(aspect_range[0]), math.log(aspect_range[1]), size=num_tries))
    areas = rng.uniform(*area_range, size=num_tries) * (height * width)
    boxes_w = np.round(np.sqrt(areas * aspects)).astype(int)
    boxes_h = np.round(np.sqrt(areas / aspects)).astype(int)
    for box_w, box_h in zip(boxes_w.tolist(), boxes_h.tolist(), strict=True):
        if 1 <= box_h <= height and 1 <= box_w <= width:
            left = int(rng.integers(width - box_w + 1))
            return int(rng.integers(height - box_h + 1)), left, box_h, box_w
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side
