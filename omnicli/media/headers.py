"""Size, orientation and completeness of an image, read from its header without a decoder.

Pixels are only allocated after the size has been read, so a 100-byte file cannot claim gigabytes; and a file that was
cut short differs from a whole one in its structure, because some decoders pad what is missing with grey.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from omnicli.errors import MediaError

EXIF_ORIENTATION = 0x0112
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
_USUAL_JPEG = re.compile(  # JFIF, two tables, baseline, 8 bits, three colours
    rb"\xff\xd8\xff\xe0\0\x10.{14}(?:\xff\xdb\0\x43.{65}){2}\xff\xc0\0\x11\x08(.{4})\x03", re.DOTALL
)
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}


class Header(NamedTuple):
    """What is known before decoding.

    Attributes:
        height: pixels as stored, before the orientation is applied.
        width: pixels as stored.
        orientation: 1-8 as in Exif.
        end: bytes that hold the whole image; what lies behind them does not matter. None: the file stops before its
            end mark.
        complete: up to here everything is whole; what is behind it is the end mark or broken data.
        num_channels: of a JPEG; 4 is CMYK.
        progressive: of a JPEG.
        arithmetic: of a JPEG; its decoder warns of nothing that is missing.
    """

    height: int
    width: int
    orientation: int = 1
    end: int | None = None
    complete: int = 0
    num_channels: int = 3
    progressive: bool = False
    arithmetic: bool = False


def read_header(data: bytes, kind: str) -> Header:
    """Size, orientation and extent of an image.

    Args:
        data: the whole file.
        kind: as ``streams.files.sniff.sniff`` calls it: JPEG, PNG, WebP.

    Raises:
        MediaError: the file ends, or breaks, before its size.
    """
    readers = {"JPEG": _read_jpeg, "PNG": _read_png, "WebP": _read_webp}
    if kind not in readers:
        raise MediaError(f"{kind} images are not supported")
    try:
        header = readers[kind](data)
    except (struct.error, IndexError):
        raise MediaError(f"truncated {kind}") from None
    if header.height < 1 or header.width < 1:
        raise MediaError(f"{kind} of {header.width} x {header.height} pixels")
    return header


def _read_jpeg(data: bytes) -> Header:
    """Segments up to the end mark (EOI). In a scan, FF followed by 00 or a restart mark is data: skipped.

    What every common encoder writes, packed frames included, is found at fixed offsets: nothing is searched.
    """
    if data.endswith(b"\xff\xd9") and (usual := _USUAL_JPEG.match(data)):
        height, width = struct.unpack(">HH", usual[1])
        if height:
            return Header(height, width, end=len(data), complete=len(data) - 2)
    header, position = Header(0, 0), 2
    while (found := _JPEG_MARKER.search(data, position)) is not None:
        position, marker = found.start(), data[found.end() - 1]
        if marker == 0xD9 and header.height:
            return header._replace(end=position + 2, complete=position)
        if marker in (0xD8, 0xD9):
            position += 2
            continue
        if position + 4 > len(data):
            break
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _JPEG_SIZES and not header.height:
            _, height, width, num_channels = struct.unpack_from(">BHHB", data, position + 4)
            progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
            header = header._replace(
                height=height, width=width, num_channels=num_channels, progressive=progressive, arithmetic=marker > 0xC8
            )
        elif marker == 0xE1 and data.startswith(b"Exif\0\0", position + 4):
            header = header._replace(orientation=exif_orientation(data[position + 10 : position + 2 + length]))
        position += 2 + max(length, 2)
    if not header.height:
        raise MediaError("truncated JPEG")
    return header._replace(complete=len(data))


def _read_png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    orientation, position = 1, 8
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        following = position + 12 + length
        if following > len(data):
            break
        if name == b"eXIf":
            orientation = exif_orientation(data[position + 8 : position + 8 + length])
        if name == b"IEND":
            return Header(height, width, orientation, following, position)
        position = following
    return Header(height, width, orientation, None, position)


def _read_webp(data: bytes) -> Header:
    (riff_bytes,) = struct.unpack_from("<I", data, 4)
    (name,) = struct.unpack_from("4s", data, 12)
    end = 8 + riff_bytes if 8 + riff_bytes <= len(data) else None
    if name == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
        return Header(height, width, 1, end, len(data))
    if name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1, 1, end, len(data))
    if name != b"VP8X":
        raise MediaError("WebP without an image")
    low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
    width, height = (high_w << 16 | low_w) + 1, (high_h << 16 | low_h) + 1
    return Header(height, width, _webp_orientation(data), end, len(data))


def _webp_orientation(data: bytes) -> int:
    exif = next((content for name, content in webp_chunks(data) if name == b"EXIF"), None)
    return 1 if exif is None else exif_orientation(exif.removeprefix(b"Exif\0\0"))


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of the chunks of a WebP, in order; the last may be cut."""
    position = 12
    while position + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        yield name, data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2


def exif_orientation(block: bytes) -> int:
    """Orientation 1-8 of an Exif block that starts with its TIFF header; 1 where it is absent or nonsense.

    >>> exif_orientation(b"MM\\0*\\0\\0\\0\\x08\\0\\x01\\x01\\x12\\0\\x03\\0\\0\\0\\x01\\0\\x06\\0\\0\\0\\0\\0\\0")
    6
    """
    try:
        orientation = _tiff_tags(block).get(EXIF_ORIENTATION, 1)
    except struct.error:
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _tiff_tags(block: bytes) -> dict[int, int]:
    """First values of the first directory's whole-number tags, as far as it goes. Raises struct.error: it has none."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        raise struct.error("no byte order")
    (directory,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, directory)
    tags = {}
    for position in range(directory + 2, min(directory + 2 + 12 * count, len(block) - 11), 12):
        tag, kind = struct.unpack_from(order + "HH", block, position)
        if kind in (1, 3, 4):
            (tags[tag],) = struct.unpack_from(order + _TIFF_TYPES[kind], block, position + 8)
    return tags
