"""The boxes of an MP4 or MOV, for what the demuxer would believe before it reads a frame."""

import os
from collections.abc import Iterator
from typing import NamedTuple

from omnicli.errors import MediaError
from omnicli.media.media_file import MediaFile

MAX_BOXES = 2000  # Ours: side by side that are read
MAX_INDEX_BYTES = 2**26  # Ours: of the index that are read; that of a video of ten hours is 20 MB
MIN_SAMPLE_BYTES = 64  # Ours: of video frames that are all of one size,
MAX_CUT = 16  # and by how much the file may be shorter than they would be


class _Box(NamedTuple):
    """A box: its type, where its content begins, and where it ends, which may be behind the end of the file."""

    kind: bytes
    start: int
    end: int


def ends_too_early(file: MediaFile) -> bool:
    """Whether the outermost boxes say that the file should be longer than it is."""
    size = file.seek(0, os.SEEK_END)
    return any(box.end > size for box in _boxes(file, 0, size))


def check_frame_counts(file: MediaFile) -> None:
    """Refuses a file with a video track of more frames than it can hold, for each of which FFmpeg would take memory.

    Only where all frames are said to have one size; otherwise the sizes stand in the file.

    Raises:
        MediaError: "268,435,455 frames cannot be in 2,681 bytes".
    """
    size = file.seek(0, os.SEEK_END)
    for movie in _inside(file, 0, size, b"moov"):
        content = _read(file, movie.start, min(movie.end - movie.start, MAX_INDEX_BYTES))
        position = content.find(b"stsz")
        while position >= 0:
            if _claim(content[position + 8 : position + 16], size):  # rare, and perhaps the sound
                _check_tracks(file, movie, size)
            position = content.find(b"stsz", position + 1)


def has_fragments(file: MediaFile) -> bool:
    """Whether parts of the index lie between the frames."""
    return any(True for _ in _inside(file, 0, file.seek(0, os.SEEK_END), b"moov", b"mvex"))


def _check_tracks(file: MediaFile, movie: _Box, size: int) -> None:
    for media in _inside(file, movie.start, min(movie.end, size), b"trak", b"mdia"):
        children = list(_boxes(file, media.start, media.end))
        if not any(box.kind == b"hdlr" and _read(file, box.start + 8, 4) == b"vide" for box in children):
            continue
        for table in _inside(file, media.start, media.end, b"minf", b"stbl", b"stsz"):
            count = _claim(_read(file, table.start + 4, 8), size)
            if count:
                raise MediaError(f"{count:,} frames cannot be in {size:,} bytes")


def _claim(fields: bytes, size: int) -> int:
    """The number of samples that a table of sizes claims, if a file of ``size`` bytes cannot hold them; else 0."""
    frame_bytes, count = int.from_bytes(fields[:4], "big"), int.from_bytes(fields[4:], "big")
    return count if frame_bytes and count * max(frame_bytes, MIN_SAMPLE_BYTES) > MAX_CUT * size else 0


def _inside(file: MediaFile, start: int, end: int, kind: bytes, *kinds: bytes) -> Iterator[_Box]:
    """The boxes of the last kind inside those of the kinds before it."""
    for box in _boxes(file, start, end):
        if box.kind == kind:
            if kinds:
                yield from _inside(file, box.start, min(box.end, end), *kinds)
            else:
                yield box


def _boxes(file: MediaFile, start: int, end: int) -> Iterator[_Box]:
    """The boxes side by side between two positions; a broken one is the last."""
    for _ in range(MAX_BOXES):
        if start >= end:
            return
        head = _read(file, start, 16)
        length, header = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, header = int.from_bytes(head[8:16], "big"), 16
        length = length or end - start
        if length < header:
            return
        yield _Box(head[4:8], start + header, start + length)
        start += length


def _read(file: MediaFile, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)
