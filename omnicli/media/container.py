"""Open a video file with the demuxer of its own kind, and find its video stream."""

import os
from typing import Any

import av
from av.stream import Disposition

from omnicli.errors import MediaError
from omnicli.media.codecs import quiet_codecs
from omnicli.media.image import MAX_PIXELS
from omnicli.media.media_file import MediaFile
from omnicli.media.mp4_boxes import check_frame_counts, ends_too_early
from omnicli.streams.files.sniff import HEAD_BYTES, sniff

# FFmpeg's demuxer for each kind. It never guesses: playlists and session descriptions would make it open other files,
# hosts and sockets.
_DEMUXERS = {
    "MP4": "mov",
    "MOV": "mov",
    "AVIF sequence": "mov",
    "HEIC sequence": "mov",
    "MKV or WebM": "matroska",
    "AVI": "avi",
    "FLV": "flv",
    "OGG": "ogg",
    "ASF": "asf",
    "RealMedia": "rm",
    "MPEG-TS": "mpegts",
    "MPEG-PS": "mpeg",
    "MPEG video": "mpegvideo",
    "MPEG-4 video": "m4v",
    "H.264 video": "h264",
    "HEVC video": "hevc",
    "IVF": "ivf",
    "DV": "dv",
    "MXF": "mxf",
    "Y4M": "yuv4mpegpipe",
    "GIF": "gif",
}
_OPTIONS: dict[str, Any] = {"container_options": {"protocol_whitelist": "none"}}  # nothing but the file itself
# until PyAV 19, which always does this, a title that is not UTF-8 keeps a file from opening
if hasattr(av.container.InputContainer, "metadata_errors"):
    _OPTIONS["metadata_errors"] = "surrogateescape"
_NO_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails

quiet_codecs()


def open_container(file: MediaFile) -> tuple[av.container.InputContainer, av.video.stream.VideoStream]:
    """The container at its beginning, and its video stream with a decoder of one thread.

    Raises:
        MediaError: "not a video (HTML page)", "truncated MP4 does not open", "no video stream", ...
    """
    file.seek(0)
    kind = sniff(file.read(HEAD_BYTES))[1]
    file.check()
    if kind not in _DEMUXERS:
        raise MediaError(f"not a video ({kind})")
    if _DEMUXERS[kind] == "mov":
        check_frame_counts(file)
    file.seek(0)
    try:
        container = av.open(file, "r", format=_DEMUXERS[kind], **_OPTIONS)
    except (av.error.FFmpegError, OSError, ValueError):
        file.check()
        raise MediaError(f"{'truncated ' if is_cut_short(file, kind) else ''}{kind} does not open") from None
    stream = _video_stream(container)
    context = stream.codec_context
    context.thread_count = 1
    if context.width * context.height > MAX_PIXELS:
        raise MediaError(f"{context.width:,} x {context.height:,} pixels is over the limit")
    return container, stream


def _video_stream(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    """The video stream that the container marks as default, else the largest that is no cover and no thumbnails.

    Of several default ones, and of several as large, the one with more frames, then the first.

    Raises:
        MediaError: there is none, or nothing can decode it.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & _NO_VIDEO]
    if not streams:
        raise MediaError("no video stream")
    streams = [stream for stream in streams if stream.disposition & Disposition.default] or streams
    stream = max(streams, key=_size)
    if stream.codec_context is None:
        raise MediaError("video codec is not supported")
    return stream


def _size(stream: av.video.stream.VideoStream) -> tuple[int, int]:
    context = stream.codec_context
    return (0 if context is None else context.width * context.height), stream.frames


def is_cut_short(file: MediaFile, kind: str) -> bool:
    """Whether the boxes of an MP4, or the chunk of an AVI, say that the file should be longer than it is."""
    if kind == "AVI":
        size = file.seek(0, os.SEEK_END)
        file.seek(4)
        return 8 + int.from_bytes(file.read(4), "little") > size
    return kind in ("MP4", "MOV") and ends_too_early(file)
