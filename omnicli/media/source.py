"""Any record's media behind one interface: images, videos, directories of frames, packed frames."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, Self, cast

import numpy as np

from omnicli.errors import InputError, MediaError
from omnicli.media.closing import Closing
from omnicli.media.flow import open_flow
from omnicli.media.frames import FRAMES_FPS, FramesSource, ImageSource, list_frames
from omnicli.media.tolerance import TolerantSource
from omnicli.media.video import VideoSource
from omnicli.streams.files.media_files import media_path, open_binary
from omnicli.streams.files.sniff import HEAD_BYTES, sniff
from omnicli.streams.record import Record

SLACK_SEC = 1e-6  # times go through JSON, milliseconds and floats


class MediaSource(Protocol):
    """Open media. Not to be shared between threads.

    Attributes:
        num_frames: N >= 1.
        times: (N,) float64 seconds, ascending; 0 is the first frame of the file, also where only a part is exposed.
        fps: average frames per second; 0 for an image.
        start_sec: 0, or where the part that is exposed begins.
        duration_sec: how long the frames are on screen; 0 for an image.
        width: pixels, as shown.
        height: pixels, as shown.
    """

    num_frames: int
    times: np.ndarray
    fps: float
    start_sec: float
    duration_sec: float

    @property
    def width(self) -> int: ...  # noqa: D102

    @property
    def height(self) -> int: ...  # noqa: D102

    @property
    def keyframes(self) -> np.ndarray:
        """(K,) int64 ascending indices of the frames that decode by themselves, K >= 1."""
        ...

    def walk(self, frame_indices: Sequence[int], *, short_side: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """(index, (H, W, 3) uint8 RGB) of ascending frames one by one, so that a long video needs no memory."""
        ...

    def read(self, frame_indices: Sequence[int], *, short_side: int | None = None) -> np.ndarray:
        """(T, H, W, 3) uint8 RGB of the wanted frames, in the order given; with ``short_side`` resized to it."""
        ...

    def walk_grey(self, frame_indices: Sequence[int], *, size: int) -> Iterator[np.ndarray]:
        """(size, size) uint8 brightness of the wanted frames, one by one; indices ascend, without repeats."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class StrictSource(MediaSource, Protocol):
    """A ``MediaSource`` that raises FrameError, and knows which of its frames do not decode."""

    def undecodable(self) -> Iterator[int]:
        """Indices of the frames that do not decode, ascending; all are decoded in their order."""
        ...


def is_image(source: MediaSource) -> bool:
    """True for a still image; a video of one frame is a video."""
    return source.fps == 0


FLOW_IS_NO_RGB = "optical flow, which takes a model of flow"
RGB_IS_NO_FLOW = "RGB, and the model takes optical flow, which omni flow computes"


def open_media(record: Record, *, root: str | None = None, flow: bool = False) -> MediaSource:
    """The record's image, video or frames; of a video only the part that ``start_sec`` and ``end_sec`` name.

    The content decides between image and video, since names and fields of a crawl are often wrong; ``media`` decides
    only that a directory or an animation is meant to be played.

    Args:
        record: its ``path``, ``row``, ``media``, ``start_sec``, ``end_sec``, and ``num_frames`` and ``fps`` of frames
            are read.
        root: put in front of a relative path.
        flow: optical flow is welcome; else it is refused, because a model of RGB frames would score it without a word.

    Raises:
        MediaError: whatever is wrong with the media, in a few words without the path.
        InputError: the record has no path, or is a row of features.
    """
    if record.get("media") == "flow" and not flow:
        raise MediaError(FLOW_IS_NO_RGB)
    whole = _open_whole(record, media_path(record, root))
    try:
        source = part_of(whole, record.get("start_sec"), record.get("end_sec"))
    except BaseException:
        whole.close()
        raise
    is_video = isinstance(whole, VideoSource)
    return TolerantSource(cast(StrictSource, source), record) if is_video else source


def open_modality(record: Record, *, is_flow: bool, root: str | None = None) -> MediaSource:
    """``open_media`` of what a model takes: optical flow, or images in RGB; a folder of frames may hold both.

    Raises:
        MediaError: as ``open_media``, or the record is of the other kind.
        InputError: as ``open_media``.
    """
    media = record.get("media")
    if is_flow and (media == "frames" or (media is None and record.get("row") is None)):
        record = record.derive(media="flow")
    elif is_flow and media not in ("flow", "features"):
        raise MediaError(RGB_IS_NO_FLOW)
    return open_media(record, root=root, flow=is_flow)


def part_of(source: MediaSource, start_sec: float | None, end_sec: float | None) -> MediaSource:
    """The frames of a source that appear in [start_sec, end_sec), as a source; closing it closes the whole.

    None is the beginning or the end. An image has no parts, and is given back as it is.

    Raises:
        MediaError: nothing of the source lies there.
    """
    if source.duration_sec == 0 or (start_sec is None and end_sec is None):
        return source
    return _Part(source, start_sec, end_sec)


