"""When each frame of a video is shown, which packet holds it, and from which keyframes decoding can begin.

Most files are *regular*: every packet is one frame and says when it is shown, so reading the packets without decoding
is enough, and a decoded frame is recognised by its time stamp. The others (AVI with B-frames, transport streams, ...)
are decoded once from end to end, and a frame is recognised by counting from a keyframe.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import av
import numpy as np

from omnicli.errors import MediaError

if TYPE_CHECKING:
    Packet: TypeAlias = av.packet.Packet[av.video.stream.VideoStream]
else:  # older PyAV has no generic packets
    Packet = av.packet.Packet

# Containers whose packets are whole frames with honest time stamps, if they have any
_REGULAR_FORMATS = frozenset(("mov", "mp4", "matroska", "webm", "flv", "avi"))
_CODECS_WITH_ODD_PACKETS = frozenset(("theora", "rv10", "rv20", "rv30", "rv40"))
MAX_REORDER = 16  # H.264 and HEVC allow no more


class Keyframe(NamedTuple):
    """A packet from which decoding can begin.

    Attributes:
        packet: its ordinal among the stream's packets.
        frame: index of the frame it holds, or of the first shown after it.
        pts: its time stamps, by which it is recognised again.
        dts: the same.
        pos: its position in the file, for the same.
    """

    packet: int
    frame: int
    pts: int | None
    dts: int | None
    pos: int | None


@dataclass(frozen=True)
class Timeline:
    """The frames of a video in the order they are shown.

    Attributes:
        times: (N,) float64 seconds, ascending from 0, the time of the first frame.
        duration_sec: until the last frame leaves the screen.
        stamps: N time stamps, ascending; empty if frames must be counted.
        packets: N ordinals of the packets that hold the frames; of counted frames only roughly.
        keyframes: ascending in ``packet`` and in ``frame``.
    """

    times: np.ndarray
    duration_sec: float
    stamps: list[int]
    packets: list[int]
    keyframes: list[Keyframe]
    _frames: list[int] = field(default_factory=list)  # of the keyframes, for bisection

    def index_of(self, stamp: int | None) -> int | None:
        """Index of the frame with this time stamp; None if it is not part of the video."""
        if stamp is None:
            return None
        position = bisect_left(self.stamps, stamp)
        return position if position < len(self.stamps) and self.stamps[position] == stamp else None

    def keyframe_before(self, index: int) -> Keyframe:
        """The last keyframe shown at or before a frame and stored before it: no later one can start its decoding."""
        position = bisect_right(self._frames, index) - 1
        while position > 0 and self.keyframes[position].packet > self.packets[index]:
            position -= 1
        return self.keyframes[max(position, 0)]

    def settled_with(self, index: int) -> int:
        """The last shown of the frames stored up to this one: until it is out, nobody knows if it was damaged.

        A B-frame is stored after the later frame it leans on, and shown before it.
        """
        position = self.packets[index]
        nearby = range(index + 1, min(index + 1 + MAX_REORDER, len(self.packets)))
        return max((later for later in nearby if self.packets[later] < position), default=index)


def read_timeline(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> Timeline | None:
    """The timeline from packets alone, by reading the file once without decoding.

    What cannot be shown is no frame: packets that an edit list cuts away, that the end of the file cuts short, that are
    hidden (VP8), or that come before the first keyframe.

    Returns:
        None if the packets do not show it: ``count_timeline`` must decode.
    """
    if (
        not _REGULAR_FORMATS & set(container.format.name.split(","))
        or stream.codec_context.name in _CODECS_WITH_ODD_PACKETS
    ):
        return None
    is_avi = container.format.name == "avi"
    is_vp8 = stream.codec_context.name == "vp8"
    shown: list[tuple[int, int, int]] = []  # time stamp, ordinal, duration
    starts: list[Keyframe] = []
    first_stamp = 0
    for ordinal, packet in enumerate(read_packets(container, stream)):
        stamp = packet.pts
        if stamp is None or (is_avi and stamp != packet.dts):  # AVI stores no order: FFmpeg guesses, often wrong
            return None
        if packet.is_keyframe:
            first_stamp = first_stamp if starts else stamp
            starts.append(Keyframe(ordinal, 0, stamp, packet.dts, packet.pos))
        if not starts or stamp < first_stamp or packet.is_corrupt or packet.is_discard:
            continue
        if not (is_vp8 and _is_hidden(packet)):
            shown.append((stamp, ordinal, packet.duration or 0))
    shown.sort()
    stamps = [stamp for stamp, _, _ in shown]
    if any(stamp == following for stamp, following in pairwise(stamps)):
        return None
    keyframes = [start._replace(frame=bisect_left(stamps, start.pts or 0)) for start in starts]
    times, duration_sec = _times(stamps, shown[-1][2] if shown else 0, stream)
    packets = [ordinal for _, ordinal, _ in shown]
    return Timeline(times, duration_sec, stamps, packets, keyframes, [keyframe.frame for keyframe in keyframes])


def count_timeline(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> Timeline:
    """The timeline from decoding the whole video once: slower, and right whatever the packets say.

    Ours: where the decoder gives no ascending times either, frames are evenly spaced at the stream's average rate.
    """
    stamps: list[int | None] = []
    cut: int | None = None  # the first frame that the end of the file spoils
    key_frames: list[int] = []
    starts: list[Keyframe] = []
    last_duration = 0
    for ordinal, packet in enumerate(_packets_and_end(container, stream)):
        if packet is not None:
            cut = None
            if packet.is_keyframe:
                starts.append(Keyframe(ordinal, 0, packet.pts, packet.dts, packet.pos))
        for frame in decode(stream, packet) or ():
            if frame.is_corrupt and cut is None:
                cut = len(stamps)
            if frame.key_frame:
                key_frames.append(len(stamps))
            stamps.append(frame.pts)
            last_duration = frame.duration or 0
    del stamps[len(stamps) if cut is None else cut :]
    if len(starts) == len(key_frames):
        keyframes = [start._replace(frame=index) for start, index in zip(starts, key_frames, strict=True)]
    else:  # which packet begins which frame is unknown: always begin at the first
        keyframes = [Keyframe(0, 0, None, None, None)]
    known = [stamp for stamp in stamps if stamp is not None]
    if len(known) < len(stamps) or any(b <= a for a, b in pairwise(known)):
        rate = stream.average_rate or Fraction(25)
        step = 1 / (rate * (stream.time_base or Fraction(1, 90000)))
        known, last_duration = [round(index * step) for index in range(len(stamps))], round(step)
    times, duration_sec = _times(known, last_duration, stream)
    frames = [keyframe.frame for keyframe in keyframes]
    return Timeline(times, duration_sec, [], list(range(len(stamps))), keyframes, frames)


def read_packets(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> Iterator[Packet]:
    """The stream's packets as far as the file can be read."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except (av.error.FFmpegError, OSError):
        return


