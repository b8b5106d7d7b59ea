import io
import resource
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from read_images import read_in_a_process

from omnicli.errors import MediaError
from omnicli.media.image import encode_jpeg, image_size, read_image

ACTIONS = Path(__file__).resolve().parents[3] / "shared" / "data" / "actions6"


def image(height=60, width=90, channels=3):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2).reshape(height, width, channels)


def encode(image, kind, **options):
    """Bytes that Pillow writes for an array or one of its own images."""
    buffer = io.BytesIO()
    made = image if isinstance(image, Image.Image) else Image.fromarray(image)
    made.save(buffer, kind, **options)
    return buffer.getvalue()


def pillow_rgb(data):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


WHOLE = {
    "jpeg": encode(image(), "JPEG", quality=90),
    "progressive jpeg": encode(image(), "JPEG", quality=90, progressive=True),
    "grey jpeg": encode(image()[..., 0], "JPEG"),
    "jpeg with restarts": encode(image(), "JPEG", restart_marker_blocks=2),
    "cmyk jpeg": encode(Image.fromarray(image()).convert("CMYK"), "JPEG"),
    "png": encode(image(), "PNG"),
    "palette png": encode(Image.fromarray(image()).quantize(64), "PNG"),
    "transparent png": encode(image(channels=4), "PNG"),
    "webp": encode(image(), "WEBP", quality=80),
    "lossless webp": encode(image(channels=4), "WEBP", lossless=True),
    "gif": encode(Image.fromarray(image()).quantize(64), "GIF"),
    "bmp": encode(image(), "BMP"),
    "tiff": encode(image(), "TIFF"),
    "avif": encode(image(channels=4), "AVIF"),
}


@pytest.mark.parametrize("name", ["png", "palette png", "gif", "bmp", "tiff", "jpeg", "grey jpeg", "progressive jpeg"])
def test_every_format_gives_the_pixels_that_pillow_gives(name):
    ours, theirs = read_image(WHOLE[name]), pillow_rgb(WHOLE[name])
    assert ours.dtype == np.uint8 and ours.flags.c_contiguous
    if "jpeg" in name:  # two versions of libjpeg may round differently
        assert np.abs(ours.astype(int) - theirs).max() <= 3
    else:
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_they_are_meant_to_be_seen(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(image(40, 60), kind, exif=exif, **options)
    expected = pillow_rgb(data)
    assert image_size(data) == expected.shape[:2]
    difference = np.abs(read_image(data).astype(int) - expected)
    assert difference.max() <= (3 if kind == "JPEG" else 0)


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "LA", "RGBA", "P", "I;16"])
def test_modes_of_the_web_become_rgb(mode):
    rgb = image()
    if mode == "I;16":
        grey = rgb[..., 0].astype(np.uint16) * 257
        assert np.array_equal(read_image(encode(grey, "PNG")), np.repeat(rgb[..., :1], 3, axis=2))
        return
    made = Image.fromarray(rgb).convert(mode)
    data = encode(made, "JPEG" if mode == "CMYK" else "PNG")
    assert np.abs(read_image(data).astype(int) - np.asarray(made.convert("RGB"))).max() <= (12 if mode == "CMYK" else 0)


