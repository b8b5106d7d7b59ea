"""When each frame of a video is shown, which packet holds it, and from which packets decoding may begin.

Most files are *regular*: every packet is one frame and says when it is shown, so reading the packets without decoding
is enough, and a decoded frame is recognised by its time stamp. The others are decoded once from end to end, and a
frame is recognised by counting (``counting.py``).
"""

import itertools
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import av
import numpy as np

from omnicli.errors import MediaError
from omnicli.media.packets import Packet, decode, read_packets

# Containers whose packets are whole frames with honest time stamps, if they have any
_REGULAR_FORMATS = frozenset(("mov", "mp4", "matroska", "webm", "flv", "avi"))
_CODECS_WITH_ODD_PACKETS = frozenset(("theora", "rv10", "rv20", "rv30", "rv40"))
MAX_REORDER = 16  # H.264 and HEVC allow no more
PROBED_PACKETS = MAX_REORDER + 8  # Ours: decoded to see if time stamps are those of decoding
MAX_SPAN_SEC = 1e9  # Ours: no video lasts for 30 years


class Keyframe(NamedTuple):
    """A packet from which decoding may begin.

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


BEGINNING = Keyframe(0, 0, None, None, None)  # of the file, without a seek


@dataclass(frozen=True)
class Timeline:
    """The frames of a video in the order they are shown.

    Attributes:
        times: (N,) float64 seconds, ascending from 0, the time of the first frame.
        duration_sec: until the last frame leaves the screen.
        stamps: N time stamps, ascending; empty if frames must be counted.
        packets: N ordinals of the packets that hold the frames; of counted frames only roughly.
        keyframes: ascending in ``packet`` and in ``frame``, as the container says; of counted frames, the decoder.
        key_frames: where frames are counted, ascending indices of those that decoded by themselves.
        num_leading: there, frames that come out before the first of the video, made from what is missing.
        seams: there, ordinals of the last packets before the clock jumps: marked as damaged because others follow.
    """

    times: np.ndarray
    duration_sec: float
    stamps: list[int]
    packets: list[int]
    keyframes: list[Keyframe]
    key_frames: list[int] = field(default_factory=list)
    num_leading: int = 0
    seams: frozenset[int] = frozenset()

    @property
    def is_counted(self) -> bool:
        """True if frames carry no time stamps to recognise them by."""
        return not self.stamps

    def index_of(self, stamp: int | None) -> int | None:
        """Index of the frame with this time stamp; None if it is not part of the video."""
        if stamp is None:
            return None
        position = bisect_left(self.stamps, stamp)
        return position if position < len(self.stamps) and self.stamps[position] == stamp else None

    def key_frame_before(self, index: int) -> int:
        """Where frames are counted: the last one at or before a frame that decoded by itself, or else the first."""
        position = bisect_right(self.key_frames, index)
        return self.key_frames[position - 1] if position else 0

    def settled_with(self, index: int) -> int:
        """The last shown of the frames stored up to this one: until it is out, nobody knows if it was damaged.

        A B-frame is stored after the later frame it depends on, and shown before it.
        """
        position = self.packets[index]
        nearby = range(index + 1, min(index + 1 + MAX_REORDER, len(self.packets)))
        return max((later for later in nearby if self.packets[later] < position), default=index)


class Walked(NamedTuple):
    """What stands for the content of packets where that is not read.

    Attributes:
        container: the same video, opened so that frames can be decoded.
        stream: of that container.
        keyframes: positions of the packets that are keyframes, from the index of the file.
    """

    container: av.container.InputContainer
    stream: av.video.stream.VideoStream
    keyframes: frozenset[int]


def read_timeline(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, walked: Walked | None = None
) -> Timeline | None:
    """The timeline from packets alone, by reading the file once without decoding.

    What cannot be shown is no frame: packets that an edit list cuts away, that the end of the file cuts short, that are
    hidden (VP8), or that are shown before the first keyframe.

    Args:
        container: at its beginning.
        stream: of the container.
        walked: given if the packets of ``container`` have no content.

    Returns:
        None if the packets do not show it: ``count_timeline`` must decode.
    """
    context = stream.codec_context
    if not _REGULAR_FORMATS & set(container.format.name.split(",")) or context.name in _CODECS_WITH_ODD_PACKETS:
        return None
    keeps_order = stores_order(container, stream)
    is_vp8 = context.name == "vp8"
    is_intra = context.codec.intra_only
    shown: list[tuple[int, int, int]] = []  # time stamp, ordinal, duration
    starts: list[Keyframe] = []
    first_stamp = 0
    is_reordered = not context.has_b_frames
    for ordinal, packet in enumerate(read_packets(container, stream)):
        stamp = packet.pts
        if stamp is None or (not keeps_order and stamp != packet.dts):  # what FFmpeg guesses is often wrong
            return None
        is_reordered = is_reordered or stamp != packet.dts
        if is_intra or (packet.is_keyframe if walked is None else packet.pos in walked.keyframes):
            first_stamp = first_stamp if starts else stamp
            starts.append(Keyframe(ordinal, 0, stamp, packet.dts, packet.pos))
        elif not starts:  # what does not begin with a keyframe may begin anywhere, or nowhere
            return None
        if stamp < first_stamp or packet.is_corrupt or packet.is_discard:
            continue
        if not (is_vp8 and _is_hidden(packet)):
            shown.append((stamp, ordinal, packet.duration or 0))
    shown.sort()
    stamps = [stamp for stamp, _, _ in shown]
    if any(stamp == following for stamp, following in pairwise(stamps)):
        return None
    if not is_reordered and not _come_out_in_order(*(walked[:2] if walked else (container, stream)), stamps):
        return None
    keyframes = [start._replace(frame=bisect_left(stamps, start.pts or 0)) for start in starts]
    times, duration_sec = times_of(stamps, shown[-1][2] if shown else 0, stream)
    return Timeline(times, duration_sec, stamps, [ordinal for _, ordinal, _ in shown], keyframes)


def _come_out_in_order(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, stamps: list[int]
) -> bool:
    """False if frames, of a codec with B-frames, only say when they are decoded: seen from the first that come out."""
    try:
        container.seek(stamps[0] if stamps else 0, stream=stream)
    except (av.error.FFmpegError, OSError):
        return True
    packets = itertools.islice(read_packets(container, stream), PROBED_PACKETS)
    out = [frame.pts for packet in packets for frame in decode(stream, packet) or () if frame.pts is not None]
    return all(stamp < following for stamp, following in pairwise(out))


def stores_order(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> bool:
    """False where FFmpeg guesses when frames are shown: in AVI, and in Matroska with codecs named as in AVI."""
    name = container.format.name
    return name != "avi" and not ("matroska" in name and stream.codec_context.codec_tag.strip("\0"))


def times_of(stamps: list[int], last_duration: int, stream: av.video.stream.VideoStream) -> tuple[np.ndarray, float]:
    """Seconds from the first frame, and the whole duration; the last frame stays as long as it says.

    Args:
        stamps: N ascending time stamps.
        last_duration: of the last frame in the same unit; 0: unknown, the median is taken.
        stream: gives the unit.

    Returns:
        (N,) float64 from 0; seconds.

    Raises:
        MediaError: no frame at all, or time stamps that span decades.
    """
    if not stamps:
        raise MediaError("no frame decodes")
    unit = stream.time_base or Fraction(1, 90000)
    longest = int(MAX_SPAN_SEC / unit)
    if stamps[-1] - stamps[0] > longest:
        raise MediaError("time stamps are damaged")
    ticks = np.array(stamps, np.int64) - stamps[0]
    times = ticks * unit.numerator / unit.denominator
    if not 0 < last_duration <= longest and len(stamps) > 1:
        last_duration = int(np.median(np.diff(ticks)))
    last_sec = float(min(last_duration, longest) * unit) or float(1 / (stream.average_rate or Fraction(25)))
    return times, float(times[-1]) + last_sec


def _is_hidden(packet: Packet) -> bool:
    """VP8 marks frames that only serve as reference in bit 4 of the first byte."""
    return not memoryview(packet)[0] & 0x10
