"""Packets of a video stream, and what comes out of its decoder; what FFmpeg raises ends here."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

import av

if TYPE_CHECKING:
    Packet: TypeAlias = av.packet.Packet[av.video.stream.VideoStream]
else:  # older PyAV has no generic packets
    Packet = av.packet.Packet


def read_packets(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> Iterator[Packet]:
    """The stream's packets as far as the file can be read."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except (av.error.FFmpegError, OSError, IndexError):  # IndexError: a stream appeared in the middle
        return


def packets_and_end(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> Iterator[Packet | None]:
    """The packets, and None, with which ``decode`` brings out the last frames."""
    yield from read_packets(container, stream)
    yield None


def decode(stream: av.video.stream.VideoStream, packet: Packet | None) -> list[av.video.frame.VideoFrame] | None:
    """Frames that come out after a packet goes in; None at the end brings out the last ones.

    Returns:
        None if the packet does not decode.
    """
    try:
        return stream.codec_context.decode(packet)
    except (av.error.FFmpegError, OSError, ValueError):
        return None


def is_mpeg4_b_frame(packet: Packet) -> bool:
    """True if the first frame in a packet of MPEG-4 Part 2 is a B-frame."""
    _, _, frame = bytes(packet).partition(b"\0\0\x01\xb6")
    return frame[:1] != b"" and frame[0] >> 6 == 2
