"""The timeline of a remote MP4 from its index alone: packets are listed without fetching their content.

The demuxer of MP4 knows from the index where each packet is, how long it is, and when it is shown; ``read_timeline``
looks at nothing else. So it gets zeros for the content. A few frames of a long video then fetch little more than
themselves.
"""

import io
import os
from typing import BinaryIO, cast

import av

from omnicli.media.container import open_container
from omnicli.media.media_file import MediaFile
from omnicli.media.mp4_boxes import has_fragments
from omnicli.media.timeline import Timeline, Walked, read_timeline
from omnicli.streams.files.remote_file import RemoteFile

# Codecs of which the demuxer takes nothing but the mark of keyframes from the content of packets
_UNPARSED = frozenset(("h264", "hevc", "mpeg4"))


class HollowFile(io.RawIOBase):
    """A view of a remote file with its own position, whose content is zeros while ``is_hollow``."""

    def __init__(self, file: RemoteFile) -> None:
        self.is_hollow = False
        self._file = file
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes."""
        count = max(0, self._file.size - self._at)
        count = count if size < 0 else min(size, count)
        content = bytes(count) if self.is_hollow else self._file.pread(count, self._at)
        self._at += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; returns it."""
        self._at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence] + offset
        return self._at

    def tell(self) -> int:
        """The position."""
        return self._at


def timeline_from_index(
    file: RemoteFile, container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> Timeline | None:
    """The timeline of an MP4 that has one whole index, without reading its frames; None of any other file.

    Args:
        file: of the video.
        container: the open video, of which frames may be decoded.
        stream: of the container.
    """
    if not {"mov", "mp4"} & set(container.format.name.split(",")) or stream.codec_context.name not in _UNPARSED:
        return None
    hollow = HollowFile(file)
    media = MediaFile(cast(BinaryIO, hollow))
    if has_fragments(media):
        return None
    walked, its_stream = open_container(media)
    try:
        hollow.is_hollow = True
        keyframes = frozenset(entry.pos for entry in its_stream.index_entries if entry.is_keyframe)
        return read_timeline(walked, its_stream, Walked(container, stream, keyframes))
    finally:
        walked.close()