def test_a_png_of_three_times_sixteen_bits_keeps_its_high_bytes():
    deep = image().astype(np.uint16) * 256 + 77
    data = cv2.imencode(".png", deep[..., ::-1])[1].tobytes()
    assert np.array_equal(read_image(data), image())


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_on_white(kind):
    pixels = image(channels=4)
    pixels[:20, :, 3], pixels[20:40, :, 3] = 0, 255
    data = encode(pixels, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    colour, alpha = pixels[..., :3].astype(float), pixels[..., 3:] / 255
    expected = colour * alpha + 255 * (1 - alpha)
    assert np.abs(read_image(data) - expected).max() <= 1
    assert (read_image(data)[:20] == 255).all()
    assert np.array_equal(read_image(data)[20:40], pixels[20:40, :, :3])


def test_transparent_entries_of_a_palette_are_white():
    made = Image.fromarray(image()).quantize(16)
    for kind in ("PNG", "GIF"):
        data = encode(made, kind, transparency=3)
        hidden = np.asarray(made) == 3
        assert (read_image(data)[hidden] == 255).all()
        assert np.array_equal(read_image(data)[~hidden], pillow_rgb(encode(made, "PNG"))[~hidden])


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_animation_is_its_first_frame(kind):
    frames = [Image.fromarray(np.full((40, 60, 3), value, np.uint8)) for value in (10, 120, 250)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    assert np.abs(read_image(data).astype(int) - 10).max() <= 2
    assert image_size(data) == (40, 60)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_an_image_cut_anywhere_is_refused_unless_every_pixel_is_there(name):
    data = WHOLE[name]
    truth = read_image(data)
    refused = 0
    for size in sorted(
        {0, 1, *range(2, 60), *np.linspace(60, len(data) - 1, 150).astype(int), *range(len(data) - 30, len(data))}
    ):
        try:
            assert np.array_equal(read_image(data[:size]), truth), size
        except MediaError as error:
            refused += 1
            assert str(error)
    assert refused > 120


@pytest.mark.parametrize("name", ["jpeg", "cmyk jpeg", "grey jpeg", "jpeg with restarts"])
def test_an_end_mark_behind_half_a_jpeg_does_not_make_it_whole(name):
    data = WHOLE[name]
    start = data.index(b"\xff\xda") + 14
    for size in np.linspace(start, len(data) - 60, 12).astype(int).tolist():
        with pytest.raises(MediaError, match="truncated JPEG"):
            read_image(data[:size] + b"\xff\xd9")


def test_a_whole_jpeg_that_is_grey_in_its_last_corner_is_taken():
    flat = np.full((64, 64, 3), 128, np.uint8)
    assert (read_image(encode(flat, "JPEG")) == 128).all()


@pytest.mark.parametrize("name", sorted(WHOLE))
@pytest.mark.parametrize("tail", [b"\0" * 100, b"<html>ad</html>", b"\xff\xd8\xff\xe0junk"])
def test_what_follows_the_end_of_an_image_does_not_matter(name, tail):
    assert np.array_equal(read_image(WHOLE[name] + tail), read_image(WHOLE[name]))


def test_only_the_end_mark_may_be_missing():
    for name, end in (("jpeg", 2), ("png", 12), ("gif", 1)):
        assert np.array_equal(read_image(WHOLE[name][:-end]), read_image(WHOLE[name]))
    with pytest.raises(MediaError, match="truncated JPEG"):
        read_image(WHOLE["progressive jpeg"][:-2])  # nobody can know that no refinement is missing


@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
@example("tiff", 118, b"\0")  # the decoder takes another width than the header has
@settings(max_examples=400)
def test_damaged_bytes_give_an_image_of_the_right_shape_or_a_media_error(name, place, bytes_put):
    data = bytearray(WHOLE[name])
    place %= len(data)
    data[place : place + len(bytes_put)] = bytes_put
    try:
        image = read_image(bytes(data), max_pixels=1_000_000)
        assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
        assert image.shape[:2] == image_size(bytes(data))
    except MediaError as error:
        assert 0 < len(str(error)) < 80


@given(st.sampled_from([data[:16] for data in WHOLE.values()]), st.binary(max_size=300))
@settings(max_examples=200)
def test_noise_behind_a_magic_number_ends_in_a_media_error(head, noise):
    with pytest.raises(MediaError):
        read_image(head + noise, max_pixels=10_000)


@pytest.mark.parametrize("short_side", [1, 30, 31, 60, 61, 100, 119, 120, 239, 240, 241, 500])
def test_a_large_jpeg_is_decoded_at_the_smallest_scale_that_is_large_enough(short_side):
    data = encode(image(241, 333), "JPEG")
    small, full = read_image(data, short_side=short_side), read_image(data)
    scales = [scale for scale in (1, 2, 4, 8) if -(-241 // scale) >= short_side]
    scale = max(scales, default=1)
    assert small.shape == (-(-241 // scale), -(-333 // scale), 3)
    enlarged = cv2.resize(full, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - enlarged).mean() < 6


def test_the_reduced_scale_is_turned_too_and_other_formats_are_not_reduced():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(image(240, 320), "JPEG", exif=exif)
    assert read_image(data, short_side=100).shape == (160, 120, 3)
    assert read_image(WHOLE["png"], short_side=10).shape == (60, 90, 3)


def png_claiming(height, width):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def test_a_bomb_is_refused_by_its_header_without_taking_memory():
    jpeg = bytearray(WHOLE["jpeg"])
    size = jpeg.index(b"\xff\xc0") + 5
    jpeg[size : size + 4] = b"\xff\xff\xff\xff"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MediaError, match="150,000 x 150,000 pixels is over the limit"):
        read_image(png_claiming(150_000, 150_000))
    with pytest.raises(MediaError, match="65,535 x 65,535 pixels is over the limit"):
        read_image(bytes(jpeg))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
    with pytest.raises(MediaError, match="90 x 60 pixels is over the limit"):
        read_image(WHOLE["gif"], max_pixels=5399)
    assert read_image(WHOLE["gif"], max_pixels=5400).shape == (60, 90, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><html>", "not an image (HTML page)"),
        (b"\0\0\0\x18ftypmp42", "not an image (MP4)"),
        (WHOLE["jpeg"][:50], "truncated JPEG"),
        (WHOLE["png"][:-60], "truncated PNG"),
        (WHOLE["webp"][:-10], "truncated WebP"),
        (WHOLE["gif"][:-10], "truncated GIF"),
        (png_claiming(50, 50), "PNG does not decode"),
        (WHOLE["tiff"][:-10], "TIFF does not decode"),
    ],
)
def test_reasons_are_short_and_honest(data, reason):
    with pytest.raises(MediaError) as error:
        read_image(data)
    assert str(error.value) == reason


def test_codecs_print_nothing_for_broken_images(tmp_path):
    jpeg, png = bytearray(WHOLE["jpeg"]), bytearray(WHOLE["png"])
    middle = len(jpeg) // 2
    jpeg[middle : middle + 40] = bytes(40)  # "Corrupt JPEG data: extraneous bytes before marker"
    png[33:33] = struct.pack(">I4s4sI", 4, b"iCCP", b"abcd", 0)  # "libpng warning: iCCP: CRC error"
    flipped = bytearray(WHOLE["png"])
    flipped[len(flipped) // 2] ^= 0xFF
    tiff = WHOLE["tiff"][: len(WHOLE["tiff"]) // 2]
    for number, data in enumerate((jpeg, png, flipped, tiff, WHOLE["webp"][:-30] + bytes(30), WHOLE["gif"][:300])):
        (tmp_path / f"{number}.bin").write_bytes(bytes(data))
    done = read_in_a_process(tmp_path, then='print("still here", file=sys.stderr)')
    assert done.stderr == "still here\n"
    assert "PNG does not decode" in done.stdout


@pytest.mark.skipif(not ACTIONS.exists(), reason="no ../shared/data/actions6")
def test_real_images_of_a_crawl_are_read_as_pillow_reads_them():
    paths = sorted((ACTIONS / "web" / "image").glob("*/*"))[::12]
    for path in paths:
        data = path.read_bytes()
        ours, theirs = read_image(data), pillow_rgb(data)
        assert ours.shape == theirs.shape == (*image_size(data), 3)
        assert np.abs(ours.astype(int) - theirs).mean() < 1, path
    assert len(paths) > 50


@pytest.mark.skipif(not ACTIONS.exists(), reason="no ../shared/data/actions6")
def test_real_junk_is_read_or_refused_by_its_content():
    outcomes = {}
    for path in (ACTIONS / "web" / "junk").iterdir():
        try:
            outcomes[path.name] = read_image(path.read_bytes()).shape[2]
        except MediaError as error:
            outcomes[path.name] = str(error)
    assert outcomes["badminton_00000094.gif"] == 3 and outcomes["baseball_00000359.webp"] == 3
    assert outcomes["baseball_00000067.aspx"] == "empty file"
    assert outcomes["table_tennis_00000533.ashx"] == "not an image (HTML page)"
    assert outcomes["models_res50-stage-1.pth"].startswith("not an image (a Git LFS pointer")


def test_what_is_encoded_comes_back_in_the_same_colours_and_too_long_a_side_is_refused():
    pixels = image()
    assert np.abs(read_image(encode_jpeg(pixels, quality=95)).astype(int) - pixels).mean() < 4
    with pytest.raises(MediaError, match="70000 x 1 pixels do not fit a JPEG"):
        encode_jpeg(np.zeros((1, 70000, 3), np.uint8), quality=85)
