import base64
import io
import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from omnicli.errors import MediaError
from omnicli.media.headers import read_header
from omnicli.media.jpeg import decode_jpeg


def pixels(height=61, width=93):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def encode(image=None, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels() if image is None else image).save(buffer, "JPEG", **{"quality": 90, **options})
    return buffer.getvalue()


def decode(data, scale=1):
    return decode_jpeg(data, read_header(data, "JPEG"), scale)


def scan_of(data):
    """Where the entropy-coded bytes begin."""
    place = data.index(b"\xff\xda")
    return place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")


PLAIN, RESTARTS = encode(), encode(restart_marker_blocks=4)


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}])
def test_strict_decoding_gives_what_opencv_gives_at_every_scale(options, scale):
    data = encode(**options)
    flags = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), flags.get(scale, cv2.IMREAD_REDUCED_COLOR_8))[..., ::-1]
    assert np.abs(decode(data, scale).astype(int) - expected).max() <= 3  # two versions of libjpeg


@pytest.mark.parametrize("data", [PLAIN, RESTARTS])
def test_a_part_taken_out_of_the_scan_is_noticed(data):
    for place in range(scan_of(data), len(data) - 460, 9):  # of a few bytes it may fall into step again by chance
        with pytest.raises(MediaError, match=r"^(truncated JPEG|damaged JPEG|JPEG does not decode)$"):
            decode(data[:place] + data[place + 450 :])


def test_a_restart_marker_that_is_missing_or_out_of_turn_is_damage():
    markers = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", RESTARTS)]
    assert len(markers) > 3
    missing = RESTARTS[: markers[1]] + RESTARTS[markers[1] + 2 :]
    out_of_turn = RESTARTS[: markers[1] + 1] + b"\xd7" + RESTARTS[markers[1] + 2 :]
    inside = RESTARTS[: markers[1]] + b"\0" * 40 + RESTARTS[markers[1] :]
    for data in (missing, out_of_turn, inside):
        with pytest.raises(MediaError, match="damaged JPEG"):
            decode(data)


def test_another_marker_inside_the_scan_is_refused():
    place = scan_of(PLAIN) + 200
    for marker in (0xA9, 0xC0, 0xDB, 0xE1, 0xFE):
        with pytest.raises(MediaError):
            decode(PLAIN[:place] + bytes((0xFF, marker, 0, 4, 0, 0)) + PLAIN[place:])


def test_bytes_that_no_block_needs_are_damage_but_zeros_are_padding():
    truth, scan = decode(PLAIN), PLAIN[:-2]
    for count in (1, 2, 7, 100, 5000):
        assert np.array_equal(decode(scan + bytes(count) + b"\xff\xd9"), truth)
    with pytest.raises(MediaError, match="damaged JPEG"):
        decode(scan + b"\x55" * 40 + b"\xff\xd9")


def test_zeros_that_take_the_place_of_blocks_are_no_padding():
    start = scan_of(PLAIN)
    for share in (0.2, 0.5, 0.9):
        place = start + int(share * (len(PLAIN) - start))
        for end in (b"\xff\xd9", b""):
            with pytest.raises(MediaError, match="truncated JPEG"):
                decode(PLAIN[:place] + bytes(len(PLAIN) - place) + end)


def test_what_follows_the_end_mark_does_not_matter_even_another_end_mark():
    for tail in (b"\0" * 500, b"\x55" * 500, PLAIN):
        assert np.array_equal(decode(PLAIN + tail), decode(PLAIN))
        padded = PLAIN[:-2] + bytes(20) + b"\xff\xd9"
        assert np.array_equal(decode(padded + tail), decode(PLAIN))


def test_nonsense_in_fields_that_mean_nothing_does_not_matter():
    jfif = PLAIN[:11] + b"\x07" + PLAIN[12:]
    spectral = PLAIN[: scan_of(PLAIN) - 3] + b"\0\0\0" + PLAIN[scan_of(PLAIN) :]
    for data in (jfif, spectral):
        assert np.array_equal(decode(data), decode(PLAIN))
        with pytest.raises(MediaError, match="JPEG"):  # and hides no damage
            decode(data[:-300] + b"\xff\xd9")


