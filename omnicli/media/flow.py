"""Optical flow as media: rows of shards of ``omni flow``, and folders and arrays that other programs wrote.

    flow_x_00001.jpg + flow_y_00001.jpg, x_00001.jpg + y_00001.jpg    a folder, an image per axis (TSN, denseflow)
    flow_00001.npy                                                    a folder, an array (H, W, 2) per pair of frames
    video.npy                                                         a file, an array (T, H, W, 2) or (T, 2, H, W)

Arrays of floating-point numbers are displacements in pixels; those of uint8 are levels, as the images are.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from omnicli.errors import MediaError
from omnicli.media.flow_pixels import as_frame, to_levels
from omnicli.media.frames import FRAME_SUFFIXES, FRAMES_FPS, FramesSource
from omnicli.media.image import image_size, read_image
from omnicli.streams.files.media_files import read_bytes, reason_of
from omnicli.streams.files.stored import folder_names

NUMPY_SUFFIX = ".npy"

_AXIS = re.compile(r"((?:.*_)?)([xy])_(\d+)(\.[a-z]+)", re.IGNORECASE)
_ARRAY = re.compile(r"(.*?)(\d+)\.npy", re.IGNORECASE)

Pair = tuple[str, str]  # files of x and y


class FlowFolder(FramesSource):
    """A folder with an image per axis: frame i is the flow from frame i of the video to frame i + 1."""

    def __init__(self, pairs: Sequence[Pair], *, fps: float) -> None:
        super().__init__([x for x, _ in pairs], fps=fps)
        self._pairs = pairs

    def _axes(self, index: int) -> tuple[bytes, bytes]:
        """The image files of x and y."""
        x, y = self._pairs[index]
        return read_bytes(x), read_bytes(y)

    def _encoded(self, frame_indices: Sequence[int]) -> list[Any]:
        return [self._axes(index) for index in frame_indices]

    def _decode(self, data: Any, short_side: int | None) -> np.ndarray:
        return decode_axes(data, short_side)

    def _first_size(self) -> tuple[int, int]:
        return image_size(self._axes(0)[0])


class FlowArrays(FramesSource):
    """Arrays in files of NumPy, mapped into memory; objects in them are refused."""

    def __init__(self, paths: Sequence[str], *, fps: float) -> None:
        super().__init__(paths, fps=fps)
        self._video = None
        if len(paths) == 1:
            self._video = _load(paths[0], ndims=(3, 4))
            if self._video.ndim == 3:
                self._video = self._video[None]
            super().__init__([""] * len(self._video), fps=fps)

    def _encoded(self, frame_indices: Sequence[int]) -> list[Any]:
        return [_load(self._paths[i], ndims=(3,)) if self._video is None else self._video[i] for i in frame_indices]

    def _decode(self, data: Any, short_side: int | None) -> np.ndarray:
        levels = data if data.dtype == np.uint8 else to_levels(np.asarray(data, np.float32))
        return as_frame(*np.moveaxis(levels, _axis_of(levels), 0))

    def _first_size(self) -> tuple[int, int]:
        first = self._encoded([0])[0]
        height, width = np.delete(first.shape, _axis_of(first)).tolist()
        return height, width


def decode_axes(data: tuple[bytes, bytes], short_side: int | None) -> np.ndarray:
    """Image files of x and y as a flow frame (H, W, 3) uint8. Raises MediaError."""
    x, y = (read_image(axis, short_side=short_side)[..., 0] for axis in data)
    if x.shape != y.shape:
        raise MediaError(f"flow of {x.shape[1]} x {x.shape[0]} pixels in x and {y.shape[1]} x {y.shape[0]} in y")
    return as_frame(x, y)


def open_flow(record: Mapping[str, Any], path: str) -> FramesSource:
    """The flow of a record: a row of a shard, a folder, or an array.

    Ours: lists of other programs count the frames of the video, which has one more than there are pairs.

    Raises:
        MediaError: there is no flow.
    """
    if record.get("row") is not None:
        from omnicli.media.packed import PackedFlow  # noqa: PLC0415 (h5py takes 0.2 s)

        return PackedFlow(path, int(record["row"]), source_fps=record.get("source_fps"))
    fps = record.get("fps") or FRAMES_FPS
    if path.lower().endswith(NUMPY_SUFFIX):
        return FlowArrays([path], fps=fps)
    pairs, arrays = list_flow(path)
    found, expected = len(pairs) or len(arrays), record.get("num_frames")
    if not found:
        raise MediaError("no optical flow, such as flow_x_00001.jpg and flow_y_00001.jpg; omni flow computes it")
    if expected is not None and found < expected - 1:
        raise MediaError(f"flow of {expected} frames expected, {found} found")
    return FlowFolder(pairs[:expected], fps=fps) if pairs else FlowArrays(arrays[:expected], fps=fps)


def list_flow(directory: str) -> tuple[list[Pair], list[str]]:
    """Pairs of image files, and arrays, of a folder, by number; other files are left alone.

    Raises:
        MediaError: no such folder, or an image of one axis without the other.
    """
    try:
        names = folder_names(directory)
    except NotADirectoryError:
        return [], []
    except OSError as error:
        raise MediaError(reason_of(error)) from None
    x, y = (_images_of(names, axis) for axis in "xy")
    if lonely := sorted(x.keys() ^ y.keys()):
        raise MediaError(f"flow {lonely[0][1]} has only one axis")
    pairs = [(os.path.join(directory, x[key]), os.path.join(directory, y[key])) for key in sorted(x)]  # noqa: PTH118
    arrays = sorted((int(match[2]), name) for name in names if (match := _ARRAY.fullmatch(name)))
    return pairs, [os.path.join(directory, name) for _, name in arrays]  # noqa: PTH118


def _images_of(names: Sequence[str], axis: str) -> dict[tuple[str, int], str]:
    """Images of one axis by prefix and number."""
    found: Iterator[re.Match[str] | None] = (_AXIS.fullmatch(name) for name in names)
    return {
        (match[1], int(match[3])): match[0]
        for match in found
        if match and match[2].lower() == axis and match[4].lower() in FRAME_SUFFIXES
    }


def _load(path: str, *, ndims: tuple[int, ...]) -> np.ndarray:
    """An array that is mapped into memory. Raises MediaError."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise MediaError(reason_of(error)) from None
    except (ValueError, EOFError):
        raise MediaError("not an array of numbers that NumPy can map") from None
    if array.ndim not in ndims or array.dtype.kind not in "fu" or 0 in array.shape or 2 not in array.shape[-3:]:
        raise MediaError(f"an array {array.shape} of {array.dtype}, not optical flow")
    if array.dtype.kind == "u" and array.dtype != np.uint8:
        raise MediaError(f"flow of {array.dtype}; expected uint8 levels or floating-point pixels")
    return array


def _axis_of(array: np.ndarray) -> int:
    """Which of the three axes holds x and y: the last, or the first."""
    return 2 if array.shape[2] == 2 else 0
