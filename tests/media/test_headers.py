import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from omnicli.errors import MediaError
from omnicli.media.headers import Header, exif_orientation, read_header
from omnicli.media.image import encode_jpeg

KINDS = ["JPEG", "PNG", "WebP"]


def encoded(kind, height=20, width=31, **options):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, kind.upper(), **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_sizes_are_read_from_the_header(kind, height, width):
    header = read_header(encoded(kind, height, width), kind)
    assert (header.height, header.width, header.orientation) == (height, width, 1)


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"quality": 50}, {"save_all": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}]
)
def test_every_layout_of_webp_is_known(options):
    header = read_header(encoded("WebP", 70, 131, **options), "WebP")
    assert (header.height, header.width) == (70, 131)


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_is_where_the_image_ends(kind):
    data = encoded(kind)
    assert read_header(data, kind).end == len(data)
    assert read_header(data + b"more", kind).end == len(data)
    assert read_header(data[:-1], kind).end is None


def test_a_thumbnail_inside_a_jpeg_is_not_its_end():
    thumbnail = encoded("JPEG", 8, 8)
    data = encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0" + thumbnail)
    assert thumbnail in data
    header = read_header(data, "JPEG")
    assert (header.height, header.width, header.end) == (20, 31, len(data))


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_cut_anywhere_is_a_media_error_or_the_same_size(kind):
    data = encoded(kind)
    for length in range(8, min(len(data), 900)):
        try:
            header = read_header(data[:length], kind)
        except MediaError:
            continue
        assert (header.height, header.width) == (20, 31)


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_noise_is_a_media_error_or_a_header(kind, noise):
    try:
        header = read_header(noise, kind)
    except MediaError:
        return
    assert header.height >= 1 and header.width >= 1


@given(st.binary(max_size=100))
def test_an_orientation_is_always_one_of_eight(block):
    assert exif_orientation(block) in range(1, 9)
    assert exif_orientation(b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0") == 1


def test_the_orientation_before_the_cut_of_a_block_counts():
    assert exif_orientation(b"MM\0*\0\0\0\x08\0\x09\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\x01") == 6


def test_formats_we_do_not_read_are_named():
    with pytest.raises(MediaError, match="PDF images are not supported"):
        read_header(b"", "PDF")


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([50, 85, 100]))
def test_a_usual_jpeg_is_told_by_its_places_as_by_its_segments(height, width, quality):
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    data = encode_jpeg(pixels, quality=quality)
    at_once, searched = read_header(data, "JPEG"), read_header(data + b"\0", "JPEG")
    assert at_once == searched == Header(height, width, end=len(data), complete=len(data) - 2)
