"""Boxes of image files: the clean aperture of an AVIF, which its decoder leaves to the caller, and what is coded."""

import struct
from collections.abc import Iterator
from fractions import Fraction


def clean_aperture(data: bytes, width: int, height: int) -> tuple[int, int, int, int]:
    """The part of the primary image that is meant to be seen (``clap``), before it is turned.

    Args:
        data: an ISO base media file with images (HEIF).
        width: pixels of the primary image as stored.
        height: pixels of it.

    Returns:
        left, top, right, bottom; the whole image where the file names no part, or one that lies outside.

    Raises:
        struct.error: a box is cut.
    """
    whole = (0, 0, width, height)
    meta = next((body[4:] for name, body in boxes(data) if name == b"meta"), b"")
    inner = dict(boxes(meta))
    properties = list(boxes(inner.get(b"iprp", b"")))
    kinds = list(boxes(dict(properties).get(b"ipco", b"")))
    wanted = _primary_item(inner.get(b"pitm", b""))
    for name, body in properties:
        if name != b"ipma":
            continue
        for item, index in _associations(body):
            if item == wanted and 0 < index <= len(kinds) and kinds[index - 1][0] == b"clap":
                return _aperture(kinds[index - 1][1], width, height) or whole
    return whole


def coded_parts(data: bytes) -> Iterator[bytes]:
    """The bytes of coded images in the file, without those of metadata (Exif, XMP), one stretch after the other.

    Raises:
        struct.error: a box is cut.
    """
    meta = next((body[4:] for name, body in boxes(data) if name == b"meta"), b"")
    inner = dict(boxes(meta))
    metadata = set(_metadata_items(inner.get(b"iinf", b"")))
    for item, start, length in _extents(inner.get(b"iloc", b"")):
        if item not in metadata:
            yield data[start : start + length] if length else data[start:]


def _metadata_items(body: bytes) -> Iterator[int]:
    """Numbers of the items of an ``iinf`` box that are no images."""
    for name, entry in boxes(body[8 if body[:1] > b"\0" else 6 :]):
        if name == b"infe" and entry[:1] >= b"\x02":
            item, _, kind = struct.unpack_from(">HH4s" if entry[:1] == b"\x02" else ">IH4s", entry, 4)
            if kind in (b"Exif", b"mime"):
                yield item


def _extents(body: bytes) -> Iterator[tuple[int, int, int]]:
    """(item, position in the file, bytes) of an ``iloc`` box; not what lies in other boxes or files."""
    if not body:
        return
    version, position = body[0], 6
    sizes = (body[4] >> 4, body[4] & 15, body[5] >> 4, body[5] & 15 if version else 0)  # offset, length, base, index

    def take(count: int) -> int:
        nonlocal position
        if position + count > len(body):
            raise struct.error("cut")
        position += count
        return int.from_bytes(body[position - count : position], "big")

    for _ in range(take(4 if version == 2 else 2)):
        item = take(4 if version == 2 else 2)
        method = take(2) & 15 if version else 0
        source, base = take(2), take(sizes[2])
        for _ in range(take(2)):
            take(sizes[3])
            start, length = base + take(sizes[0]), take(sizes[1])
            if not method and not source:
                yield item, start, length


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of the boxes that lie one behind the other."""
    position = 0
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        start = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, position + 8)
            start = 16
        length = length or len(data) - position  # 0: to the end
        if length < start:
            return
        yield name, data[position + start : position + length]
        position += length


def _primary_item(body: bytes) -> int | None:
    if not body:
        return None
    (item,) = struct.unpack_from(">I" if body[0] else ">H", body, 4)
    return int(item)


def _associations(body: bytes) -> Iterator[tuple[int, int]]:
    """(item, number of its property, from 1) of an ``ipma`` box."""
    is_long, is_wide = body[:1] > b"\0", bool(body[3:4] and body[3] & 1)
    (count,) = struct.unpack_from(">I", body, 4)
    position = 8
    for _ in range(count):
        item, number = struct.unpack_from(">IB" if is_long else ">HB", body, position)
        position += 5 if is_long else 3
        for _ in range(number):
            (index,) = struct.unpack_from(">H" if is_wide else ">B", body, position)
            position += 2 if is_wide else 1
            yield item, index & (0x7FFF if is_wide else 0x7F)


def _aperture(body: bytes, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Size and offset of its centre from the image's, as fractions; None where it is no part of the image."""
    numbers = struct.unpack_from(">IIIIiIiI", body)
    if not all(numbers[1::2]):
        return None
    wide, high, right_by, down_by = (Fraction(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True))
    left, top = int((width - wide) / 2 + right_by), int((height - high) / 2 + down_by)
    right, bottom = left + int(wide), top + int(high)
    return (left, top, right, bottom) if 0 <= left < right <= width and 0 <= top < bottom <= height else None
