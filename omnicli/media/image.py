"""Decode image files to RGB pixels.

Ours, where the paper only says that corrupt data are cut: colour profiles are ignored, transparency is laid on white,
16 bits become 8, an animation is its first frame. A file that was cut short is refused, since decoders fill the rest
with grey and a model would learn the grey; only where nothing but the end mark is missing, every pixel is there and it
is taken.
"""

import io

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from omnicli.errors import MediaError
from omnicli.media.codecs import muted_c, quiet_codecs
from omnicli.media.headers import Header, read_header
from omnicli.media.resizing import orient
from omnicli.streams.files.sniff import HEAD_BYTES, sniff

MAX_PIXELS = 178_956_970  # half a gigabyte of RGB; Pillow's limit too

_JPEG_END = b"\xff\xd9"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_WHOLE = getattr(cv2, "IMREAD_COLOR_RGB", cv2.IMREAD_COLOR)  # in the order wanted, where OpenCV can (4.11)
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}

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
    kind, header = _open(data)
    if header.height * header.width > max_pixels:
        raise MediaError(f"{header.width:,} x {header.height:,} pixels is over the limit")
    match kind:
        case "JPEG":
            image = _decode_jpeg(data, header, _scale_of(header, short_side))
        case "GIF":
            image = _decode_gif(data, header)
        case "PNG":
            image = _decode_png(data, header)
        case _:
            image = _decode_other(data, header, kind)
    # OpenCV turns TIFF itself, even with IMREAD_IGNORE_ORIENTATION
    image = np.ascontiguousarray(image) if kind == "TIFF" else orient(image, header.orientation)
    if kind != "JPEG" and image.shape[:2] != _upright(header):
        raise MediaError(f"{kind} with two sizes: {header.width} x {header.height} in the header")
    return image


def encode_jpeg(image: np.ndarray, *, quality: int) -> bytes:
    """The JPEG file of an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        quality: 1 to 100.

    Raises:
        MediaError: a side is longer than a JPEG can be.
    """
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise MediaError(f"frames of {image.shape[1]} x {image.shape[0]} pixels do not fit a JPEG")
    return encoded.tobytes()


def image_size(data: bytes) -> tuple[int, int]:
    """(height, width) after the orientation, from the header alone.

    Raises:
        MediaError: no image, or the file ends before its size.
    """
    _, header = _open(data)
    return _upright(header)


def _upright(header: Header) -> tuple[int, int]:
    return (header.width, header.height) if header.orientation >= 5 else (header.height, header.width)


def _open(data: bytes) -> tuple[str, Header]:
    media, kind = sniff(data[:HEAD_BYTES])
    if kind == "empty file":
        raise MediaError("empty file")
    if media != "image":
        raise MediaError(f"not an image ({kind})")
    return kind, read_header(data, kind)