def rare(num_units):
    """A grey JPEG of 64 x 64 pixels, its second channel twice as wide as the first: ``num_units`` of its 32 units."""
    flat = encode(np.full((64, 64, 3), 128, np.uint8), subsampling=0)
    place, start = flat.index(b"\xff\xc0") + 11, scan_of(flat)
    bits = ("001010" + 3 * "0000") * num_units  # no difference, no frequency, in the standard codes
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return flat[:place] + b"\x11\0\2\x21\1\3\x11" + flat[place + 7 : start] + scan + b"\xff\xd9"


def test_sampling_factors_that_are_rare_are_read_too_unless_the_file_is_cut():
    assert (decode(rare(32)) == 128).all()
    assert decode(rare(32), 2).shape == (32, 32, 3)
    with pytest.raises(MediaError, match="truncated JPEG"):
        decode(rare(16))


@pytest.mark.parametrize("num_units", [8, 16, 24])
def test_many_zeros_do_not_take_the_place_of_blocks_of_rare_sampling_factors(num_units):
    with pytest.raises(MediaError, match="truncated JPEG"):
        decode(rare(num_units)[:-2] + bytes(200) + b"\xff\xd9")
    assert (decode(rare(32)[:-2] + bytes(200) + b"\xff\xd9") == 128).all()


ARITHMETIC = base64.b85decode(  # grey, 40 x 40, of cjpeg -arithmetic
    "|JeWF01!$>Nk#wx0RR9200961|JwjV02B@n5)Ta&5)cv>6%-"
    "gAG9exu93DL^E+jHZKuk+VKt@GST61DhRc%&9Mr4R(ZFhTtf`Lw8jhBplmUDiAeE-"
    "P+3kU!x04M<g5di<p00saM5C#9*00;pA002J#{{TKk0`z@KpH}=TUtoecx3~<t8dqZOlvBt@^-Cy|V55g}&7+K_!2(;vX$gR}KhmDu-"
    "iC3h()*;#uF`mT#PyBSM8xqbUw32Mih!H)Y)N@~tU&}_=G=!9oL(Fj+Aa+%*s3mOeDKVcwvza2YnMEq49oI>_+^m)*#"
)


@pytest.mark.parametrize("share", [0.6, 0.7, 0.8, 0.9])
def test_arithmetic_codes_are_read_whole_and_refused_when_they_may_be_cut(share):
    assert decode(ARITHMETIC).shape == (40, 40, 3)
    assert round(float(decode(ARITHMETIC).mean())) == 48
    part = ARITHMETIC[: int(share * len(ARITHMETIC))]
    with pytest.raises(MediaError, match=r"^truncated JPEG$"):
        decode(part)
    for tail in (b"", bytes(300)):
        with pytest.raises(MediaError, match="arithmetic codes that may be cut"):
            decode(part + tail + b"\xff\xd9")


def test_cmyk_is_what_pillow_makes_of_it():
    cmyk = Image.fromarray(pixels()).convert("CMYK")
    buffer = io.BytesIO()
    cmyk.save(buffer, "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(buffer.getvalue())).convert("RGB"))
    assert np.abs(decode(buffer.getvalue()).astype(int) - expected).max() <= 4


def test_twelve_bits_are_refused_by_name():
    place = PLAIN.index(b"\xff\xc0") + 4
    with pytest.raises(MediaError, match="JPEG of 12 bits is not supported"):
        decode(PLAIN[:place] + b"\x0c" + PLAIN[place + 1 :])


@settings(max_examples=300)
@given(st.integers(0, 10_000), st.sampled_from(["flip", "cut", "zeros", "twice"]), st.integers(1, 60))
def test_a_damaged_scan_is_refused_or_its_blocks_are_all_there(place, damage, count):
    start = scan_of(PLAIN)
    place = start + place % (len(PLAIN) - start - 70)
    data = bytearray(PLAIN)
    match damage:
        case "flip":
            data[place] ^= 1 << count % 8
        case "cut":
            del data[place : place + count]
        case "zeros":
            data[place : place + count] = bytes(count)
        case "twice":
            data[place:place] = data[place : place + count]
    try:
        image = decode(bytes(data))
    except MediaError:
        return
    assert image.shape == (61, 93, 3)


def test_a_photo_with_a_marker_in_its_scan_is_refused(case):
    with pytest.raises(MediaError, match="JPEG does not decode"):
        decode(case("pixel-motion-photo-jfif-segment-shortened.jpg").read_bytes())
