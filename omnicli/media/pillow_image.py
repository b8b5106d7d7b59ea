"""Decode by Pillow what OpenCV reads leniently or wrong: GIF, BMP, TIFF, AVIF; HEIC and JPEG XL with their plug-ins.

The class of the format is called by name: nothing is guessed, and no limit of Pillow's own warns.
"""

import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from PIL import AvifImagePlugin, BmpImagePlugin, GifImagePlugin, TiffImagePlugin, WebPImagePlugin, features

from omnicli.errors import MediaError
from omnicli.media.codecs import muted_c
from omnicli.media.headers import EXIF_ORIENTATION
from omnicli.media.heif_boxes import clean_aperture
from omnicli.media.jxl_header import jxl_size
from omnicli.media.pixels import on_white
from omnicli.media.resizing import orient
from omnicli.media.zero_tail import check_tail

PILLOW_KINDS = frozenset(("GIF", "BMP", "TIFF", "AVIF", "HEIC", "JPEG XL"))

_PLANAR, _PHOTOMETRIC, _SAMPLE_FORMAT, _BITS, _TILE_WIDTH, _TILE_LENGTH = 284, 262, 339, 258, 322, 323
_LAYOUTS = ("unknown pixel mode", "unknown data organization", "Unsupported BMP bitfields layout")
_UNSUPPORTED = {"F": "floating-point numbers", "I": "32-bit or signed numbers", "LAB": "Lab colours"}

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # many images are decoded at once
TiffImagePlugin.READ_LIBTIFF = True  # Pillow's own reader leaves missing strips black; libtiff fails
logging.getLogger("PIL").addHandler(logging.NullHandler())
warnings.filterwarnings("ignore", module="PIL")


def read_with_pillow(data: bytes, kind: str, *, max_pixels: int) -> np.ndarray:
    """The pixels of the first frame, turned as they are meant to be seen.

    Args:
        data: the file.
        kind: of ``PILLOW_KINDS``, or an animated WebP, which is not turned.
        max_pixels: refuse larger images before any memory is taken.

    Returns:
        (H, W, 3) uint8 RGB; transparency is laid on white.

    Raises:
        MediaError: "truncated GIF", "TIFF of Lab colours is not supported", ...
    """
    with _as_media_errors(kind):
        if kind == "JPEG XL":
            check_size(*jxl_size(data), max_pixels)
        image = _open(data, kind)
        check_size(image.height, image.width, max_pixels)
        if kind == "TIFF":
            _check_tiff(image.tag_v2, max_pixels)
        check_tail(data, kind, image.tag_v2 if kind == "TIFF" else None)
        frame = image.tile[0].extents if kind == "GIF" else None
        image.load()
        pixels = _to_rgb(image, kind)
        if frame is not None:
            pixels = _only(pixels, *frame)
        left, top, right, bottom = _visible(image, data, kind)
        return orient(pixels[top:bottom, left:right], _orientation(image, kind))


def size_with_pillow(data: bytes, kind: str) -> tuple[int, int]:
    """(height, width) after the orientation, from the header alone.

    Raises:
        MediaError: the file ends, or breaks, before its size; or its plug-in is missing.
    """
    with _as_media_errors(kind):
        if kind == "JPEG XL":
            _jxl_plugin()
            return jxl_size(data)
        image = _open(data, kind)
        left, top, right, bottom = _visible(image, data, kind)
        height, width = bottom - top, right - left
        return (width, height) if _orientation(image, kind) >= 5 else (height, width)


def check_size(height: int, width: int, max_pixels: int) -> None:
    """Raises MediaError for an image of more than ``max_pixels`` pixels."""
    if height * width > max_pixels:
        raise MediaError(f"{width:,} x {height:,} pixels is over the limit")


@contextmanager
def _as_media_errors(kind: str) -> Iterator[None]:
    """Turns whatever a broken file makes a decoder raise into a MediaError; libtiff prints nothing."""
    with muted_c():
        try:
            yield
        except (MediaError, MemoryError):
            raise
        except Exception as error:
            if "truncated" in str(error) or isinstance(error, EOFError):
                raise MediaError(f"truncated {kind}") from None
            layout = str(error) in (
                "unknown pixel mode",
                "unknown data organization",
                "Unsupported BMP bitfields layout",
            )
            raise MediaError(f"{kind} of unsupported layout" if layout else f"{kind} does not decode") from None


