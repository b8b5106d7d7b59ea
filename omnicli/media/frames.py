"""A directory of numbered images as a video, and an image as a video of one frame."""

import os
import re
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from omnicli.errors import MediaError
from omnicli.media.closing import Closing
from omnicli.media.image import image_size, read_image
from omnicli.media.resizing import fitting_size, resize, resize_into, resize_short_side, shrink
from omnicli.streams.files.media_files import read_bytes, reason_of
from omnicli.streams.files.stored import folder_names

FRAMES_FPS = 25.0  # Ours: what a directory of frames does not say; mmaction2 extracts at the video's own rate
FRAME_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp"))
RGB_PREFIXES = ("img_", "image_", "frame_", "frame", "")

_NUMBERED = re.compile(r"(.*?)(\d+)(\.[a-z]+)", re.IGNORECASE)


class FramesSource(Closing):
    """Encoded images in the order they are shown; each is decoded when it is read.

    Attributes:
        times: (N,) float64 seconds, frame i at i/fps.
        num_frames: N.
        fps: frames per second; 0 for a single image.
        duration_sec: num_frames / fps; 0 for a single image.
    """

    start_sec = 0.0

    def __init__(self, paths: Sequence[str], *, fps: float) -> None:
        if not paths:
            raise MediaError("no numbered images")
        self._paths = paths
        self.num_frames = len(paths)
        self.fps = fps
        self.times: np.ndarray = np.arange(len(paths)) / fps if fps else np.zeros(len(paths))
        self.duration_sec = len(paths) / fps if fps else 0.0
        self._size: tuple[int, int] | None = None

    @property
    def width(self) -> int:
        """Pixels of the first image, as shown."""
        return self._first_size()[1]

    @property
    def height(self) -> int:
        """Pixels of the first image, as shown."""
        return self._first_size()[0]

    @property
    def keyframes(self) -> np.ndarray:
        """(N,) int64: every image decodes by itself."""
        return np.arange(self.num_frames)

    def read(self, frame_indices: Sequence[int], *, short_side: int | None = None) -> np.ndarray:
        """The wanted frames in the order given; repeats are decoded once.

        Frames of another size than the first of them are stretched to it.

        Args:
            frame_indices: T indices in [0, num_frames).
            short_side: resize to it; a larger JPEG is decoded at a reduced scale first.

        Returns:
            (T, H, W, 3) uint8 RGB.

        Raises:
            MediaError: an image cannot be read.
            IndexError: an index outside the frames.
        """
        self._check(frame_indices)
        wanted = [int(index) for index in dict.fromkeys(frame_indices)]
        if not wanted:
            return np.empty((0, 0, 0, 3), np.uint8)
        frames = np.empty((0, 0, 0, 3), np.uint8)
        for row, data in enumerate(self._encoded(wanted)):
            image = self._decode(data, short_side)  # one at a time: its memory, still warm, takes the next
            height, width = image.shape[:2]
            size = fitting_size(height, width, short_side) if short_side else (height, width)
            if not len(frames):
                frames = np.empty((len(wanted), *size, 3), np.uint8)
            elif size != frames.shape[1:3]:
                image = resize(image[None], *size)[0]
            resize_into(image, frames[row])
        if len(wanted) == len(frame_indices):
            return frames
        rows = {index: row for row, index in enumerate(wanted)}
        return frames[[rows[int(index)] for index in frame_indices]]

    def walk(self, frame_indices: Sequence[int], *, short_side: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted frames one by one, so that a long video needs no memory; the first gives the size.

        Args:
            frame_indices: ascending, without repeats, in [0, num_frames).
            short_side: as in ``read``.

        Yields:
            (index, (H, W, 3) uint8 RGB).
        """
        self._check(frame_indices)
        size = None
        for index in frame_indices:
            [data] = self._encoded([index])
            image = self._decode(data, short_side)[None]
            image = resize_short_side(image, short_side) if short_side else image
            size = size or image.shape[1:3]
            yield index, resize(image, *size)[0]

    def walk_grey(self, frame_indices: Sequence[int], *, size: int) -> Iterator[np.ndarray]:
        """The wanted frames one by one, small and grey.

        Args:
            frame_indices: ascending, without repeats, in [0, num_frames).
            size: side of the square that each frame is stretched to, by the mean over areas.

        Yields:
            (size, size) uint8 brightness.
        """
        for _, frame in self.walk(frame_indices, short_side=size):
            yield shrink(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size)

    def _encoded(self, frame_indices: Sequence[int]) -> list[bytes]:
        """The files of some frames."""
        return [read_bytes(self._paths[index]) for index in frame_indices]

    def _decode(self, data: bytes, short_side: int | None) -> np.ndarray:
        """(H, W, 3), not smaller than ``short_side`` unless the image is."""
        return read_image(data, short_side=short_side)

    def _check(self, frame_indices: Sequence[int]) -> None:
        if len(frame_indices) and not 0 <= min(frame_indices) <= max(frame_indices) < self.num_frames:
            raise IndexError(f"frames {min(frame_indices)} to {max(frame_indices)} of {self.num_frames}")

    def _first_size(self) -> tuple[int, int]:
        if self._size is None:
            self._size = image_size(self._encoded([0])[0])
        return self._size


class ImageSource(FramesSource):
    """An image as a video of one frame at time 0, without rate or duration."""

    def __init__(self, data: bytes) -> None:
        """Reads the header.

        Args:
            data: the encoded image.

        Raises:
            MediaError: it is none.
        """
        super().__init__([""], fps=0.0)
        self._data = data
        self._size = image_size(data)

    def _encoded(self, frame_indices: Sequence[int]) -> list[bytes]:
        return [self._data] * len(frame_indices)


def list_frames(directory: str) -> list[str]:
    """Paths of the numbered images of a directory, by number.

    Optical flow may lie beside the frames (``img_00001.jpg``, ``flow_x_00001.jpg``): the series named like images is
    taken.

    Raises:
        MediaError: no such directory, or several series and none is called ``img_``, ``image_`` or ``frame_``.
    """
    series: dict[str, list[tuple[int, str]]] = {}
    try:
        names = folder_names(directory)
    except OSError as error:
        raise MediaError(reason_of(error)) from None
    for name in names:
        match = _NUMBERED.fullmatch(name)
        if match and match[3].lower() in FRAME_SUFFIXES:
            series.setdefault(match[1], []).append((int(match[2]), name))
    if len(series) > 1:
        known = [prefix for prefix in RGB_PREFIXES if prefix in series]
        if not known:
            raise MediaError(f"several series of frames: {', '.join(sorted(series))}")
        series = {known[0]: series[known[0]]}
    return [os.path.join(directory, name) for _, name in sorted(*series.values())] if series else []  # noqa: PTH118
