"""Types shared by scorers and the stages that call them: a stage takes a scorer whose models are already bound.

This module does not import torch, so that a stage that reads stored scores starts fast.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from omnicli.streams.record import OnDrop, Record

RecordTest = Callable[[Record], bool]
"""True for the records that a scorer yields unread and unscored."""

Undecided = Callable[[Record, np.ndarray, float], bool]
"""True if scores (K,) whose log-odds may be off by so much do not decide about the record."""

UndecidedFrames = Callable[[Record, np.ndarray, np.ndarray], np.ndarray]
"""(M,) bool: which frames or clips of a video their scores (M, K) do not decide; log-odds may be off by (M,)."""

ReadViews = Callable[[Record], Sequence[np.ndarray]]
"""Reads a record's media: for each model an array (V, T, H, W, 3) uint8 RGB of views. Raises MediaError."""

CropFrames = Callable[[np.ndarray, int], np.ndarray]
"""Cuts squares of a size in pixels out of frames: (F, H, W, 3) uint8 to (F', size, size, 3)."""


class TimedScores(NamedTuple):
    """Scores along a video.

    Attributes:
        times_sec: (M,) presentation times of frames, or (M, 2) intervals [start, end) of clips, in the file's clock.
        scores: (M, K) float64 in [0, 1].
    """

    times_sec: np.ndarray
    scores: np.ndarray


class ScoreRecords(Protocol):
    """``scorer.score_records`` with its models bound."""

    def __call__(
        self,
        records: Iterable[Record],
        *,
        skip: RecordTest | None = None,
        undecided: Undecided | None = None,
        on_drop: OnDrop,
    ) -> Iterator[tuple[Record, np.ndarray | None]]:
        """Yield (record, scores (K,) float64) in input order; scores are None where ``skip`` is true.

        What is ``undecided`` has the scores of float32, if the models have a twin in float32.
        """
        ...


class ScoreVideos(Protocol):
    """``video_scorer.score_videos`` with its models bound."""

    def __call__(
        self, records: Iterable[Record], *, skip: RecordTest, undecided: UndecidedFrames | None = None, on_drop: OnDrop
    ) -> Iterator[tuple[Record, TimedScores | None]]:
        """Yield (record, scores) in input order; scores are None where ``skip`` is true, and for images.

        What is ``undecided`` has the scores of float32, if the models have a twin in float32.
        """
        ...


class ExtractFeatures(Protocol):
    """``scorer.extract_features`` with its model bound."""

    def __call__(
        self,
        records: Iterable[Record],
        *,
        fps: float = ...,
        at_sec: Callable[[Record], Sequence[float]] | None = None,
        crop: CropFrames = ...,
        on_drop: OnDrop,
    ) -> Iterator[tuple[Record, np.ndarray, np.ndarray]]:
        """Yield (record, features (F, D) float32, times (F,) float64 seconds) in input order."""
        ...
