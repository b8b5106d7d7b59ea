"""A video of which a few frames do not decode is the video of the others: the one rule for all that read videos.

Nobody decodes a video to find out; the first frame that is wanted and does not decode makes it be counted how many
others do not. Ours: up to ``MAX_MISSING`` are left out, and the frame before stays on screen instead; the record says
how many. With more of them, every frame that does not decode is an error.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from omnicli.errors import FrameError, MediaError
from omnicli.media.closing import Closing
from omnicli.streams.reading import incomplete
from omnicli.streams.record import Record

if TYPE_CHECKING:
    from omnicli.media.source import StrictSource

MAX_MISSING = 0.1  # Ours: share of the frames of a record that need not decode


class TolerantSource(Closing):
    """A video, or the part that a record names, without the frames that do not decode.

    ``walk`` leaves them out; ``read`` and ``walk_grey`` give the frame that stays on screen: the one before, at the
    beginning the one behind.

    Args:
        source: the strict one; closed with this one.
        record: gets ``missing_frames``.
    """

    def __init__(self, source: "StrictSource", record: Record) -> None:
        self._source, self._record = source, record
        self._shown: np.ndarray | None = None  # (N,) int64, by index the frame on screen; None: all, as far as known
        self.times: np.ndarray = source.times
        self.num_frames, self.fps = source.num_frames, source.fps
        self.start_sec, self.duration_sec = source.start_sec, source.duration_sec

    @property
    def width(self) -> int:
        """Pixels as shown."""
        return self._size()[1]

    @property
    def height(self) -> int:
        """Pixels as shown."""
        return self._size()[0]

    @property
    def keyframes(self) -> np.ndarray:
        """(K,) int64 ascending indices of the frames that decode by themselves."""
        return self._source.keyframes

    def read(self, frame_indices: Sequence[int], *, short_side: int | None = None) -> np.ndarray:
        """As ``MediaSource.read``. Raises MediaError: too many frames do not decode."""
        if self._shown is None:
            try:
                return self._source.read(frame_indices, short_side=short_side)
            except FrameError as error:
                self._find_missing(error)
        return self._source.read(self._on_screen(frame_indices).tolist(), short_side=short_side)

    def walk(self, frame_indices: Sequence[int], *, short_side: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """As ``MediaSource.walk``, without frames that do not decode; if none does, the one that is on screen.

        Raises:
            MediaError: too many frames do not decode.
        """
        rest = list(frame_indices)
        if self._shown is None:
            try:
                for found in self._source.walk(frame_indices, short_side=short_side):
                    yield found
                    del rest[0]
            except FrameError as error:
                self._find_missing(error)
            else:
                return
        shown = self._on_screen(rest)
        decodable = shown[shown == rest].tolist()
        if not decodable and len(rest) == len(frame_indices):
            decodable = shown[:1].tolist()
        yield from self._source.walk(decodable, short_side=short_side)

    def walk_grey(self, frame_indices: Sequence[int], *, size: int) -> Iterator[np.ndarray]:
        """As ``MediaSource.walk_grey``. Raises MediaError: too many frames do not decode."""
        num_done = 0
        if self._shown is None:
            try:
                for grey in self._source.walk_grey(frame_indices, size=size):
                    yield grey
                    num_done += 1
            except FrameError as error:
                self._find_missing(error)
            else:
                return
        unique, counts = np.unique(self._on_screen(frame_indices[num_done:]), return_counts=True)
        for grey, count in zip(self._source.walk_grey(unique.tolist(), size=size), counts.tolist(), strict=True):
            yield from (grey for _ in range(count))

    def close(self) -> None:
        """Closes the strict one."""
        self._source.close()

    def _size(self) -> tuple[int, int]:
        try:
            return self._source.height, self._source.width
        except FrameError:
            self.read([0])  # a frame that decodes says how the video is turned, too
            return self._source.height, self._source.width

    def _on_screen(self, frame_indices: Sequence[int]) -> np.ndarray:
        """Of each wanted frame the one that is on screen then."""
        wanted = np.asarray(frame_indices, np.int64)
        return wanted if self._shown is None else self._shown[wanted]

    def _find_missing(self, error: FrameError) -> None:
        """Find all frames that do not decode, and note them. Raises MediaError: they are too many."""
        is_missing = np.zeros(self.num_frames, bool)
        num_missing = 0
        for index in self._source.undecodable():
            is_missing[index] = True
            num_missing += 1
            if num_missing > MAX_MISSING * self.num_frames:
                raise MediaError(f"{error}; over {MAX_MISSING:.0%} of the frames do not decode") from None
        before = np.maximum.accumulate(np.where(is_missing, -1, np.arange(self.num_frames)))
        self._shown = np.where(before < 0, (~is_missing).argmax(), before)
        incomplete.note(self._record, num_missing)
