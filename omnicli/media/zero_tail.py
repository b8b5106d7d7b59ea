"""Incomplete downloads of preallocated image files: the missing bytes are zeros, which some decoders take for pixels.

Ours. No coded image ends in many zeros, except VP8, whose flat areas may be one twentieth of them. Plain pixels may end
in zeros, since black is zeros: there the file is refused only where they begin inside a row, beside pixels that are not
black in the row before.
"""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from omnicli.errors import MediaError
from omnicli.media.headers import webp_chunks
from omnicli.media.heif_boxes import coded_parts

_MIN_ZEROS = 64
_VP8_SHARE = 0.1
_USUAL_SHARE = 0.6  # of the bytes beside the first zero: not zero
_MIN_BESIDE = 6
_WIDTH, _BITS, _COMPRESSION, _SAMPLES, _PLANAR, _PALETTE = 256, 258, 259, 277, 284, 320
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325


def check_tail(data: bytes, kind: str, tags: Mapping[int, Any] | None = None) -> None:
    """Refuses a file of which only the first part has arrived, the rest being zeros.

    Args:
        data: the file.
        kind: as ``streams.files.sniff.sniff`` calls it; WebP, AVIF, HEIC, BMP and TIFF are checked.
        tags: of a TIFF, its first directory.

    Raises:
        MediaError: "truncated WebP", ...
        struct.error: a header is cut.
    """
    if kind == "WebP":
        is_missing = _is_webp_missing(data)
    elif kind in ("AVIF", "HEIC"):
        is_missing = any(map(_ends_in_zeros, coded_parts(data)))  # Exif may be padded
    elif kind == "BMP":
        is_missing = _is_bmp_missing(data)
    else:
        is_missing = tags is not None and _is_tiff_missing(data, tags)
    if is_missing:
        raise MediaError(f"truncated {kind}")


def _ends_in_zeros(part: bytes, share: float = 0.0) -> bool:
    if part[-_MIN_ZEROS:].count(0) < _MIN_ZEROS:
        return False
    return len(part) - len(part.rstrip(b"\0")) >= share * len(part)


def _is_webp_missing(data: bytes) -> bool:
    is_extended = data[12:16] == b"VP8X"
    for name, part in webp_chunks(data):
        if name == b"\0\0\0\0":
            return is_extended  # the chunk of the alpha, the pixels or the orientation
        if name in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF") and _ends_in_zeros(part, _VP8_SHARE):
            return True
    return False


def _is_bmp_missing(data: bytes) -> bool:
    (start, header_bytes) = struct.unpack_from("<II", data, 10)
    if header_bytes == 12:
        (width, bits), compression = (struct.unpack_from("<H", data, position)[0] for position in (18, 24)), 0
    else:
        (width, bits, compression) = (*struct.unpack_from("<i", data, 18), *struct.unpack_from("<HI", data, 28))
    if compression in (1, 2):  # runs
        return False
    return _stops_in_a_row(data[start:], (width * bits + 7) // 8, (width * bits + 31) // 32 * 4)


def _is_tiff_missing(data: bytes, tags: Mapping[int, Any]) -> bool:
    palette = tags.get(_PALETTE, ())  # all red, all green, all blue
    if data.endswith(bytes(_MIN_ZEROS)) and palette and not any(palette[-len(palette) // 3 :]):
        return True
    kinds = (_STRIPS, _STRIP_BYTES) if _STRIPS in tags else (_TILES, _TILE_BYTES)
    starts, lengths = (tags.get(kind, ()) for kind in kinds)
    if not starts or not lengths or len(starts) != len(lengths):
        return False
    if tags.get(_COMPRESSION, 1) != 1:
        last, length = max(zip(starts, lengths, strict=True))
        return _ends_in_zeros(data[last : last + length])
    first, end = min(starts), max(start + length for start, length in zip(starts, lengths, strict=True))
    if _STRIPS not in tags or tags.get(_PLANAR, 1) == 2 or sum(lengths) != end - first:
        return False
    row_bytes = (tags[_WIDTH] * tags.get(_SAMPLES, 1) * max(tags.get(_BITS, (1,))) + 7) // 8
    return _stops_in_a_row(data[first:end], row_bytes, row_bytes)


def _stops_in_a_row(part: bytes, row_bytes: int, stride: int) -> bool:
    """Whether zeros begin inside a row of plain pixels, while the rows up to there have few."""
    if part[-_MIN_ZEROS:].count(0) < _MIN_ZEROS or stride < 1:
        return False
    length = len(part.rstrip(b"\0"))
    row, column = divmod(length, stride)
    if not row or len(part) - length < stride or not 1 <= column <= row_bytes - _MIN_BESIDE:
        return False
    before = np.frombuffer(part[length - row_bytes : length], np.uint8)
    beside = np.frombuffer(part[(row - 1) * stride + column : (row - 1) * stride + row_bytes], np.uint8)
    if min((before != 0).mean(), (beside != 0).mean()) < _USUAL_SHARE:
        return False
    # A smooth edge, nearly level, fades; a cut does not.
    below = np.frombuffer(part[length - stride - _MIN_BESIDE : length - stride], np.uint8)
    return bool(before[-_MIN_BESIDE:].mean() >= 0.2 * below.mean())