def _open_whole(record: Record, path: str) -> MediaSource:
    media = record.get("media")
    _refuse_no_media(record)
    if media == "flow":
        return open_flow(record, path)
    if media == "clip" or (media == "image" and record.get("row") is not None):
        from omnicli.media.packed import PackedSource  # noqa: PLC0415 (h5py takes 0.2 s, and most media are files)

        return PackedSource(
            path, record.require("row"), fps=record.get("fps"), source_fps=record.get("source_fps"),
            is_image=media == "image",
        )  # fmt: skip
    if media == "frames" or (media is None and os.path.isdir(path)):  # noqa: PTH112 (Path raises for a name that is too long)
        return _open_frames(record, path)
    file = open_binary(path)
    try:
        found, kind = sniff(file.read(HEAD_BYTES))
        if found == "video" or (media == "video" and kind == "GIF"):
            return VideoSource(file)
        if found is None:
            raise MediaError(f"not media ({kind})")
        file.seek(0)
        source = ImageSource(file.read())
    except OSError as error:
        file.close()
        raise MediaError(error.strerror or "read error") from None
    except BaseException:
        file.close()
        raise
    file.close()
    return source


def _refuse_no_media(record: Record) -> None:
    """Raise InputError for records of which nothing can be opened."""
    media = record.get("media")
    if media == "features":
        raise InputError(
            f"{record.where}: features, not media; give the records that the features were made of "
            "(omni filter, segment and dedup give them with --as-media)"
        )
    if media == "clips":
        raise InputError(
            f"{record.where}: a folder of clips, of which training draws one; omni index --each-clip writes a record "
            "for each"
        )


def _open_frames(record: Mapping[str, Any], path: str) -> FramesSource:
    """Ours: a list that names more frames than there are is wrong, one that names fewer is obeyed."""
    expected, fps = record.get("num_frames"), record.get("fps") or FRAMES_FPS
    if not 0 < fps < float("inf"):
        raise MediaError(f"fps is {fps:g}, expected a number above 0")
    if expected is not None and expected < 1:
        raise MediaError(f"num_frames is {expected}, expected a number above 0")
    paths = list_frames(path)
    if expected is not None and len(paths) < expected:
        raise MediaError(f"{expected} frames expected, {len(paths)} found")
    return FramesSource(paths[:expected], fps=fps)


class _Part(Closing):
    """The frames of a source that appear in [start_sec, end_sec), counted from 0; their times stay those of the file.

    An interval between two frames holds the frame that is on screen then.
    """

    def __init__(self, source: MediaSource, start_sec: float | None, end_sec: float | None) -> None:
        last_sec = source.start_sec + source.duration_sec
        start_sec = source.start_sec if start_sec is None else max(start_sec, source.start_sec)
        end_sec = last_sec if end_sec is None else min(end_sec, last_sec)
        if end_sec <= start_sec:
            raise MediaError(f"{start_sec:g} s is not before the end at {end_sec:g} s")
        self._source = source
        first, last = np.searchsorted(source.times, [start_sec - SLACK_SEC, end_sec - SLACK_SEC], side="left").tolist()
        self._first = min(first, len(source.times) - 1) if last > first else max(first - 1, 0)
        self.times = source.times[self._first : max(last, self._first + 1)]
        self.num_frames = len(self.times)
        self.fps = source.fps
        self.source_fps = getattr(source, "source_fps", None)
        self.start_sec = float(start_sec)
        self.duration_sec = float(end_sec - start_sec)

    @property
    def width(self) -> int:
        return self._source.width

    @property
    def height(self) -> int:
        return self._source.height

    @property
    def keyframes(self) -> np.ndarray:
        """Those inside the part; if there is none, the first frame."""
        inside = self._source.keyframes - self._first
        inside = inside[(inside >= 0) & (inside < self.num_frames)]
        return inside if len(inside) else np.zeros(1, np.int64)

    def read(self, frame_indices: Sequence[int], *, short_side: int | None = None) -> np.ndarray:
        return self._source.read(self._in_source(frame_indices), short_side=short_side)

    def walk(self, frame_indices: Sequence[int], *, short_side: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        for index, pixels in self._source.walk(self._in_source(frame_indices), short_side=short_side):
            yield index - self._first, pixels

    def walk_grey(self, frame_indices: Sequence[int], *, size: int) -> Iterator[np.ndarray]:
        return self._source.walk_grey(self._in_source(frame_indices), size=size)

    def undecodable(self) -> Iterator[int]:
        """Frames of the part of a ``VideoSource`` that do not decode."""
        video = cast(VideoSource, self._source)
        return (index - self._first for index in video.undecodable(range(self._first, self._first + self.num_frames)))

    def close(self) -> None:
        self._source.close()

    def _in_source(self, frame_indices: Sequence[int]) -> list[int]:
        if len(frame_indices) and not 0 <= min(frame_indices) <= max(frame_indices) < self.num_frames:
            raise IndexError(f"frames {min(frame_indices)} to {max(frame_indices)} of a part of {self.num_frames}")
        return [int(index) + self._first for index in frame_indices]
