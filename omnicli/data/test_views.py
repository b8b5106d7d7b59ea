"""One record as the views a model is tested on: which frames, which crops."""

from typing import Literal

import numpy as np

from omnicli.data.frame_sampling import Generation, clip_indices_test, segment_indices_test
from omnicli.data.transforms import centre_crop, resize_short_side, ten_crops, three_crops
from omnicli.media.source import MediaSource

Crops = Literal["centre", "three", "ten", "full"]


def snippet_views(
    source: MediaSource,
    *,
    num_segments: int,
    short_side: int,
    crop_size: int,
    crops: Crops = "centre",
    generation: Generation = "1.x",
) -> np.ndarray:
    """Views of a 2D model: every crop of one snippet a segment.

    A picture is a video of one frame, so it has one segment (Sec. 3.4: images go to 2D teachers as they are).

    Args:
        source: an open picture, video or folder of frames.
        num_segments: equal parts of a video; one snippet each (CHECKPOINTS section 4).
        short_side: pixels the short side is resized to.
        crop_size: pixels of each square.
        crops: the middle; three along the long side; corners, middle and their mirrors; or the full frame, which makes
            the test fully convolutional (IG-65M Sec. 4.4).
        generation: which released code's choice of frames.

    Returns:
        (V, 1, crop_size, crop_size, 3) uint8 RGB, V = segments x crops; the full frame keeps its two sides.

    Raises:
        MediaError: a wanted frame does not decode.
    """
    num_frames = source.num_frames
    indices = (
        np.zeros(1, dtype=np.int64)
        if num_frames == 1
        else segment_indices_test(num_frames, num_segments=num_segments, generation=generation)
    )
    cropped = _cropped(source, indices, short_side=short_side, crop_size=crop_size, crops=crops)
    return cropped.reshape(-1, 1, *cropped.shape[2:])  # (crops * S, 1, H, W, 3)


def clip_views(
    source: MediaSource,
    *,
    num_clips: int,
    num_frames: int,
    frame_interval: int,
    short_side: int,
    crop_size: int,
    crops: Crops = "centre",
    generation: Generation = "1.x",
) -> np.ndarray:
    """Views of a 3D model: every crop of dense clips spread over the video (CHECKPOINTS section 4: 10 x 3).

    Args:
        source: an open video or folder of frames.
        num_clips: clips.
        num_frames: frames of each.
        frame_interval: from one to the next.
        short_side: pixels the short side is resized to.
        crop_size: pixels of each square.
        crops: the middle; three along the long side; corners, middle and their mirrors; or the full frame, which makes
            the test fully convolutional (IG-65M Sec. 4.4).
        generation: which released code's choice of frames.

    Returns:
        (V, num_frames, crop_size, crop_size, 3) uint8 RGB, V = crops x clips; the full frame keeps its two sides.

    Raises:
        MediaError: a wanted frame does not decode.
    """
    indices = clip_indices_test(
        source.num_frames,
        num_clips=num_clips,
        clip_frames=num_frames,
        frame_interval=frame_interval,
        generation=generation,
    )
    cropped = _cropped(source, indices.reshape(-1), short_side=short_side, crop_size=crop_size, crops=crops)
    return cropped.reshape(-1, num_frames, *cropped.shape[2:])  # (crops * clips, T, H, W, 3)


def _cropped(source: MediaSource, indices: np.ndarray, *, short_side: int, crop_size: int, crops: Crops) -> np.ndarray:
    """Every crop (crops, F, H, W, 3) of the frames at ``indices`` (F,)."""
    unique, inverse = np.unique(indices, return_inverse=True)  # short videos repeat frames: decode each once
    frames = resize_short_side(source.read(unique.tolist(), short_side=short_side), short_side)[inverse]  # (F, H, W, 3)
    match crops:
        case "three":
            return three_crops(frames, crop_size)
        case "ten":
            return ten_crops(frames, crop_size)
        case "full":
            return frames[None]
        case _:
            return centre_crop(frames, crop_size)[None]


def frames_at_rate(times: np.ndarray, duration_sec: float, *, fps: float) -> np.ndarray:
    """Frames on screen at 0, 1/fps, 2/fps, ... seconds after the first (Sec. 3.5: 1 FPS for untrimmed videos).

    Args:
        times: (N,) presentation times, ascending, seconds.
        duration_sec: how long the video is on screen; the last wanted time lies before its end.
        fps: wanted frames a second, > 0.

    Returns:
        (F,) int64 frame indices, F >= 1; a frame is repeated where the video is slower than ``fps``.

    >>> frames_at_rate(np.arange(50) / 25, 2.0, fps=2)
    array([ 0, 12, 25, 37])
    """
    count = max(1, int(np.ceil(duration_sec * fps - 1e-9)))
    return frames_at_times(times, times[0] + np.arange(count) / fps)


def frames_at_times(times: np.ndarray, wanted_sec: np.ndarray) -> np.ndarray:
    """Frames on screen at the wanted times (F,); (F,) int64 indices into ``times`` (N,)."""
    last_begun = np.searchsorted(times, wanted_sec + 1e-6, side="right") - 1
    indices: np.ndarray = np.clip(last_begun, 0, len(times) - 1).astype(np.int64)
    return indices
