"""Size and orientation of a JPEG XL, from its first bits: the decoder at hand gives them with the pixels only."""

import struct

from omnicli.media.heif_boxes import boxes

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height


def jxl_size(data: bytes) -> tuple[int, int]:
    """(height, width) as shown.

    Args:
        data: a file: the bare codestream, or a container of boxes around it.

    Raises:
        struct.error: the file ends before its size.
    """
    bits = _Bits(_codestream(data)[2:40])
    is_small = bits.take(1) == 1  # in units of 8 pixels
    height = _side(bits, is_small)
    ratio = bits.take(3)
    width = height * _RATIOS[ratio - 1][0] // _RATIOS[ratio - 1][1] if ratio else _side(bits, is_small)
    is_plain = bits.take(1) == 1  # all other metadata as usual
    orientation = 1 + bits.take(3) if not is_plain and bits.take(1) else 1
    return (width, height) if orientation >= 5 else (height, width)


def _codestream(data: bytes) -> bytes:
    """The codestream, or the first part of it."""
    if data[:2] == b"\xff\x0a":
        return data
    for name, body in boxes(data):
        if name in (b"jxlc", b"jxlp"):
            return body if name == b"jxlc" else body[4:]
    raise struct.error("no codestream")


def _side(bits: "_Bits", is_small: bool) -> int:
    return 8 * (1 + bits.take(5)) if is_small else 1 + bits.take((9, 13, 18, 30)[bits.take(2)])


class _Bits:
    """Numbers of some bits each, the lowest bit first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise struct.error("cut")
        self._left -= count
        number = self._value & (1 << count) - 1
        self._value >>= count
        return number
