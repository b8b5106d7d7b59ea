"""Decode JPEG strictly: what libjpeg only warns about is damage, except where every pixel is right nevertheless.

Ours. A flipped bit makes the decoder lose its position: all that follows is shifted, and in the end blocks are missing
or bytes are left over. libjpeg fills or skips them with a warning, and a model would learn the result.
"""

import re

import cv2
import numpy as np
import simplejpeg

from omnicli.errors import MediaError
from omnicli.media.codecs import imdecode
from omnicli.media.headers import Header, read_header

_END = b"\xff\xd9"
_MANY_ZEROS = bytes(64)
_BLOCK_PIXELS = 34 * 10  # of a large group of blocks, and where its colours reach over
_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_PRECISION = re.compile(r"data precision (\d+)")
_BASELINE_SCAN = re.compile(rb"(\xff\xda\0(?:\x08\x01.{2}|\x0a\x02.{4}|\x0c\x03.{6}|\x0e\x04.{8}))...", re.DOTALL)


def decode_jpeg(data: bytes, header: Header, scale: int) -> np.ndarray:
    """The pixels of a JPEG, as stored.

    Args:
        data: the file.
        header: of it.
        scale: 1, 2, 4 or 8: decode at that part of the size, rounded up.

    Returns:
        (H, W, 3) uint8 RGB; of CMYK the plain conversion.

    Raises:
        MediaError: "truncated JPEG", "damaged JPEG", "JPEG does not decode", ...
    """
    if header.end is None:
        if header.progressive:  # nobody can know that no refinement is missing
            raise MediaError("truncated JPEG")
        data = data[: header.complete] + _END
    size = (-(-header.height // scale), -(-header.width // scale))
    # The last byte of an arithmetic code may stand for many blocks, and libjpeg warns of nothing that is missing.
    if header.arithmetic and not _is_whole(data[: header.complete], 0 if header.progressive else _BLOCK_PIXELS):
        raise MediaError(
            "JPEG of arithmetic codes that may be cut is not supported" if header.end else "truncated JPEG"
        )
    image = _decode_strictly(data, size if scale > 1 else (0, 0), scale)
    if image is None:
        image = _decode_unusual(data, header, scale)
    if image.shape[:2] != size:
        raise MediaError(f"JPEG with two sizes: {header.width} x {header.height} in the header")
    return image


def _decode_strictly(data: bytes, at_least: tuple[int, int], scale: int) -> np.ndarray | None:
    """The pixels, or None if the sampling factors are none that libjpeg's simple interface knows."""
    for _ in range(3):  # each repair removes the one warning that hid the next
        try:
            return np.asarray(simplejpeg.decode_jpeg(data, "RGB", False, False, *at_least, scale))
        except ValueError as error:
            warning = str(error)
        if "subsampling" in warning:
            return None
        repaired = _repaired(data, warning)
        if repaired is None:
            break
        data = repaired
    raise MediaError(_reason_of(warning))


def _reason_of(warning: str) -> str:
    if "remature end" in warning or "found marker 0xd9" in warning:
        return "truncated JPEG"
    if found := _PRECISION.search(warning):
        return f"JPEG of {found[1]} bits is not supported"
    return "damaged JPEG" if "Corrupt JPEG data" in warning else "JPEG does not decode"


def _repaired(data: bytes, warning: str) -> bytes | None:
    """The file without a fault that leaves its pixels alone, or None: they are damaged.

    Such faults: zeros between the image and the end mark (some cameras pad), a JFIF version of the future, and nonsense
    in those fields of a baseline scan that only progressive ones use. Without the zeros the blocks are counted anew:
    had the decoder taken some of them for blocks, these are missing now.
    """
    if "extraneous bytes before marker 0xd9" in warning:
        # with a byte behind it the first end mark counts, not the last
        scan = data[: read_header(data + b"\0", "JPEG").complete]
        image = scan.rstrip(b"\0") + b"\0" * scan.rstrip(b"\0").endswith(b"\xff")  # a stuffed byte is no padding
        return image + _END if len(image) < len(scan) else None
    if "JFIF revision" in warning and data[6:11] == b"JFIF\0":
        return data[:11] + b"\x01" + data[12:]
    if "SOS parameters" in warning:
        return _BASELINE_SCAN.sub(lambda scan: scan[1] + b"\0\x3f\0", data)
    return None


def _decode_unusual(data: bytes, header: Header, scale: int) -> np.ndarray:
    """By OpenCV, which reports no warning."""
    image = imdecode(data, _REDUCED[scale])
    if image is None:
        raise MediaError("JPEG does not decode")
    if not header.arithmetic and not _is_whole(data[: header.complete]):
        raise MediaError("truncated JPEG")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _is_whole(data: bytes, tolerance: int = 0) -> bool:
    """Whether the last scan has all its blocks: then it does not matter what follows them; else that would be decoded.

    Args:
        data: the file without its end mark.
        tolerance: so many pixels may change: the last bits of an arithmetic code belong to its last block.
    """
    if data.endswith(_MANY_ZEROS):  # they would be read as blocks
        data = data.rstrip(b"\0") + b"\0"  # one may be of the last block
    data = data.rstrip(b"\xff")  # half a mark, or half a stuffed byte, would turn the tail into a mark
    first, *others = [imdecode(data + tail + _END, cv2.IMREAD_COLOR) for tail in (b"", b"\x55" * 256, b"\xaa" * 256)]
    return first is not None and all(
        other is not None and np.count_nonzero((first != other).any(axis=2)) <= tolerance for other in others
    )
