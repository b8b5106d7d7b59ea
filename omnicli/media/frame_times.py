"""From times to the frames that are on screen then."""

from collections.abc import Sequence

import numpy as np

SLACK_SEC = 1e-6  # Ours: times that went through JSON find their frame again

# Ours: frames may stay on screen for 4 s on average, and an hour beyond that; where they claim more, which costs a
# header nothing, each counts for 10 s at most
FRAME_SEC = 4.0
EXTRA_SEC = 3600.0
STILL_SEC = 10.0


def frames_at(times: np.ndarray, times_sec: Sequence[float] | np.ndarray) -> np.ndarray:
    """Indices of the frames on screen at ``times_sec``, clipped to the first and the last.

    Args:
        times: (N,) ascending seconds at which frames appear.
        times_sec: (M,) seconds.

    Returns:
        (M,) int64.

    >>> frames_at(np.array([0, 0.04, 0.08]), [-1, 0.0399999, 0.05, 9])
    array([0, 1, 1, 2])
    """
    rows = np.searchsorted(times, np.asarray(times_sec, np.float64) + SLACK_SEC, side="right") - 1
    return rows.clip(0, len(times) - 1)


def frames_at_rate(times: np.ndarray, duration_sec: float, *, fps: float) -> np.ndarray:
    """Frames on screen at 0, 1/fps, 2/fps, ... seconds after the first (OmniSource Sec. 3.5: 1 FPS).

    Args:
        times: (N,) presentation times, ascending, seconds.
        duration_sec: display time of the video; all wanted times are before its end.
        fps: wanted frames per second, > 0.

    Returns:
        (F,) int64 frame indices, F >= 1; a frame repeats where the video is slower than ``fps``.

    >>> frames_at_rate(np.arange(50) / 25, 2.0, fps=2)
    array([ 0, 12, 25, 37])
    """
    if claims_too_long(len(times), duration_sec):
        shown_sec = np.diff(np.append(times - times[0], duration_sec)).clip(0, STILL_SEC)
        duration_sec = float(shown_sec.sum())
        times = np.cumsum(shown_sec) - shown_sec
    count = max(1, int(np.ceil(duration_sec * fps - 1e-9)))
    return frames_at(times, times[0] + np.arange(count) / fps)


def claims_too_long(num_frames: int, duration_sec: float) -> bool:
    """True if so few frames cannot be meant to be shown for so long."""
    return duration_sec > FRAME_SEC * num_frames + EXTRA_SEC


def nearest_frames(times: np.ndarray, frame_indices: np.ndarray, times_sec: Sequence[float] | np.ndarray) -> np.ndarray:
    """Of the frames at ``frame_indices`` those that appear nearest to ``times_sec``, the earlier of two.

    Args:
        times: (N,) ascending seconds at which frames appear.
        frame_indices: (K,) ascending, K >= 1, such as the keyframes.
        times_sec: (M,) seconds.

    Returns:
        (M,) int64 indices into ``times``.

    >>> nearest_frames(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0, 2, 3]), [0.9, 1.0, 1.1, 9.0])
    array([0, 0, 2, 3])
    """
    wanted = np.asarray(times_sec, np.float64)
    candidates = times[frame_indices]
    after = np.searchsorted(candidates, wanted).clip(0, len(candidates) - 1)
    before = (after - 1).clip(0)
    is_before = np.abs(candidates[before] - wanted) <= np.abs(candidates[after] - wanted)
    nearest: np.ndarray = frame_indices[np.where(is_before, before, after)]
    return nearest
