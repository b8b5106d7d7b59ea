"""Videos → the wanted frames, exact to a frame, decoding no more than needed.

Ours, where papers say nothing: time 0 is the first frame; a file that was cut short is the shorter video it still
holds; a frame that does not decode, or whose references did not, is an error, never replaced by a neighbour; mirrored
and turned videos are shown as their display matrix says; pixels are taken as square; frames whose size changes on the
way are stretched to the size of the video.
"""

import itertools
import os
from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Self

import av
import numpy as np
from av.stream import Disposition

from omnicli.errors import MediaError
from omnicli.media.codecs import quiet_codecs
from omnicli.media.image import MAX_PIXELS
from omnicli.media.resizing import orient, resize, resize_short_side
from omnicli.media.timeline import Keyframe, Packet, Timeline, count_timeline, decode, read_timeline, whole_packets
from omnicli.streams.content import HEAD_BYTES, sniff
from omnicli.streams.files import open_binary

SEEK_PACKETS = 3  # Ours: a seek costs about as much as decoding so many frames
# Exif's orientation → signs of a, b, c, d in x' = a·x + c·y, y' = b·x + d·y
_MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}

quiet_codecs()


class VideoSource:
    """An open video. Not to be shared between threads.

    Attributes:
        times: (N,) float64, when each frame is shown, seconds since the first one, ascending.
        num_frames: N, frames that can be shown.
        duration_sec: until the last frame leaves the screen.
        fps: num_frames / duration_sec.
    """

    def __init__(self, file: str | BinaryIO) -> None:
        """Reads the packets once, without decoding where they tell enough.

        Args:
            file: path, tar member, or an open file that can seek; it is closed with the source.

        Raises:
            MediaError: "no video stream", "truncated MP4", "not a video (HTML page)", ...
        """
        self._file = open_binary(file) if isinstance(file, str) else file
        try:
            self._container, self._stream = _open_container(self._file)
            self._timeline = self._read_timeline()
        except BaseException:
            self._file.close()
            raise
        self.times: np.ndarray = self._timeline.times
        self.num_frames = len(self.times)
        self.duration_sec = self._timeline.duration_sec
        self.fps = self.num_frames / self.duration_sec
        context = self._stream.codec_context
        self._stored_size = (context.height, context.width)
        self._packets: Iterator[Packet] = iter(())
        self._ready: deque[tuple[int, av.video.frame.VideoFrame]] = deque()  # decoded and not yet wanted
        self._next_packet: int | None = None  # ordinal of the packet to be fed next; None: begin at a keyframe
        self._errors: set[int] = set()  # packets that did not decode; where frames are counted, the frames then due
        self._is_counting = False  # frames that come out belong to the video, where they are counted
        self._next_frame = self._count = 0  # index of the next frame to come out, where frames are counted
        self._orientation: int | None = None

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

    def frames_at(self, times_sec: Sequence[float] | np.ndarray) -> np.ndarray:
        """Indices of the frames on screen at these times, clipped to the first and the last; a microsecond of slack."""
        return frames_at(self.times, times_sec)

    def keyframes_near(self, times_sec: Sequence[float] | np.ndarray) -> np.ndarray:
        """Indices of the keyframes nearest to these times, the earlier of two: each costs one decoded frame to read."""
        keyframes = self.keyframes
        distances = np.abs(self.times[keyframes][None, :] - np.asarray(times_sec, np.float64)[:, None])
        nearest: np.ndarray = keyframes[distances.argmin(axis=1)]
        return nearest

    def read(self, frame_indices: Sequence[int], *, short_side: int | None = None) -> np.ndarray:
        """The wanted frames, in the order given; repeats are decoded once.

        Args:
            frame_indices: T indices in [0, num_frames).
            short_side: resize to it; None keeps the size.

        Returns:
            (T, H, W, 3) uint8 RGB.

        Raises:
            MediaError: "decode error at 12.3 s".
            IndexError: an index outside the video.
        """
        wanted, places = np.unique(np.asarray(frame_indices, np.int64), return_inverse=True)
        frames = [frame for _, frame in self.walk(wanted.tolist(), short_side=short_side)]
        if not frames:
            return np.empty((0, 0, 0, 3), np.uint8)
        return frames[0][None] if len(places) == 1 else np.stack([frames[place] for place in places.tolist()])

    def walk(self, frame_indices: Sequence[int], *, short_side: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted frames one by one, so that a long video needs no memory.

        Args:
            frame_indices: ascending, without repeats, in [0, num_frames).
            short_side: as in ``read``.

        Yields:
            (index, (H, W, 3) uint8 RGB).
        """
        if len(frame_indices) and not 0 <= min(frame_indices) <= max(frame_indices) < self.num_frames:
            raise IndexError(f"frames {min(frame_indices)} to {max(frame_indices)} of a video of {self.num_frames}")
        for place, index in enumerate(frame_indices):
            following = frame_indices[place + 1] if place + 1 < len(frame_indices) else None
            yield index, self._to_rgb(self._decode_until(index, following), short_side)

    def close(self) -> None:
        """Closes the file too."""
        self._container.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read_timeline(self) -> Timeline:
        timeline = read_timeline(self._container, self._stream)
        self._is_counted = timeline is None
        if timeline is None:
            self._reopen()
            timeline = count_timeline(self._container, self._stream)
        return timeline

    def _reopen(self) -> None:
        self._container.close()
        self._container, self._stream = _open_container(self._file)

    def _decode_until(self, index: int, following: int | None) -> av.video.frame.VideoFrame:
        """Goes on decoding, or seeks to the keyframe before, whichever decodes fewer frames."""
        keyframe = self._timeline.keyframe_before(index)
        at = self._next_packet
        if at is None or index < self._next_frame or keyframe.packet - at >= SEEK_PACKETS:
            self._seek(keyframe)
        last_packet = self._last_packet(index, following)
        while self._ready or self._feed(last_packet):
            while self._ready:
                shown, frame = self._ready.popleft()
                self._next_frame = shown + 1
                if shown == index and not self._is_damaged(index):
                    return frame
                if shown >= index:
                    self._ready.clear()
                    self._next_packet = None
        raise MediaError(f"decode error at {self.times[index]:.1f} s")

    def _is_damaged(self, index: int) -> bool:
        """True if something from its keyframe to the frame did not decode: the frame was made from what is missing."""
        keyframe = self._timeline.keyframe_before(index)
        first, last = (keyframe.frame, index) if self._is_counted else (keyframe.packet, self._timeline.packets[index])
        return any(first <= error <= last for error in self._errors)

    def _last_packet(self, index: int, following: int | None) -> int | None:
        """The last packet that a frame needs, if decoding will not go on from there; None if it will.

        There the decoder can be drained, instead of being fed until it gives the frame up.
        """
        if self._is_counted:
            return None
        last = self._timeline.packets[index]
        if following is None or self._timeline.keyframe_before(following).packet - last - 1 >= SEEK_PACKETS:
            return last
        return None

    def _feed(self, last_packet: int | None) -> bool:
        """Feeds one packet, or drains the decoder; False if it is drained already."""
        if self._next_packet is None:
            return False
        is_enough = last_packet is not None and self._next_packet > last_packet
        packet = None if is_enough else next(self._packets, None)
        frames = decode(self._stream, packet)
        if frames is None:
            self._errors.add(self._count if self._is_counted else self._next_packet)
        for frame in frames or ():
            index = self._identify(frame)
            if index is None:
                continue
            self._ready.append((index, frame))
            if frame.is_corrupt:
                self._errors.add(index if self._is_counted else self._timeline.packets[index])
        self._next_packet = None if packet is None else self._next_packet + 1
        return True

    def _identify(self, frame: av.video.frame.VideoFrame) -> int | None:
        if not self._is_counted:
            return self._timeline.index_of(frame.pts)
        self._is_counting = self._is_counting or frame.key_frame
        if not self._is_counting:
            return None
        self._count += 1
        return self._count - 1

    def _seek(self, keyframe: Keyframe) -> None:
        """Makes the keyframe's packet the next to be fed."""
        self._ready.clear()
        self._next_packet = keyframe.packet
        self._next_frame = self._count = keyframe.frame
        self._is_counting = keyframe.packet == 0  # what comes before a counted keyframe is left over from earlier ones
        for stamp in dict.fromkeys((keyframe.pts, keyframe.dts)):
            if stamp is None:
                continue
            try:
                self._container.seek(stamp, stream=self._stream)
            except (av.error.FFmpegError, OSError):
                continue
            packets = whole_packets(self._container, self._stream)
            first = next((packet for packet in packets if _reaches(packet, keyframe)), None)
            if first is not None and _is_packet_of(first, keyframe):
                self._stream.codec_context.flush_buffers()
                self._packets = itertools.chain((first,), packets)
                return
        # a container that cannot seek to it: read on from the beginning, which decodes nothing
        self._reopen()
        self._packets = itertools.islice(whole_packets(self._container, self._stream), keyframe.packet, None)

    def _to_rgb(self, frame: av.video.frame.VideoFrame, short_side: int | None) -> np.ndarray:
        """(H, W, 3) uint8 RGB, turned, of the size of the video or with the wanted short side."""
        try:
            pixels = frame.to_ndarray(format="rgb24")
        except (av.error.FFmpegError, OSError, ValueError):
            raise MediaError(f"pixels of format {frame.format.name} are not supported") from None
        self._orientation = _orientation_of(frame)
        pixels = resize(pixels[None], self._stored_size[0], self._stored_size[1])
        if short_side is not None:
            pixels = resize_short_side(pixels, short_side)
        return orient(pixels[0], self._orientation)

    def _shown_size(self) -> tuple[int, int]:
        if self._orientation is None:
            next(self.walk([0]))
        height, width = self._stored_size
        return (width, height) if (self._orientation or 1) >= 5 else (height, width)


def frames_at(times: np.ndarray, times_sec: Sequence[float] | np.ndarray) -> np.ndarray:
    """Indices of the frames on screen at ``times_sec``, clipped to the first and the last.

    Ours: a microsecond of slack, so that times that went through JSON find their frame again.

    Args:
        times: (N,) ascending seconds at which frames appear.
        times_sec: (M,) seconds.

    Returns:
        (M,) int64.

    >>> frames_at(np.array([0, 0.04, 0.08]), [-1, 0.0399999, 0.05, 9])
    array([0, 1, 1, 2])
    """
    places = np.searchsorted(times, np.asarray(times_sec, np.float64) + 1e-6, side="right") - 1
    return places.clip(0, len(times) - 1)


def is_cut_short(file: BinaryIO, kind: str) -> bool:
    """Whether the boxes of an MP4, or the chunk of an AVI, say that the file should be longer than it is."""
    size = file.seek(0, os.SEEK_END)
    place = 0
    if kind == "AVI":
        file.seek(4)
        return 8 + int.from_bytes(file.read(4), "little") > size
    while kind in ("MP4", "MOV") and place < size:
        file.seek(place)
        box = file.read(16)
        length = int.from_bytes(box[:4], "big")
        length = int.from_bytes(box[8:16], "big") if length == 1 else length or size - place
        if length < 8:
            return False
        place += length
    return place > size


def _open_container(file: BinaryIO) -> tuple[av.container.InputContainer, av.video.stream.VideoStream]:
    """The container at its beginning, and its video stream with a decoder of one thread."""
    file.seek(0)
    media, kind = sniff(file.read(HEAD_BYTES))
    if media is None:  # never let FFmpeg guess: playlists would make it open other files
        raise MediaError(f"not a video ({kind})")
    file.seek(0)
    try:
        container = av.open(file, "r", metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError):
        raise MediaError(f"{'truncated ' if is_cut_short(file, kind) else ''}{kind} does not open") from None
    stream = _video_stream(container)
    context = stream.codec_context
    context.thread_count = 1
    if context.width * context.height > MAX_PIXELS:
        raise MediaError(f"{context.width:,} x {context.height:,} pixels is over the limit")
    return container, stream


def _video_stream(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    """The first video stream that is no cover picture of a song.

    Raises:
        MediaError: there is none, or nothing can decode it.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise MediaError("no video stream")
    if streams[0].codec_context is None:
        raise MediaError("video codec is not supported")
    return streams[0]


def _reaches(packet: Packet, keyframe: Keyframe) -> bool:
    """True at the keyframe's packet and behind it."""
    if _is_packet_of(packet, keyframe):
        return True
    if keyframe.dts is not None and packet.dts is not None:
        return packet.dts > keyframe.dts
    if not packet.is_keyframe or packet.pts is None or keyframe.pts is None:
        return False
    return packet.pts > keyframe.pts


def _is_packet_of(packet: Packet, keyframe: Keyframe) -> bool:
    """By time stamp and, where time stamps are missing, by place; the decoding time may differ after a seek."""
    if not packet.is_keyframe or packet.pts != keyframe.pts:
        return False
    return keyframe.pts is not None or (packet.dts, packet.pos) == (keyframe.dts, keyframe.pos)


def _orientation_of(frame: av.video.frame.VideoFrame) -> int:
    """Exif's number for the display matrix of a frame: the right-angled turn or mirror it is nearest to."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")  # nine numbers, row by row
    if matrix is None:
        return 1
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(np.float64).tolist()
    # x' = a·x + c·y and y' = b·x + d·y
    return max(_MATRICES, key=lambda orientation: float(np.dot(_MATRICES[orientation], (a, b, c, d))))
