"""Decode image files to RGB pixels.

Ours, where the paper only says that corrupt data are cut: colour profiles are ignored, transparency is laid on white,
16 bits become 8, an animation is its first frame. A file that was cut short is refused, since decoders fill the rest
with grey and a model would learn the grey; only where nothing but the end mark is missing, every pixel is there and it
is taken.
"""

import cv2
import numpy as np

from omnicli.errors import MediaError
from omnicli.media.codecs import imdecode, quiet_codecs
from omnicli.media.headers import Header, read_header
from omnicli.media.jpeg import decode_jpeg
from omnicli.media.pillow_image import PILLOW_KINDS, check_size, read_with_pillow, size_with_pillow
from omnicli.media.pixels import to_rgb
from omnicli.media.png import decode_png
from omnicli.media.resizing import orient
from omnicli.media.zero_tail import check_tail
from omnicli.streams.files.sniff import HEAD_BYTES, sniff

MAX_PIXELS = 178_956_970  # half a gigabyte of RGB; Pillow's limit too

_ANIMATION = 2  # flag of a WebP header

quiet_codecs()


def read_image(data: bytes, *, short_side: int | None = None, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The pixels of an encoded image, turned as it is meant to be seen.

    Args:
        data: a whole JPEG, PNG, GIF, WebP, BMP, TIFF or AVIF file; what follows the end of the image is ignored.
        short_side: a JPEG whose short side is at least twice this is decoded at 1/2, 1/4 or 1/8 of its size, the
            smallest whose short side is still not below it. Nothing is resized beyond that, and never enlarged.
        max_pixels: refuse larger images before any memory is taken.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        MediaError: "truncated JPEG", "empty file", "not an image (HTML page)", "PNG does not decode", ...
    """
    kind = _kind_of(data)
    if kind in PILLOW_KINDS:
        return read_with_pillow(data, kind, max_pixels=max_pixels)
    header = read_header(data, kind)
    check_size(header.height, header.width, max_pixels)
    if kind == "JPEG":
        return orient(decode_jpeg(data, header, _scale_of(header, short_side)), header.orientation)
    image = decode_png(data, header) if kind == "PNG" else _decode_webp(data, header, max_pixels)
    if image.shape[:2] != (header.height, header.width):
        raise MediaError(f"{kind} with two sizes: {header.width} x {header.height} in the header")
    return orient(image, header.orientation)


def encode_jpeg(image: np.ndarray, *, quality: int) -> bytes:
    """The JPEG file of an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        quality: 1 to 100.

    Raises:
        MediaError: a side is longer than a JPEG can be.
    """
    try:
        done, encoded = cv2.imencode(
            ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
    except cv2.error:  # OpenCV 4.10
        done = False
    if not done:
        raise MediaError(f"frames of {image.shape[1]} x {image.shape[0]} pixels do not fit a JPEG")
    return encoded.tobytes()


def image_size(data: bytes) -> tuple[int, int]:
    """(height, width) after the orientation, from the header alone.

    Raises:
        MediaError: no image, or the file ends before its size.
    """
    kind = _kind_of(data)
    if kind in PILLOW_KINDS:
        return size_with_pillow(data, kind)
    header = read_header(data, kind)
    return (header.width, header.height) if header.orientation >= 5 else (header.height, header.width)


def _kind_of(data: bytes) -> str:
    media, kind = sniff(data[:HEAD_BYTES])
    if kind == "empty file":
        raise MediaError("empty file")
    if media != "image":
        raise MediaError(f"not an image ({kind})")
    return kind


def _scale_of(header: Header, short_side: int | None) -> int:
    """The largest of 8, 4, 2, 1 that leaves the short side (rounded up, as libjpeg does) at ``short_side`` or more."""
    if short_side is None:
        return 1
    return next((scale for scale in (8, 4, 2) if -(-min(header.height, header.width) // scale) >= short_side), 1)


def _decode_webp(data: bytes, header: Header, max_pixels: int) -> np.ndarray:
    if header.end is None:
        raise MediaError("truncated WebP")
    check_tail(data[: header.end], "WebP")
    if data[12:16] == b"VP8X" and data[20] & _ANIMATION:  # not every OpenCV reads it
        return read_with_pillow(data[: header.end], "WebP", max_pixels=max_pixels)
    image = imdecode(data[: header.end], cv2.IMREAD_UNCHANGED)
    if image is None:
        raise MediaError("WebP does not decode")
    return to_rgb(image, "WebP")
