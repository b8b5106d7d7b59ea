"""A row of a shard of frames or flow as a video: what ``pack``, ``flow`` and other stages wrote with ``--shards``."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from omnicli.errors import InputError, MediaError
from omnicli.media.flow import decode_axes
from omnicli.media.frames import FRAMES_FPS, FramesSource
from omnicli.media.image import image_size
from omnicli.streams.shards.reader import ShardReader, open_shard


class PackedSource(FramesSource):
    """The JPEG frames of one row; each is read and decoded when it is wanted.

    The shard stays open for the process (at most 64 do) and may be read from many threads: HDF5 reads bytes under one
    lock, images are decoded outside it.

    Attributes:
        times: (N,) float64 seconds in the file that was packed; without them frame i is at i/fps.
        num_frames: N.
        fps: num_frames / duration_sec; 0 for an image.
        start_sec: when what was packed begins in that file.
        duration_sec: how long the frames are on screen; 0 for an image.
        source_fps: frames per second of the video, where some were left out; else None (see ``media.source_rate``).
    """

    kind = "frames"

    def __init__(
        self, path: str, row: int, *, fps: float | None = None, source_fps: float | None = None, is_image: bool = False
    ) -> None:
        """Reads when the frames are shown.

        Args:
            path: the shard.
            row: in it.
            fps: frames per second, where the shard does not say when they are shown.
            source_fps: frames per second of the video that they were taken from, where some were left out.
            is_image: a single frame without rate or duration.

        Raises:
            MediaError: "no such file", "no row 7; it has rows 0 to 3", "holds features, not frames", ...
        """
        try:
            self._shard: ShardReader = open_shard(path)
            if self._shard.kind != self.kind:
                raise MediaError(f"holds {self._shard.kind}, not {self.kind}")
            times, (start_sec, end_sec) = self._shard.frame_times(row)
        except InputError as error:
            raise MediaError(str(error).removeprefix(f"{path}: ")) from None
        if not len(times):
            raise MediaError("a clip without frames")
        super().__init__([""] * len(times), fps=0.0 if is_image else fps or FRAMES_FPS)
        self._row = row
        self.source_fps = source_fps if source_fps and source_fps > 0 else None
        if not is_image and np.isfinite(times).all():
            if not start_sec < end_sec < np.inf or (np.diff(times) < 0).any():
                raise MediaError(f"damaged shard: times of row {row} do not ascend within {start_sec} to {end_sec} s")
            self.times, self.start_sec = times, start_sec
            self.duration_sec = end_sec - start_sec
            self.fps = self.num_frames / self.duration_sec

    def _encoded(self, frame_indices: Sequence[int]) -> list[bytes]:
        try:
            return self._shard.frames(self._row, frame_indices)
        except InputError as error:
            raise MediaError(str(error).removeprefix(f"{self._shard.path}: ")) from None


class PackedFlow(PackedSource):
    """The flow of one row: two JPEG files per pair of frames, x and y; times are those of the first frame."""

    kind = "flow"

    def __init__(self, path: str, row: int, *, source_fps: float | None = None) -> None:
        """As ``PackedSource``."""
        super().__init__(path, row, source_fps=source_fps)
        if self.num_frames % 2:
            raise MediaError(f"damaged shard: flow of row {row} has {self.num_frames} images, not two for each frame")
        self.num_frames //= 2
        self.times = self.times[::2]
        self.fps = self.num_frames / self.duration_sec

    def _encoded(self, frame_indices: Sequence[int]) -> list[Any]:
        images = super()._encoded([2 * index + axis for index in frame_indices for axis in (0, 1)])
        return list(zip(images[::2], images[1::2], strict=True))

    def _decode(self, data: Any, short_side: int | None) -> np.ndarray:
        return decode_axes(data, short_side)

    def _first_size(self) -> tuple[int, int]:
        return image_size(self._encoded([0])[0][0])