def _scale_of(header: Header, short_side: int | None) -> int:
    """The largest of 8, 4, 2, 1 that leaves the short side (rounded up, as libjpeg does) at ``short_side`` or more."""
    if short_side is None:
        return 1
    return next((scale for scale in (8, 4, 2) if -(-min(header.height, header.width) // scale) >= short_side), 1)


def _decode_jpeg(data: bytes, header: Header, scale: int) -> np.ndarray:
    if header.end is None and (header.progressive or not _is_whole_jpeg(data[: header.complete])):
        raise MediaError("truncated JPEG")
    whole = data if header.end else data[: header.complete] + _JPEG_END
    flags = (_REDUCED[scale] if scale > 1 else _WHOLE) | cv2.IMREAD_IGNORE_ORIENTATION
    image = _decode_cv2(whole, flags)
    if image is None:
        raise MediaError("JPEG does not decode")
    # An end mark can be put behind half an image; the missing blocks are then flat grey, down to the last corner.
    corner = image[-4:, -4:]
    is_suspect = (corner == corner[-1, -1]).all() if header.num_channels == 4 else (corner == 128).all()
    if is_suspect and not _is_whole_jpeg(data[: header.complete]):
        raise MediaError("truncated JPEG")
    return image if scale == 1 and _WHOLE != cv2.IMREAD_COLOR else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _is_whole_jpeg(data: bytes) -> bool:
    """Whether the last scan has all its blocks: then it does not matter what follows them; else that would be decoded.

    Ours: proof by decoding the image with different tails. Rare, so the cost does not matter.

    Args:
        data: the file without its end mark.
    """
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    filler = b"\x55" * 256
    tails = (b"", filler, b"\xaa" * 256, _next_restart(data) + filler)
    data = data.rstrip(b"\xff")  # half a mark, or half a stuffed byte, would turn the tail into a mark
    first, *others = [_decode_cv2(data + tail + _JPEG_END, flags) for tail in tails]
    return first is not None and all(other is not None and np.array_equal(first, other) for other in others)


def _next_restart(data: bytes) -> bytes:
    """The restart marker after the last one, in a JPEG with restart intervals: FF D0 to FF D7 in turn."""
    last = max(data.rfind(bytes((0xFF, mark))) for mark in range(0xD0, 0xD8))
    return bytes((0xFF, 0xD0 + (data[last + 1] - 0xD0 + 1) % 8 if last >= 0 else 0xD0))


def _decode_png(data: bytes, header: Header) -> np.ndarray:
    # Without an end mark the decoder decides: it fails if a row is missing.
    image = _decode_cv2(data[: header.complete] + _PNG_END, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise MediaError("PNG does not decode" if header.end else "truncated PNG")
    return _to_rgb(image, "PNG")


def _decode_other(data: bytes, header: Header, kind: str) -> np.ndarray:
    if header.end is None:
        raise MediaError(f"truncated {kind}")
    # The fourth byte of a BMP pixel is rarely transparency, and then mostly 0: the image would vanish.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION if kind == "BMP" else cv2.IMREAD_UNCHANGED
    image = _decode_cv2(data[: header.end], flags)
    if image is None:
        raise MediaError(f"{kind} does not decode")
    if kind == "TIFF" and image.ndim == 3 and image.shape[2] == 4 and image.dtype == np.uint8:
        # libtiff has multiplied the colours by their alpha already
        white = np.repeat(255 - image[..., 3:], 3, axis=2)
        return np.asarray(cv2.add(cv2.cvtColor(image, cv2.COLOR_BGRA2RGB), white))
    return _to_rgb(image, kind)


def _decode_gif(data: bytes, header: Header) -> np.ndarray:
    """The first frame on its canvas, by FFmpeg: not every OpenCV reads GIF."""
    if header.end is None:
        raise MediaError("truncated GIF")
    try:
        with av.open(io.BytesIO(data[: header.end] + b";"), "r", format="gif") as container:
            frame = next(container.decode(video=0))
            return _on_white(VideoReformatter().reformat(frame, format="rgba", threads=1).to_ndarray())
    except (av.error.FFmpegError, StopIteration, IndexError, ValueError):
        raise MediaError("GIF does not decode") from None


def _decode_cv2(data: bytes, flags: int) -> np.ndarray | None:
    with muted_c():
        try:
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:
            return None


def _to_rgb(image: np.ndarray, kind: str) -> np.ndarray:
    """(H, W), (H, W, 3) BGR or (H, W, 4) BGRA of 8 or 16 bits → (H, W, 3) uint8 RGB."""
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise MediaError(f"{kind} of {image.dtype} numbers is not supported")
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if image.shape[2] != 4:
        raise MediaError(f"{kind} of {image.shape[2]} channels is not supported")
    return _on_white(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA))


def _on_white(image: np.ndarray) -> np.ndarray:
    """(H, W, 4) RGBA → (H, W, 3): colour·a + white·(1 - a), rounded."""
    colour, alpha = image[..., :3], image[..., 3:]
    if (alpha == 255).all():
        return np.ascontiguousarray(colour)
    blended = np.empty(colour.shape, np.uint8)
    for row in range(len(image)):  # a row at a time: the products need two bytes a number
        opaque = alpha[row].astype(np.uint16)
        blended[row] = (colour[row] * opaque + 255 * (255 - opaque) + 127) // 255
    return blended