def _open(data: bytes, kind: str) -> Any:
    """The image (PIL.ImageFile.ImageFile) before its pixels are decoded."""
    file = io.BytesIO(data)
    match kind:
        case "GIF":
            return GifImagePlugin.GifImageFile(file)
        case "BMP":
            return BmpImagePlugin.BmpImageFile(file)
        case "TIFF":
            if data[:4] == b"MM\0+":
                raise MediaError("TIFF of 64-bit offsets, highest byte first, is not supported")
            return TiffImagePlugin.TiffImageFile(file)
        case "AVIF":
            if not features.check("avif"):
                raise MediaError("AVIF needs a Pillow built with libavif")
            return AvifImagePlugin.AvifImageFile(file)
        case "WebP":
            return WebPImagePlugin.WebPImageFile(file)
        case "HEIC":
            return _heif_plugin().HeifImageFile(file)
        case _:
            return _jxl_plugin().JXLImageFile(file)


def _heif_plugin() -> Any:
    try:
        import pillow_heif  # noqa: PLC0415 (optional)
    except ImportError:
        raise MediaError("HEIC needs pip install 'omnicli[heif]'") from None
    pillow_heif.options.DECODE_THREADS = 1
    return pillow_heif


def _jxl_plugin() -> Any:
    """Its images are decoded when they are opened: their size must have been checked before."""
    try:
        from pillow_jxl import JpegXLImagePlugin  # noqa: PLC0415 (optional)
    except ImportError:
        raise MediaError("JPEG XL needs pip install 'omnicli[jxl]'") from None
    JpegXLImagePlugin.DECODE_THREADS = 0  # none of its own
    return JpegXLImagePlugin


def _visible(image: Any, data: bytes, kind: str) -> tuple[int, int, int, int]:
    """left, top, right, bottom of what is to be seen; pillow_heif has cut it out already."""
    return clean_aperture(data, *image.size) if kind == "AVIF" else (0, 0, *image.size)


def _only(pixels: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """White around the first frame of a GIF, as browsers show it; Pillow fills in the background colour."""
    if (left, top, right, bottom) == (0, 0, pixels.shape[1], pixels.shape[0]):
        return pixels
    canvas = np.full_like(pixels, 255)
    canvas[top:bottom, left:right] = pixels[top:bottom, left:right]
    return canvas


def _orientation(image: Any, kind: str) -> int:
    """As in Exif, where it has not been applied: to TIFF it is by Pillow, to the others by their decoders."""
    is_stored = kind == "AVIF" or (kind == "JPEG XL" and image.jpeg)  # jpeg: it was packed as a JPEG
    return int(image.getexif().get(EXIF_ORIENTATION, 1)) if is_stored else 1


def _check_tiff(tags: Mapping[int, Any], max_pixels: int) -> None:
    """Refuses by name what Pillow would read wrong, and tiles that claim more memory than the image."""
    if set(tags.get(_SAMPLE_FORMAT, (1,))) != {1}:
        raise MediaError("TIFF of signed or floating-point numbers is not supported")
    if tags.get(_PLANAR, 1) == 2 and max(tags.get(_BITS, (1,))) > 8:
        raise MediaError("TIFF of separate 16-bit planes is not supported")
    if tags.get(_TILE_WIDTH, 1) * tags.get(_TILE_LENGTH, 1) > max_pixels:
        raise MediaError("TIFF with tiles over the limit")


def _to_rgb(image: Any, kind: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB of any mode that web images have."""
    if image.mode in _UNSUPPORTED:
        raise MediaError(f"{kind} of {_UNSUPPORTED[image.mode]} is not supported")
    if image.mode.startswith("I;16"):  # of TIFF only: 12 bits or 16
        grey: np.ndarray = (np.asarray(image) >> (max(image.tag_v2[_BITS]) - 8)).astype(np.uint8)
        return cv2.cvtColor(grey if image.tag_v2.get(_PHOTOMETRIC, 0) else 255 - grey, cv2.COLOR_GRAY2RGB)
    if image.mode == "La":
        return on_white(np.asarray(image.convert("LA").convert("RGBA")))
    # The fourth byte of a BMP pixel is 0 where its writer meant no transparency: the image would vanish.
    if image.has_transparency_data and (kind != "BMP" or image.getchannel("A").getextrema()[1]):
        return on_white(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))
