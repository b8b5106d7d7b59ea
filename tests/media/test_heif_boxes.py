import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from omnicli.media.heif_boxes import boxes, clean_aperture
from omnicli.media.image import image_size, read_image

PIXELS = np.linspace(0, 255, 40 * 60 * 3).reshape(40, 60, 3).astype(np.uint8)


def avif(**options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "AVIF", quality=100, subsampling="4:4:4", **options)
    return buffer.getvalue()


def with_aperture(data, *numbers):
    """An AVIF of Pillow's with a ``clap`` that comes before the orientation, as it must."""
    places = {name: data.index(name) - 4 for name in (b"meta", b"iprp", b"ipco", b"ipma", b"iloc")}
    end = places[b"ipco"] + struct.unpack_from(">I", data, places[b"ipco"])[0]
    number = 1 + len(list(boxes(data[places[b"ipco"] + 8 : end])))
    new, count = bytearray(data), places[b"ipma"] + 18  # of the properties of the only item
    new[count : count + 1] = bytes((data[count] + 1, 0x80 | number))
    new[end:end] = struct.pack(">I4sIIIIiIiI", 40, b"clap", *numbers)
    for name, more in ((b"meta", 41), (b"iprp", 41), (b"ipco", 40), (b"ipma", 1)):
        place = places[name] + (40 if name == b"ipma" else 0)
        struct.pack_into(">I", new, place, struct.unpack_from(">I", new, place)[0] + more)
    extent = places[b"iloc"] + 22  # where the only item begins in the file
    struct.pack_into(">I", new, extent, struct.unpack_from(">I", new, extent)[0] + 41)
    return bytes(new)


def test_boxes_of_every_length_field_are_told_apart():
    short = struct.pack(">I4s2s", 10, b"aaaa", b"xy")
    wide = struct.pack(">I4sQ3s", 1, b"bbbb", 19, b"abc")
    rest = struct.pack(">I4s4s", 0, b"cccc", b"last")
    assert list(boxes(short + wide + rest)) == [(b"aaaa", b"xy"), (b"bbbb", b"abc"), (b"cccc", b"last")]
    assert list(boxes(struct.pack(">I4s", 4, b"loop"))) == []


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((20, 1, 10, 1, 0, 1, 0, 1), (20, 15, 40, 25)),
        ((20, 1, 10, 1, -20, 1, 15, 1), (0, 30, 20, 40)),
        ((41, 2, 11, 1, 1, 2, -1, 2), (20, 14, 40, 25)),
        ((60, 1, 40, 1, 0, 1, 0, 1), (0, 0, 60, 40)),
        ((61, 1, 40, 1, 0, 1, 0, 1), (0, 0, 60, 40)),  # larger than the image
        ((20, 1, 10, 1, 30, 1, 0, 1), (0, 0, 60, 40)),  # reaches out of it
        ((20, 0, 10, 1, 0, 1, 0, 1), (0, 0, 60, 40)),
    ],
)
def test_the_aperture_is_placed_by_its_centre_or_ignored(numbers, expected):
    data = with_aperture(avif(), *numbers)
    assert clean_aperture(data, 60, 40) == expected
    left, top, right, bottom = expected
    assert np.abs(read_image(data).astype(int) - PIXELS[top:bottom, left:right]).max() <= 4
    assert image_size(data) == (bottom - top, right - left)


def test_what_is_cut_out_is_turned_afterwards():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = with_aperture(avif(exif=exif), 20, 1, 10, 1, 0, 1, 0, 1)
    assert image_size(data) == (20, 10)
    assert np.abs(read_image(data).astype(int) - np.rot90(PIXELS[15:25, 20:40], -1)).max() <= 4


def test_an_image_without_aperture_is_whole():
    assert clean_aperture(avif(), 60, 40) == (0, 0, 60, 40)
    assert clean_aperture(b"", 60, 40) == (0, 0, 60, 40)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=6))
def test_a_broken_file_gives_an_aperture_inside_the_image_or_a_struct_error(place, noise):
    data = bytearray(with_aperture(avif(), 20, 1, 10, 1, 0, 1, 0, 1)[:450])
    data[place : place + len(noise)] = noise
    try:
        left, top, right, bottom = clean_aperture(bytes(data), 60, 40)
    except struct.error:
        return
    assert 0 <= left < right <= 60 and 0 <= top < bottom <= 40
