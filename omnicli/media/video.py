"""Videos → the wanted frames, exact to a frame, decoding no more than needed.

Ours, where papers say nothing: time 0 is the first frame; a file that was cut short is the shorter video it still
holds; a frame that does not decode, or whose references did not, is an error (``tolerance.py`` leaves a few of them
out); both fields of an interlaced frame stay in it; mirrored and turned videos are shown as their display matrix says;
pixels are taken as square; frames whose size changes on the way are stretched to the size of the video.
"""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import av
import numpy as np

from omnicli.media.closing import Closing
from omnicli.media.codecs import quiet_codecs
from omnicli.media.decoder import FrameDecoder
from omnicli.media.frame_pixels import PixelReader
from omnicli.media.resizing import orient, resize, resize_short_side, shrink
from omnicli.streams.files.media_files import open_binary

quiet_codecs()


class VideoSource(Closing):
    """An open video. Not to be shared between threads.

    Attributes:
        times: (N,) float64, when each frame is shown, seconds since the first one, ascending.
        num_frames: N, frames that can be shown.
        duration_sec: until the last frame leaves the screen.
        fps: num_frames / duration_sec.
    """

    start_sec = 0.0

    def __init__(self, file: str | BinaryIO) -> None:
        """Reads the packets once, without decoding where they are enough.

        Args:
            file: path, tar member, or an open file that can seek; it is closed with the source.

        Raises:
            MediaError: "no video stream", "truncated MP4", "not a video (HTML page)", ...
        """
        self._file = open_binary(file) if isinstance(file, str) else file
        try:
            self._decoder = FrameDecoder(self._file)
        except BaseException:
            self._file.close()
            raise
        self._timeline = self._decoder.timeline
        self.times: np.ndarray = self._timeline.times
        self.num_frames = len(self.times)
        self.duration_sec = self._timeline.duration_sec
        self.fps = self.num_frames / self.duration_sec
        context = self._decoder.stream.codec_context
        self._stored_size = (context.height, context.width)
        self._orientation: int | None = None
        self._reader = PixelReader()

    @property
    def width(self) -> int:
        """Pixels as shown; decodes the first frame, which says how the video is turned."""
        return self._shown_size()[1]

    @property
    def height(self) -> int:
        """Pixels as shown."""
        return self._shown_size()[0]

    @property
    def keyframes(self) -> np.ndarray:
        """(K,) int64 ascending indices of the frames that decode by themselves."""
        return np.unique([keyframe.frame for keyframe in self._timeline.keyframes if keyframe.frame < self.num_frames])

    def read(self, frame_indices: Sequence[int], *, short_side: int | None = None) -> np.ndarray:
        """The wanted frames, in the order given; repeats are decoded once.

        Args:
            frame_indices: T indices in [0, num_frames).
            short_side: resize to it; None keeps the size.

        Returns:
            (T, H, W, 3) uint8 RGB.

        Raises:
            FrameError: "decode error at 12.3 s".
            IndexError: an index outside the video.
        """
        wanted, rows = np.unique(np.asarray(frame_indices, np.int64), return_inverse=True)
        frames = np.empty((0, 0, 0, 3), np.uint8)
        for row, (_, pixels) in enumerate(self.walk(wanted.tolist(), short_side=short_side)):
            if row == 0:
                frames = np.empty((len(wanted), *pixels.shape), np.uint8)
            frames[row] = pixels
        is_in_order = len(rows) == len(wanted) and (np.diff(rows) == 1).all()
        return frames if is_in_order else frames[rows]

    def walk(self, frame_indices: Sequence[int], *, short_side: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted frames one by one, so that a long video needs no memory.

        Args:
            frame_indices: ascending, without repeats, in [0, num_frames).
            short_side: as in ``read``.

        Yields:
            (index, (H, W, 3) uint8 RGB); rows may lie apart in memory.
        """
        for index, frame in self._decoded(frame_indices):
            yield index, self._to_rgb(frame, short_side)

    def walk_grey(self, frame_indices: Sequence[int], *, size: int) -> Iterator[np.ndarray]:
        """The wanted frames one by one, small and grey: no more than decoding costs.

        Args:
            frame_indices: ascending, without repeats, in [0, num_frames).
            size: side of the square that each frame is stretched to, by the mean over areas.

        Yields:
            (size, size) uint8 brightness.
        """
        for _, frame in self._decoded(frame_indices):
            pixels = self._reader.plane(frame, "gray", channels=1)[..., 0]
            yield orient(shrink(pixels, size), self._turn(frame))

    def undecodable(self, indices: range | None = None) -> Iterator[int]:
        """Those of the frames, by default of all, that do not decode; decodes the video up to the last of them."""
        return self._decoder.undecodable(range(self.num_frames) if indices is None else indices)

    def close(self) -> None:
        """Closes the file too."""
        self._decoder.close()
        self._file.close()

    def _decoded(self, frame_indices: Sequence[int]) -> Iterator[tuple[int, av.video.frame.VideoFrame]]:
        if len(frame_indices) and not 0 <= min(frame_indices) <= max(frame_indices) < self.num_frames:
            raise IndexError(f"frames {min(frame_indices)} to {max(frame_indices)} of a video of {self.num_frames}")
        for row, index in enumerate(frame_indices):
            following = frame_indices[row + 1] if row + 1 < len(frame_indices) else None
            yield index, self._decoder.frame(index, following)

    def _to_rgb(self, frame: av.video.frame.VideoFrame, short_side: int | None) -> np.ndarray:
        """(H, W, 3) uint8 RGB, turned, of the size of the video or with the wanted short side."""
        pixels = self._reader.plane(frame, "rgb24", channels=3)
        pixels = resize(pixels[None], self._stored_size[0], self._stored_size[1])[0]
        if self._turn(frame) != 1:
            pixels = orient(pixels, self._turn(frame))
        return pixels if short_side is None else resize_short_side(pixels[None], short_side)[0]

    def _turn(self, frame: av.video.frame.VideoFrame) -> int:
        """Exif's number for how the video is turned, as its first frame says."""
        if self._orientation is None:
            self._orientation = self._reader.orientation_of(frame)
        return self._orientation

    def _shown_size(self) -> tuple[int, int]:
        if self._orientation is None:
            next(self.walk([0]))
        height, width = self._stored_size
        return (width, height) if (self._orientation or 1) >= 5 else (height, width)