def decode(stream: av.video.stream.VideoStream, packet: Packet | None) -> list[av.video.frame.VideoFrame] | None:
    """Frames that come out after a packet goes in; None at the end brings out the last ones.

    Returns:
        None if the packet does not decode.
    """
    try:
        return stream.codec_context.decode(packet)
    except (av.error.FFmpegError, OSError, ValueError):
        return None


def _packets_and_end(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> Iterator[Packet | None]:
    yield from read_packets(container, stream)
    yield None


def _is_hidden(packet: Packet) -> bool:
    """VP8 marks frames that only serve as reference in bit 4 of the first byte."""
    return not memoryview(packet)[0] & 0x10


def _times(stamps: list[int], last_duration: int, stream: av.video.stream.VideoStream) -> tuple[np.ndarray, float]:
    """Seconds from the first frame, and the whole duration; the last frame stays as long as it says."""
    if not stamps:
        raise MediaError("no frame decodes")
    unit = stream.time_base or Fraction(1, 90000)
    ticks = np.array(stamps, np.int64) - stamps[0]
    times = ticks * unit.numerator / unit.denominator
    if last_duration <= 0 and len(stamps) > 1:
        last_duration = int(np.median(np.diff(ticks)))
    last_sec = float(last_duration * unit) or float(1 / (stream.average_rate or Fraction(25)))
    return times, float(times[-1]) + last_sec
