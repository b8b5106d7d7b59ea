"""Frames that were packed at a lower rate than their video's: what "so many source frames apart" means for them.

``pack --fps`` and ``--max-frames`` leave frames out. ``source_fps`` of the record says at what rate the video was
filmed, so that the frame interval of a 3D model and the steps of camera motion keep their meaning, frames of the
source. Ours: a wanted source frame is the packed frame on screen then; clips whose frames lie closer than the packed
ones would show frames twice, and are refused.
"""

from collections.abc import Callable

import numpy as np

from omnicli.errors import InputError
from omnicli.media.frame_times import frames_at
from omnicli.media.source import MediaSource

SLACK = 1.05  # rates are averages


def source_rate(source: MediaSource) -> float | None:
    """Frames per second of the video that packed frames were taken from, where some were left out; else None."""
    return getattr(source, "source_fps", None)


def frame_spacing(source: MediaSource) -> float:
    """Source frames from one frame to the next, in the middle of all; 1 for media that are complete."""
    rate = source_rate(source)
    if rate is None or source.num_frames < 2:
        return 1.0
    return max(1.0, float(np.median(np.diff(source.times))) * rate)


def clip_frames(
    source: MediaSource, choose: Callable[[int], np.ndarray], *, frame_interval: int, where: str
) -> np.ndarray:
    """Indices of the frames of clips that are chosen among the frames of the source.

    Args:
        source: any media.
        choose: from the number of source frames to indices of them, of any shape.
        frame_interval: source frames between the frames of a clip.
        where: names the record.

    Returns:
        Indices into ``source``, of the same shape.

    Raises:
        InputError: the packed frames are further apart than those of a clip.
    """
    rate = source_rate(source)
    if rate is None:
        return choose(source.num_frames)
    spacing = frame_spacing(source)
    if spacing > frame_interval * SLACK:
        raise InputError(
            f"{where}: packed at {rate / spacing:.3g} of {rate:.3g} frames per second, and the frames of a clip are "
            f"{frame_interval} source frames apart; pack at --fps {rate / frame_interval:.3g} or more, without "
            "--max-frames"
        )
    indices = choose(max(1, int(source.duration_sec * rate + 0.5)))
    return frames_at(source.times, source.start_sec + indices.reshape(-1) / rate).reshape(indices.shape)


def consecutive_pairs(source: MediaSource, *, where: str) -> np.ndarray | None:
    """(N - 1,) bool: which frames are followed by the next frame of their source; None if all are.

    Raises:
        InputError: none is, because frames in between were left out.
    """
    rate = source_rate(source)
    if rate is None:
        return None
    is_next: np.ndarray = np.diff(source.times) * rate < 1.5
    if len(is_next) and not is_next.any():
        raise InputError(
            f"{where}: packed at {rate / frame_spacing(source):.3g} of {rate:.3g} frames per second, so that steps "
            "between its frames are not those of the video; fit the motion to the videos, or pack all frames"
        )
    return is_next
