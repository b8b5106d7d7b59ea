"""Indices of the frames that a model sees: segments for 2D models (TSN), dense clips for 3D models.

All functions need ``num_frames >= 1``.

Two generations of the released code select test frames differently: ``"1.x"`` (mmaction2 1.x, the default) and
``"0.x"`` (used for the published results). They agree for segments and differ for clips.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

Generation = Literal["1.x", "0.x"]


def segment_indices_test(num_frames: int, *, num_segments: int, generation: Generation = "1.x") -> np.ndarray:
    """The middle frame of each of ``num_segments`` equal parts; short videos repeat frames.

    Args:
        num_frames: N, frames in the video.
        num_segments: n, equal parts; 25 in the TSN test protocol.
        generation: both give i·N/n + N/(2n), rounded down.

    Returns:
        (num_segments,) int64, ascending, in [0, num_frames).

    >>> segment_indices_test(100, num_segments=8)
    array([ 6, 18, 31, 43, 56, 68, 81, 93])
    """
    _check(num_frames, num_segments=num_segments)
    _check_generation(generation)
    return _middles(num_frames / num_segments, num_segments)


def clip_indices_test(
    num_frames: int, *, num_clips: int, clip_frames: int, frame_interval: int, generation: Generation = "1.x"
) -> np.ndarray:
    """Dense clips spread evenly over the video.

    ``1.x``: first frames from 0 to N - ((frames-1)·interval + 1), both included; one clip is the middle one.
    ``0.x``: avg = (N - frames·interval + 1)/n, first frames int(i·avg + avg/2), all 0 in a shorter video.

    Args:
        num_frames: N, frames in the video.
        num_clips: n, clips; 10 in the 3D test protocol.
        clip_frames: frames in a clip, the 4 of "4x16".
        frame_interval: distance of its frames, the 16 of "4x16".
        generation: which released code to agree with.

    Returns:
        (num_clips, clip_frames) int64 in [0, num_frames); indices past the end start again at frame 0.

    >>> clip_indices_test(100, num_clips=1, clip_frames=4, frame_interval=16)
    array([[25, 41, 57, 73]])
    """
    _check(num_frames, num_clips=num_clips, clip_frames=clip_frames, frame_interval=frame_interval)
    _check_generation(generation)
    if generation == "0.x":
        num_starts = num_frames - clip_frames * frame_interval + 1
        starts = _middles(num_starts / num_clips, num_clips) if num_starts > 0 else np.zeros(num_clips, np.int64)
    elif clip_frames == 1:
        # a clip of one frame is a segment there: the middles of n parts, not n points from end to end
        starts = _middles(num_frames / num_clips, num_clips)
    else:
        last_start = max(num_frames - (clip_frames - 1) * frame_interval - 1, 0)
        starts = _spread(last_start, num_clips)
    return _clips_at(starts, clip_frames, frame_interval, num_frames)


def clip_indices_train(
    num_frames: int, *, num_clips: int, clip_frames: int, frame_interval: int, rng: np.random.Generator
) -> np.ndarray:
    """Dense clips at random, one in each of ``num_clips`` equal parts, as the released code draws them.

    Four cases by the number of possible first frames, N - frames·interval + 1: room for a draw in every part; room for
    draws anywhere; fewer starts than clips (evenly spread, nothing drawn); a video shorter than a clip (all from 0).

    Returns:
        (num_clips, clip_frames) int64 in [0, num_frames); indices past the end start again at frame 0. Clips ascend by
        their first frame, except that rounding may wrap the last one in a video with fewer starts than clips.
    """
    _check(num_frames, num_clips=num_clips, clip_frames=clip_frames, frame_interval=frame_interval)
    clip_span = clip_frames * frame_interval
    num_starts = num_frames - clip_span + 1
    part = num_starts // num_clips
    starts: np.ndarray
    if part > 0:
        starts = np.arange(num_clips) * part + rng.integers(part, size=num_clips)
    elif num_frames > max(num_clips, clip_span):
        starts = np.sort(rng.integers(num_starts, size=num_clips))
    elif part == 0:
        starts = np.around(np.arange(num_clips) * (num_starts / num_clips))
    else:
        starts = np.zeros(num_clips)
    return _clips_at(starts.astype(np.int64), clip_frames, frame_interval, num_frames)


def stacks_at(starts: np.ndarray, num_frames: int, *, stack_frames: int) -> np.ndarray:
    """Consecutive frames from each start on, of which the last stacks end with the video.

    Args:
        starts: (F,) frames in [0, num_frames).
        num_frames: N, frames in the video.
        stack_frames: P, frames of a stack, such as the 5 pairs of flow that a TSN takes at once.

    Returns:
        (F, P) int64 in [0, num_frames); indices past the end of a shorter video start again at frame 0.
    """
    return _clips_at(np.minimum(starts, max(num_frames - stack_frames, 0)), stack_frames, 1, num_frames)


def _middles(part: float, num_parts: int) -> np.ndarray:
    """(num_parts,) whole part of the middle of each part, ``part`` frames long."""
    return (np.arange(num_parts) * part + part / 2).astype(np.int64)


def _spread(last_start: int, num_clips: int) -> np.ndarray:
    """(num_clips,) from 0 to ``last_start``, both included; a single one in the middle."""
    if num_clips == 1:
        return np.array([last_start // 2])
    return np.round(np.arange(num_clips) * (last_start / (num_clips - 1))).astype(np.int64)


def _clips_at(starts: np.ndarray, clip_frames: int, frame_interval: int, num_frames: int) -> np.ndarray:
    indices: np.ndarray = starts[:, None] + np.arange(clip_frames) * frame_interval
    return indices % num_frames


def _check(num_frames: int, **counts: int) -> None:
    for name, count in {"num_frames": num_frames, **counts}.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")


def _check_generation(generation: str) -> None:
    if generation not in ("1.x", "0.x"):
        raise ValueError(f"generation must be '1.x' or '0.x', got {generation!r}")


def draw_snippets(
    positive_sec: Sequence[float],
    negative_sec: Sequence[float],
    rng: np.random.Generator,
    *,
    num_positive: int = 1,
    num_negative: int = 2,
) -> np.ndarray:
    """Times of the snippets of one input (OmniSource Sec. 3.5); ``media.frame_times.frames_at`` finds their frames.

    Paper: "we use 1 positive frame and 2 negative frames to construct a 3-snippet input".
    Ours: frames are drawn uniformly and without repeats; if there are fewer than needed, all are taken and the rest is
    drawn again; positive frames replace missing negative ones; snippets are sorted by time, as in TSN.

    Args:
        positive_sec: (P,) times of frames with a confident teacher, P >= 1.
        negative_sec: (Q,) times of the other frames; Q may be 0.
        rng: draws.
        num_positive: positive snippets.
        num_negative: negative snippets.

    Returns:
        (num_positive + num_negative,) float64 seconds, ascending.

    Raises:
        ValueError: no positive time.

    >>> draw_snippets([7.0], [1.0, 9.0], np.random.default_rng(0))
    array([1., 7., 9.])
    """
    if not len(positive_sec):
        raise ValueError("a video without positive frames has no snippets")
    if not len(negative_sec):
        return np.sort(_draw(positive_sec, num_positive + num_negative, rng))
    return np.sort(np.concatenate([_draw(positive_sec, num_positive, rng), _draw(negative_sec, num_negative, rng)]))


def _draw(times_sec: Sequence[float], count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` of the times; none is drawn twice before all have been drawn once."""
    rounds = -(-count // len(times_sec))
    drawn = [rng.permutation(np.asarray(times_sec, np.float64)) for _ in range(rounds)]
    return np.concatenate([np.empty(0), *drawn])[:count]
