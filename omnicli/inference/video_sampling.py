"""Which frames or clips of an untrimmed video are scored (OmniSource Sec. 3.5)."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from omnicli.errors import InputError
from omnicli.media.frame_times import claims_too_long, frames_at_rate, nearest_frames
from omnicli.media.source import MediaSource
from omnicli.streams.record import Record

ROUND_DIGITS = 6  # microseconds


@dataclass(frozen=True, kw_only=True)
class VideoSampling:
    """Which frames or clips of a video are scored.

    Attributes:
        fps: frames per second, for 2D models.
        frames: "exact": frames on screen at 0, 1/fps, ...; "keyframe": the keyframes nearest to these times.
        clip_sec: length of the clips that the video is cut into, for 3D models.
        num_clips: views that a 3D model takes of each such clip.
        cut_labelled: leave out the labelled interval of raw videos, ``labelled_sec`` of their records.
        root: folder that relative paths start from.
    """

    fps: float = 1.0
    frames: Literal["exact", "keyframe"] = "exact"
    clip_sec: float = 10.0
    num_clips: int = 10
    cut_labelled: bool = False
    root: str | None = None

    def left_out(self, record: Record) -> tuple[float, float] | None:
        """[start, end) of the seconds that are not scored, or None. Raises InputError: unknown though wanted."""
        if not self.cut_labelled:
            return None
        if record.get("labelled_sec") is None:
            raise InputError(
                f"{record.where}: no field 'labelled_sec', which --cut-labelled leaves out; omni index --raw-videos "
                "writes it"
            )
        start_sec, end_sec = record["labelled_sec"]
        return start_sec, end_sec


def wanted_frames(
    source: MediaSource, sampling: VideoSampling, without: tuple[float, float] | None = None
) -> np.ndarray:
    """Indices (F,) of the frames to score, ascending, without repeats; F >= 1, except ``without`` an interval."""
    indices = np.unique(frames_at_rate(source.times, source.duration_sec, fps=sampling.fps))
    if sampling.frames == "keyframe":
        num_wanted = len(frames_at_rate(source.times, source.duration_sec, fps=sampling.fps))
        grid_sec = source.times[0] + np.arange(num_wanted) / sampling.fps
        indices = np.unique(nearest_frames(source.times, source.keyframes, grid_sec))
    chosen: np.ndarray = indices[outside(source.times[indices], without)]
    return chosen


def clip_intervals(start_sec: float, duration_sec: float, *, clip_sec: float) -> list[tuple[float, float]]:
    """Intervals [start, end) of ``clip_sec`` seconds; the last is shorter, or omitted if under half of it.

    >>> clip_intervals(0.0, 24.0, clip_sec=10.0)
    [(0.0, 10.0), (10.0, 20.0)]
    >>> clip_intervals(2.0, 15.0, clip_sec=10.0)
    [(2.0, 12.0), (12.0, 17.0)]
    """
    end_sec = start_sec + duration_sec
    count = int(duration_sec / clip_sec + 0.5 + 1e-9)
    bounds = [round(min(start_sec + index * clip_sec, end_sec), ROUND_DIGITS) for index in range(count + 1)]
    return list(pairwise(bounds))


def wanted_clips(
    source: MediaSource, *, clip_sec: float, without: tuple[float, float] | None = None
) -> list[tuple[float, float]]:
    """The intervals of a video to score; ``without`` an interval, what lies before and after it is cut on its own.

    Ours: where a few frames claim to last for hours, those that begin a frame.
    """
    start_sec, end_sec = source.start_sec, source.start_sec + source.duration_sec
    if not claims_too_long(source.num_frames, source.duration_sec):
        spans = [(start_sec, end_sec)]
        if without is not None:
            spans = [(start_sec, min(without[0], end_sec)), (max(without[1], start_sec), end_sec)]
        return [
            clip
            for start, end in spans
            if end > start
            for clip in clip_intervals(start, end - start, clip_sec=clip_sec)
        ]
    numbers = np.unique((source.times - start_sec).clip(0) // clip_sec)
    starts = start_sec + numbers * clip_sec
    clips = [(round(start, ROUND_DIGITS), round(start + clip_sec, ROUND_DIGITS)) for start in starts.tolist()]
    return [(start, end) for start, end in clips if without is None or end <= without[0] or start >= without[1]]


def outside(times_sec: np.ndarray, without: tuple[float, float] | None) -> np.ndarray:
    """(F,) bool: which times are not in the interval."""
    start_sec, end_sec = without or (np.inf, np.inf)
    is_outside: np.ndarray = (times_sec < start_sec) | (times_sec >= end_sec)
    return is_outside
