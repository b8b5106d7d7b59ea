"""Decoded frames as arrays: their colours, and how they are turned."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata import sidedata
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from omnicli.errors import MediaError

# Exif's orientation → signs of a, b, c, d in x' = a·x + c·y, y' = b·x + d·y
MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}

# FFmpeg's numbers of the colour matrices that it cannot convert from
_UNSUPPORTED = {
    8: "YCgCo",
    10: "BT.2020 constant luminance",
    11: "SMPTE ST 2085",
    12: "chromaticity-derived",
    13: "chromaticity-derived constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-R",
    17: "YCgCo-R",
}
_RESERVED = 3  # a number that says nothing: taken as unspecified


def _name_side_data() -> None:
    """Makes PyAV read frames with side data that is newer than its list of names, instead of raising."""

    def unnamed(cls: type[sidedata.Type], value: int) -> sidedata.Type:
        member = object.__new__(cls)
        member._name_, member._value_ = f"TYPE_{value}", value  # type: ignore[assignment]
        return member

    sidedata.Type._missing_ = classmethod(unnamed)  # type: ignore[assignment]


_name_side_data()


class PixelReader:
    """Frames of one video → arrays; what it allocates serves for the next frame too."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()  # a frame's own would live, with its threads, as long as the frame
        self._graph: av.filter.Graph | None = None
        self._graph_for: tuple[int, int, str] | None = None

    def plane(self, frame: av.video.frame.VideoFrame, pixel_format: str, *, channels: int) -> np.ndarray:
        """(H, W, channels) uint8 as stored; a view: what is resized or collected next need not be copied first.

        Ours: chroma is repeated at every bit depth, as FFmpeg does at 8 bits; where it interpolates chroma that a
        decoder says to lie at the left, colours are wrong.

        Raises:
            MediaError: "colours in YCgCo are not supported", "pixels of format xyz12le are not supported".
        """
        matrix = Colorspace.ITU601 if frame.colorspace == _RESERVED else None
        try:
            frame = self._progressive(frame)
            packed = self._reformatter.reformat(
                frame, format=pixel_format, src_colorspace=matrix, interpolation=Interpolation.POINT, threads=1
            )
        except (av.error.FFmpegError, OSError, ValueError):
            raise MediaError(_why_unsupported(frame)) from None
        plane: Any = packed.planes[0]
        shape = (packed.height, packed.width, channels)
        return np.ndarray(shape, np.uint8, plane, strides=(plane.line_size, channels, 1))

    def orientation_of(self, frame: av.video.frame.VideoFrame) -> int:
        """Exif's number for the display matrix of a frame: the right-angled turn or mirror it is nearest to."""
        # A frame asked for its side data is in a reference cycle: a copy of one grey pixel waits for the collector.
        try:
            copy = VideoReformatter().reformat(
                self._progressive(frame), 1, 1, format="gray", src_colorspace=Colorspace.ITU601,
                interpolation=Interpolation.POINT, threads=1,
            )  # fmt: skip
        except (av.error.FFmpegError, OSError, ValueError):
            raise MediaError(_why_unsupported(frame)) from None
        matrix: Any = copy.side_data.get("DISPLAYMATRIX")  # nine numbers, row by row
        if matrix is None:
            return 1
        a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(np.float64).tolist()
        # x' = a·x + c·y and y' = b·x + d·y
        return max(MATRICES, key=lambda orientation: float(np.dot(MATRICES[orientation], (a, b, c, d))))

    def _progressive(self, frame: av.video.frame.VideoFrame) -> av.video.frame.VideoFrame:
        """The same pixels without the mark of interlacing, which would make FFmpeg convert each field for itself.

        Ours: both fields stay in the frame, as players and other datasets' tools leave them.
        """
        if not frame.interlaced_frame:
            return frame
        needed = (frame.width, frame.height, frame.format.name)
        if self._graph is None or self._graph_for != needed:
            self._graph, self._graph_for = av.filter.Graph(), needed
            if hasattr(self._graph, "threads"):  # PyAV 18
                self._graph.threads = 1
            source = self._graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 90000)
            )
            self._graph.link_nodes(source, self._graph.add("setfield", mode="prog"), self._graph.add("buffersink"))
            self._graph.configure()
        self._graph.vpush(frame)
        return self._graph.vpull()


def _why_unsupported(frame: av.video.frame.VideoFrame) -> str:
    matrix = _UNSUPPORTED.get(frame.colorspace)
    if matrix is not None and frame.format.name.startswith(("yuv", "nv", "p0")):
        return f"colours in {matrix} are not supported"
    return f"pixels of format {frame.format.name} are not supported"
