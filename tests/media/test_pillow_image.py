import io
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from read_images import read_in_a_process

from omnicli.errors import MediaError
from omnicli.media.image import image_size, read_image
from omnicli.media.pillow_image import PILLOW_KINDS, read_with_pillow, size_with_pillow


def smooth(height=40, width=60, channels=3):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


RGB, RGBA = smooth(), smooth(channels=4)
GREY = np.repeat(RGB[..., :1], 3, axis=2)
WHITE = np.round(255 + (RGBA[..., :3] - 255.0) * (RGBA[..., 3:] / 255)).astype(int)


def encode(image, kind, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(samples, photometric, *, order="<", big=False, tags=()):
    """An uncompressed TIFF of one strip: (H, W, C) as given, planes first where tag 284 says 2."""
    bits = 8 * samples.dtype.itemsize
    planes = dict(tags).get(284, 1) == 2
    height, width, channels = samples.shape
    pixels = (samples.transpose(2, 0, 1) if planes else samples).astype(samples.dtype.newbyteorder(order)).tobytes()
    pieces = channels if planes else 1
    start = 16 if big else 8
    arrays = {258: (bits,) * channels, 273: [start + i * len(pixels) // pieces for i in range(pieces)]}
    arrays |= {279: [len(pixels) // pieces] * pieces, 256: (width,), 257: (height,), 259: (1,), 262: (photometric,)}
    arrays |= {277: (channels,), 278: (height,)} | {tag: (value,) for tag, value in tags}
    room = 8 if big else 4
    head = (order == "<" and b"II") or b"MM"
    directory = start + len(pixels)
    after = directory + (8 + 20 * len(arrays) + 8 if big else 2 + 12 * len(arrays) + 4)
    entries, extra = b"", b""
    for tag, values in sorted(arrays.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        count = struct.pack(order + ("HHQ" if big else "HHI"), tag, 4, len(values))
        if len(packed) > room:
            where = struct.pack(order + ("Q" if big else "I"), after + len(extra))
            entries, extra = entries + count + where, extra + packed
        else:
            entries += count + packed.ljust(room, b"\0")
    if big:
        header = head + struct.pack(order + "HHHQ", 43, 8, 0, directory)
        return header + pixels + struct.pack(order + "Q", len(arrays)) + entries + bytes(8) + extra
    header = head + struct.pack(order + "HI", 42, directory)
    return header + pixels + struct.pack(order + "H", len(arrays)) + entries + bytes(4) + extra


def deep(samples):
    return samples.astype(np.uint16) * 257


def associated(samples):
    colour, alpha = samples[..., :3].astype(float), samples[..., 3:]
    return np.concatenate([np.round(colour * alpha / 255), alpha], axis=2).astype(np.uint8)


@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
@pytest.mark.parametrize(
    ("samples", "photometric", "tags", "expected"),
    [
        (RGB, 2, (), RGB),
        (deep(RGB), 2, (), RGB),
        (RGB, 2, ((284, 2),), RGB),
        (RGB[..., :1], 1, (), GREY),
        (RGB[..., :1], 0, (), 255 - GREY),
        (deep(RGB[..., :1]), 1, (), GREY),
        (RGBA, 2, ((338, 2),), WHITE),
        (deep(RGBA), 2, ((338, 2),), WHITE),
        (associated(RGBA), 2, ((338, 1),), WHITE),
        (deep(associated(RGBA)), 2, ((338, 1),), WHITE),
        (RGBA, 2, ((338, 0),), RGBA[..., :3]),
        (RGBA[..., [0, 3]], 1, ((338, 2),), np.repeat(WHITE[..., :1], 3, axis=2)),
        (RGB, 2, ((274, 6),), np.rot90(RGB, -1)),
    ],
)
def test_every_layout_of_tiff_gives_its_pixels(samples, photometric, tags, expected, order, big):
    data = tiff(samples, photometric, order=order, big=big, tags=tags)
    assert image_size(data) == expected.shape[:2]
    assert np.abs(read_image(data).astype(int) - expected).max() <= (2 if (338, 1) in tags else 1)


def test_grey_of_sixteen_bits_whose_white_is_zero_is_no_negative():
    assert np.array_equal(read_image(tiff(deep(RGB[..., :1]), 0)), 255 - GREY)


def test_grey_of_twelve_bits_keeps_its_high_eight():
    pairs = RGB[..., 0].reshape(-1, 2).astype(int) * 16 + 9
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    data = tiff(packed.astype(np.uint8).reshape(40, 90, 1), 1, tags=((256, 60), (258, 12)))
    assert np.array_equal(read_image(data), GREY)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff(deep(RGB), 2, tags=((284, 2),)), "TIFF of separate 16-bit planes is not supported"),
        (tiff(RGB, 8), "TIFF of Lab colours is not supported"),
        (tiff(RGB[..., :1].astype(np.uint32), 1), "TIFF of 32-bit or signed numbers is not supported"),
        (tiff(RGB[..., :1], 1, tags=((339, 2),)), "TIFF of signed or floating-point numbers is not supported"),
        (tiff(RGB[..., :1].astype(np.float32), 1, tags=((339, 3),)), "TIFF of signed or floating-point numbers"),
        (tiff(RGB.astype(np.uint32), 2), "TIFF of unsupported layout"),
        (tiff(RGB, 2, order=">", big=True), "TIFF of 64-bit offsets, highest byte first, is not supported"),
        (tiff(RGB, 2)[:900], "TIFF does not decode"),
        (b"II*\0\x08\0\0\0\0\0", "TIFF does not decode"),
    ],
)
def test_what_would_be_read_wrong_is_refused_by_name(data, reason):
    with pytest.raises(MediaError, match=reason):
        read_image(data)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_a_tiff_of_any_compression_is_read_and_its_damage_noticed(compression):
    data = encode(RGB, "TIFF", compression=compression)
    assert np.abs(read_image(data).astype(int) - RGB).max() <= (40 if compression == "jpeg" else 0)
    with pytest.raises(MediaError, match="TIFF does not decode"):
        read_image(data[: len(data) * 3 // 4])  # the pixels lie behind the header


def test_strips_that_are_missing_are_not_left_black():
    data = bytearray(tiff(RGB, 2, tags=((278, 20),)))  # two strips of 20 rows are needed, the file has one
    with pytest.raises(MediaError, match="TIFF does not decode"):
        read_image(bytes(data))


def test_many_pages_are_their_first():
    pages = [Image.fromarray(page) for page in (RGB, 255 - RGB)]
    assert np.array_equal(read_image(encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])), RGB)


def test_tiles_that_claim_more_than_the_image_are_refused():
    tags = ((322, 40_000), (323, 40_000))
    with pytest.raises(MediaError, match="TIFF with tiles over the limit"):
        read_image(tiff(RGB, 2, tags=tags))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_every_kind_of_bmp_gives_its_colours(mode):
    made = Image.fromarray(RGBA if mode == "RGBA" else RGB).convert(mode)
    assert np.array_equal(read_image(encode(made, "BMP")), np.asarray(made.convert("RGB")))


def bmp_with_masks(pixels, masks, bits):
    """A bottom-up BMP of version 4: pixels as bytes, 60 x 40."""
    second = struct.pack("<IiiHHIIiiII4I", 108, 60, 40, 1, bits, 3, len(pixels), 0, 0, 0, 0, *masks).ljust(108, b"\0")
    return b"BM" + struct.pack("<IHHI", 122 + len(pixels), 0, 0, 122) + second + pixels


@pytest.mark.parametrize(("alpha", "shown"), [(0, RGB), (255, RGB), (RGBA[..., 3:], None)])
def test_the_alpha_that_a_bmp_names_is_laid_on_white_unless_all_of_it_is_zero(alpha, shown):
    colours = RGB if shown is not None else RGBA[..., :3]
    alpha = np.broadcast_to(np.asarray(alpha, np.uint8), (40, 60, 1))
    pixels = np.concatenate([colours[..., ::-1], alpha], axis=2)[::-1].tobytes()
    image = read_image(bmp_with_masks(pixels, (0xFF0000, 0xFF00, 0xFF, 0xFF000000), 32))
    assert np.abs(image.astype(int) - (WHITE if shown is None else shown)).max() <= 1


def test_a_bmp_of_strange_masks_is_refused_by_name():
    with pytest.raises(MediaError, match="BMP of unsupported layout"):
        read_image(bmp_with_masks(bytes(60 * 40 * 2), (0xF00, 0xF0, 0xF, 0), 16))


def test_a_bmp_that_is_cut_is_truncated():
    with pytest.raises(MediaError, match="truncated BMP"):
        read_image(encode(RGB, "BMP")[:-100])


def gif(frame, *, transparent=None):
    made = Image.new("P", frame.shape[::-1])
    made.putdata(frame.reshape(-1).tolist())
    made.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    return encode(made, "GIF", optimize=False, **({} if transparent is None else {"transparency": transparent}))


def first_block(data):
    return data.index(b"\x2c", 13 + (3 << (data[10] & 7) + 1))


def test_around_a_first_frame_that_is_smaller_than_the_canvas_all_is_white():
    frame = np.random.default_rng(0).integers(0, 3, (20, 30)).astype(np.uint8)
    data = bytearray(gif(frame))
    place = first_block(bytes(data))
    data[6:10], data[place + 1 : place + 5] = struct.pack("<HH", 60, 50), struct.pack("<HH", 11, 7)
    expected = np.full((50, 60, 3), 255, np.uint8)
    expected[7:27, 11:41] = np.eye(3, dtype=np.uint8)[frame] * 255
    assert np.array_equal(read_image(bytes(data)), expected)
    assert image_size(bytes(data)) == (50, 60)


def test_a_comment_in_any_encoding_does_not_matter():
    data = gif(np.eye(20, dtype=np.uint8))
    place = data.index(b"\x2c", 13 + (3 << (data[10] & 7) + 1))
    comment = b"\x21\xfe\x05Gr\xfc\xdfe\0"
    assert np.array_equal(read_image(data[:place] + comment + data[place:]), read_image(data))


def test_a_gif_whose_second_half_is_zeros_is_truncated():
    data = gif(np.random.default_rng(0).integers(0, 3, (60, 80)).astype(np.uint8))
    for share in (0.3, 0.6, 0.9):
        kept = int(len(data) * share)
        with pytest.raises(MediaError, match="GIF"):
            read_image(data[:kept] + bytes(len(data) - kept))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_turned_and_its_transparency_laid_on_white(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(RGBA, "AVIF", quality=100, subsampling="4:4:4", exif=exif)
    turned = {
        1: WHITE, 2: WHITE[:, ::-1], 3: WHITE[::-1, ::-1], 4: WHITE[::-1], 5: WHITE.swapaxes(0, 1),
        6: np.rot90(WHITE, -1), 7: WHITE[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(WHITE),
    }[orientation]  # fmt: skip
    assert image_size(data) == turned.shape[:2]
    assert np.abs(read_image(data).astype(int) - turned).max() <= 12


def test_a_cut_avif_is_refused():
    data = encode(RGB, "AVIF")
    for length in range(40, len(data), 97):
        with pytest.raises(MediaError, match="AVIF"):
            read_image(data[:length])


def test_heic_is_read_by_its_plugin_and_turned():
    plugin = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    plugin.from_pillow(Image.fromarray(RGB)).save(buffer, quality=-1)
    assert np.abs(read_image(buffer.getvalue()).astype(int) - RGB).max() <= 20
    assert image_size(buffer.getvalue()) == (40, 60)
    with pytest.raises(MediaError, match="60 x 40 pixels is over the limit"):
        read_image(buffer.getvalue(), max_pixels=2399)
    assert plugin.options.DECODE_THREADS == 1


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("is_repacked_jpeg", [False, True])
def test_jpeg_xl_is_read_by_its_plugin_and_turned_once(tmp_path, is_repacked_jpeg, orientation):
    pytest.importorskip("pillow_jxl")
    exif = Image.Exif()
    exif[0x0112] = orientation
    if is_repacked_jpeg:
        (tmp_path / "a.jpg").write_bytes(encode(RGB, "JPEG", quality=95, exif=exif))
        with Image.open(tmp_path / "a.jpg") as image:
            data = encode(image, "JXL", lossless_jpeg=True)
        expected = np.rot90(RGB, -1) if orientation == 6 else RGB
    else:
        data, expected = encode(RGB, "JXL", lossless=True), RGB
    assert image_size(data) == expected.shape[:2]
    assert np.abs(read_image(data).astype(int) - expected).max() <= (30 if is_repacked_jpeg else 1)
    with pytest.raises(MediaError, match="pixels is over the limit"):
        read_image(data, max_pixels=2399)


@pytest.mark.parametrize(
    ("data", "module", "reason"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "pillow_heif", "HEIC needs pip install 'omnicli[heif]'"),
        (b"\xff\x0a" + bytes(40), "pillow_jxl", "JPEG XL needs pip install 'omnicli[jxl]'"),
    ],
)
def test_without_its_plugin_a_format_says_what_to_install(monkeypatch, data, module, reason):
    monkeypatch.setitem(sys.modules, module, None)
    for function in (read_image, image_size):
        with pytest.raises(MediaError) as error:
            function(data)
        assert str(error.value) == reason


def test_a_jpeg_xl_is_refused_by_its_header_before_it_is_decoded(monkeypatch):
    plugin = pytest.importorskip("pillow_jxl").JpegXLImagePlugin
    monkeypatch.setattr(plugin, "JXLImageFile", lambda file: pytest.fail("decoded"))
    claim = b"\xff\x0a" + (0b11 << 1 | (1 << 30) - 1 << 3 | 1 << 33).to_bytes(40, "little")  # 2^30 x 2^30
    with pytest.raises(MediaError, match="1,073,741,824 x 1,073,741,824 pixels is over the limit"):
        read_image(claim)


WHOLE = [encode(RGB, "TIFF", compression="tiff_lzw"), tiff(RGB, 2), gif(np.eye(30, dtype=np.uint8))]
WHOLE += [encode(RGB, "BMP"), encode(RGB, "AVIF")]


@settings(max_examples=300)
@given(st.sampled_from(WHOLE), st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_damaged_bytes_give_an_image_of_the_size_in_the_header_or_a_media_error(whole, place, noise):
    data = bytearray(whole)
    place %= len(data)
    data[place : place + len(noise)] = noise
    try:
        image = read_image(bytes(data), max_pixels=100_000)
    except MediaError as error:
        assert 0 < len(str(error)) < 80
        return
    assert image.dtype == np.uint8 and image.shape == (*image_size(bytes(data)), 3) and image.flags.c_contiguous


@given(st.sampled_from(sorted(PILLOW_KINDS)), st.binary(max_size=300))
def test_noise_is_a_media_error(kind, noise):
    for function in (lambda: read_with_pillow(noise, kind, max_pixels=10_000), lambda: size_with_pillow(noise, kind)):
        try:
            function()
        except MediaError as error:
            assert str(error)


def test_threads_read_the_same_as_one():
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(read_image, WHOLE * 6))
    for index, image in enumerate(together):
        assert np.array_equal(image, read_image(WHOLE[index % len(WHOLE)]))


def test_nothing_is_printed_for_broken_files_or_large_ones(tmp_path):
    large = tiff(RGB, 2)
    broken = [data[: len(data) // 2] for data in WHOLE] + [large.replace(struct.pack("<I", 60), b"\0\0\1\0")]
    broken.append(encode(RGB, "TIFF", compression="tiff_lzw")[:60] + b"\x55" * 500)
    for number, data in enumerate(broken):
        (tmp_path / f"{number}.bin").write_bytes(data)
    done = read_in_a_process(tmp_path)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.count("\n") == len(broken)


@pytest.mark.parametrize(
    ("name", "shape", "mean"),
    [
        ("fox.profile0.10bpc.yuv420.avif", (800, 1204), (50, 56, 56)),
        ("gradient_10bit.avif", (48, 64), (126, 127, 126)),
        ("kimono.rotate90.avif", (1024, 722), (174, 174, 161)),
        ("kimono.mirror-horizontal.avif", (1024, 722), (174, 174, 161)),
        ("seine_sdr_gainmap_big_srgb.avif", (300, 400), (168, 168, 164)),
        ("seine_hdr_rec2020.avif", (300, 400), (129, 131, 127)),
        ("u16grey_wiz.tif", (90, 120), (112.5, 112.5, 112.5)),
        ("tiff_16bit_RGBa.tiff", (40, 100), (214, 201, 194)),
        ("gif_latin1_comment_hopper.gif", (128, 128), (90, 80, 95)),
    ],
)
def test_images_from_the_field_have_their_size_and_colours(case, name, shape, mean):
    data = case(name).read_bytes()
    assert image_size(data) == shape
    assert np.abs(read_image(data).mean(axis=(0, 1)) - mean).max() <= 0.7


def test_images_of_one_scene_lie_alike(case):
    turned, mirrored = (
        read_image(case(f"kimono.{name}.avif").read_bytes()) for name in ("rotate90", "mirror-horizontal")
    )
    assert np.abs(turned.astype(int) - mirrored).mean() < 5


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("lab.tif", "TIFF of Lab colours is not supported"),
        ("u16rgb_planar.tif", "TIFF of separate 16-bit planes is not supported"),
        ("black.tiff", "TIFF does not decode"),
        ("gif_zero_tail.gif", "truncated GIF"),
    ],
)
def test_images_from_the_field_that_cannot_be_right_are_refused(case, name, reason):
    with pytest.raises(MediaError, match=reason):
        read_image(case(name).read_bytes())
