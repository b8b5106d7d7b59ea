"""Decode PNG: one transparent colour, which OpenCV ignores, is laid on white too."""

import struct

import cv2
import numpy as np

from omnicli.errors import MediaError
from omnicli.media.codecs import imdecode
from omnicli.media.headers import Header
from omnicli.media.pixels import to_rgb

_END = b"\0\0\0\0IEND\xaeB`\x82"
_FIRST_CHUNKS = 33  # the magic number and IHDR
_GREY, _COLOUR = 0, 2


def decode_png(data: bytes, header: Header) -> np.ndarray:
    """The pixels of a PNG, as stored; of an animation the default image.

    Args:
        data: the file.
        header: of it.

    Returns:
        (H, W, 3) uint8 RGB; transparency is laid on white, 16 bits become the high 8.

    Raises:
        MediaError: "truncated PNG" or "PNG does not decode".
    """
    if header.complete < _FIRST_CHUNKS:
        raise MediaError("truncated PNG")
    # Without an end mark the decoder decides: it fails if a row is missing.
    data, transparent = _still(data[: header.complete])
    image = imdecode(data + _END, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise MediaError("PNG does not decode" if header.end else "truncated PNG")
    pixels = to_rgb(image, "PNG")
    if transparent is not None:
        is_hidden = image == transparent if image.ndim == 2 else (image == transparent).all(axis=2)
        pixels[is_hidden] = 255
    return pixels


def _still(data: bytes) -> tuple[bytes, np.ndarray | None]:
    """A PNG without animation and, where it is grey or colour, without ``tRNS``; the value that this chunk names.

    Some versions of OpenCV show the first frame of an animation, some the image that all other programs show.

    Args:
        data: the chunks before the end mark.

    Returns:
        the file, and the transparent value (1,) or (3,) BGR as the decoder gives it, or None.
    """
    depth, colours = data[24], data[25]
    transparent, kept, position = None, [data[:8]], 8
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        following = position + 12 + length
        if name == b"IDAT":
            break
        if name == b"tRNS" and length == {_GREY: 2, _COLOUR: 6}.get(colours):
            value = np.frombuffer(data[position + 8 : position + 8 + length], ">u2")[::-1] & (1 << depth) - 1
            transparent = value * (255 // ((1 << depth) - 1) if depth < 8 else 1)
        elif name != b"acTL":
            kept.append(data[position:following])
        position = following
    return b"".join((*kept, data[position:])), transparent
