import io
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from omnicli.media.jxl_header import jxl_size

RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


class Bits:
    def __init__(self):
        self.value, self.count = 0, 0

    def put(self, number, count):
        self.value |= number << self.count
        self.count += count

    def bytes(self):
        return b"\xff\x0a" + self.value.to_bytes(self.count // 8 + 9, "little")


def put_side(bits, side, is_small):
    if is_small:
        bits.put(side // 8 - 1, 5)
        return
    choice, count = next((i, n) for i, n in enumerate((9, 13, 18, 30)) if side - 1 < 1 << n)
    bits.put(choice, 2)
    bits.put(side - 1, count)


def codestream(height, width, ratio=0, orientation=None):
    bits = Bits()
    is_small = height % 8 == 0 and height <= 256 and (ratio or (width % 8 == 0 and width <= 256))
    bits.put(bool(is_small), 1)
    put_side(bits, height, is_small)
    bits.put(ratio, 3)
    if not ratio:
        put_side(bits, width, is_small)
    bits.put(orientation is None, 1)
    if orientation is not None:
        bits.put(1, 1)
        bits.put(orientation - 1, 3)
    return bits.bytes()


SIDES = st.one_of(st.integers(1, 32).map(lambda side: 8 * side), st.integers(1, 1 << 30))


@given(SIDES, SIDES, st.sampled_from([None, 1, 3, 5, 8]))
@example(1, 1 << 30, None)
def test_a_size_is_read_as_it_was_written(height, width, orientation):
    expected = (width, height) if (orientation or 1) >= 5 else (height, width)
    assert jxl_size(codestream(height, width, orientation=orientation)) == expected


@given(SIDES, st.sampled_from(sorted(RATIOS)))
def test_a_width_may_be_a_share_of_the_height(height, ratio):
    wide, high = RATIOS[ratio]
    assert jxl_size(codestream(height, 0, ratio)) == (height, height * wide // high)


def test_a_container_is_opened():
    brand = struct.pack(">I4s4s", 12, b"JXL ", b"\r\n\x87\n") + struct.pack(">I4s12s", 20, b"ftyp", b"jxl ")
    stream = codestream(300, 400)
    whole = struct.pack(">I4s", 8 + len(stream), b"jxlc") + stream
    part = struct.pack(">I4sI", 12 + len(stream), b"jxlp", 0) + stream
    assert jxl_size(brand + whole) == jxl_size(brand + part) == (300, 400)
    with pytest.raises(struct.error):
        jxl_size(brand)


def test_a_cut_file_is_a_struct_error():
    for length in range(5):
        with pytest.raises(struct.error):
            jxl_size(codestream(70_000, 70_000)[:length])


@pytest.mark.parametrize("shape", [(40, 60), (8, 8), (37, 41), (300, 400)])
def test_the_header_that_libjxl_writes_is_read(shape):
    pytest.importorskip("pillow_jxl")
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(buffer, "JXL")
    assert jxl_size(buffer.getvalue()) == shape
