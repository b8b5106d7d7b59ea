"""Open a video file and find its video stream."""

import os
from typing import Any, BinaryIO

import av
from av.stream import Disposition

from omnicli.errors import MediaError
from omnicli.media.codecs import quiet_codecs
from omnicli.media.image import MAX_PIXELS
from omnicli.streams.files.sniff import HEAD_BYTES, sniff

# until PyAV 19, which always does this, a title that is not UTF-8 keeps a file from opening
_METADATA: dict[str, Any] = (
    {"metadata_errors": "surrogateescape"} if hasattr(av.container.InputContainer, "metadata_errors") else {}
)

quiet_codecs()


def open_container(file: BinaryIO) -> tuple[av.container.InputContainer, av.video.stream.VideoStream]:
    """The container at its beginning, and its video stream with a decoder of one thread.

    Raises:
        MediaError: "not a video (HTML page)", "truncated MP4 does not open", "no video stream", ...
    """
    file.seek(0)
    media, kind = sniff(file.read(HEAD_BYTES))
    if media is None:  # never let FFmpeg guess: playlists would make it open other files
        raise MediaError(f"not a video ({kind})")
    file.seek(0)
    try:
        container = av.open(file, "r", **_METADATA)
    except (av.error.FFmpegError, OSError, ValueError):
        raise MediaError(f"{'truncated ' if is_cut_short(file, kind) else ''}{kind} does not open") from None
    stream = _video_stream(container)
    context = stream.codec_context
    context.thread_count = 1
    if context.width * context.height > MAX_PIXELS:
        raise MediaError(f"{context.width:,} x {context.height:,} pixels is over the limit")
    return container, stream


def _video_stream(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    """The first video stream that is no cover image of a song.

    Raises:
        MediaError: there is none, or nothing can decode it.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise MediaError("no video stream")
    if streams[0].codec_context is None:
        raise MediaError("video codec is not supported")
    return streams[0]


def is_cut_short(file: BinaryIO, kind: str) -> bool:
    """Whether the boxes of an MP4, or the chunk of an AVI, say that the file should be longer than it is."""
    size = file.seek(0, os.SEEK_END)
    position = 0
    if kind == "AVI":
        file.seek(4)
        return 8 + int.from_bytes(file.read(4), "little") > size
    while kind in ("MP4", "MOV") and position < size:
        file.seek(position)
        box = file.read(16)
        length = int.from_bytes(box[:4], "big")
        length = int.from_bytes(box[8:16], "big") if length == 1 else length or size - position
        if length < 8:
            return False
        position += length
    return position > size
