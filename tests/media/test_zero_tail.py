import io

import cv2
import numpy as np
import pytest
from PIL import Image

from omnicli.errors import MediaError
from omnicli.media.image import read_image
from omnicli.media.zero_tail import check_tail


def smooth(height=90, width=120, channels=3):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def encode(image, kind, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def half(data, share=0.5):
    return data[: int(share * len(data))].ljust(len(data), b"\0")


RGB = smooth()
FILES = {
    "webp": encode(RGB, "WEBP", quality=90),
    "lossless webp": encode(RGB, "WEBP", lossless=True),
    "webp with alpha": encode(smooth(channels=4), "WEBP"),
    "webp with exif": encode(RGB, "WEBP", quality=90, exif=Image.Exif().tobytes()),
    "animated webp": encode(Image.fromarray(RGB), "WEBP", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
    "avif": encode(RGB, "AVIF", speed=10),
    "bmp": encode(RGB, "BMP"),
    "grey bmp": encode(RGB[..., 0], "BMP"),
    "tiff": encode(RGB, "TIFF"),
    "lzw tiff": encode(RGB, "TIFF", compression="tiff_lzw"),
    "packbits tiff": encode(RGB, "TIFF", compression="packbits"),
}


@pytest.mark.parametrize("name", list(FILES))
@pytest.mark.parametrize("share", [0.4, 0.503, 0.71])
def test_half_a_download_is_refused_and_the_whole_is_read(name, share):
    assert read_image(FILES[name]).shape == RGB.shape
    with pytest.raises(MediaError, match=r"^(truncated \w+|\w+ does not decode)$"):
        read_image(half(FILES[name], share))


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_black_at_the_end_of_plain_pixels_is_black(kind):
    letterbox, drawing = RGB.copy(), np.zeros_like(RGB)
    letterbox[:30] = letterbox[-30:] = 0
    cv2.circle(drawing, (60, 45), 30, (200, 90, 250), -1)
    for image in (letterbox, drawing, np.zeros_like(RGB)):
        assert np.array_equal(read_image(encode(image, kind)), image)


@pytest.mark.parametrize("options", [{"quality": 10}, {"quality": 90}, {"lossless": True}])
@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_one_flat_colour_ends_in_no_more_zeros_than_are_allowed(kind, options):
    image = np.full((1000, 1000, 3), 255, np.uint8)
    assert (read_image(encode(image, kind, **options)) >= 253).all()


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_a_smooth_edge_that_is_nearly_level_is_no_cut(kind):
    for tenths in range(1, 30):
        turn = cv2.getRotationMatrix2D((60, 45), tenths / 10, 0.6)
        image = cv2.warpAffine(np.maximum(RGB, 1), turn, (120, 90))
        assert np.array_equal(read_image(encode(image, kind)), image)


def test_the_orientation_of_a_webp_must_have_arrived():
    data = FILES["webp with exif"]
    place = data.rindex(b"EXIF")
    with pytest.raises(MediaError, match="truncated WebP"):
        read_image(data[:place].ljust(len(data), b"\0"))


def test_exif_that_is_padded_with_zeros_is_no_missing_image():
    plugin = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[270] = "a description"
    buffer = io.BytesIO()
    plugin.from_pillow(Image.fromarray(RGB)).save(buffer, exif=exif.tobytes() + bytes(200))
    assert read_image(buffer.getvalue()).shape == RGB.shape
    with pytest.raises(MediaError, match="truncated HEIC"):
        read_image(half(buffer.getvalue(), 0.71))


def test_zeros_behind_the_image_do_not_matter():
    for name in ("webp", "avif", "bmp"):
        assert np.array_equal(read_image(FILES[name] + bytes(4096)), read_image(FILES[name]))


def test_a_palette_whose_end_is_missing_is_refused():
    tags = {256: 50, 273: (8,), 279: (100,), 320: (500,) * 512 + (0,) * 256}
    with pytest.raises(MediaError, match="truncated TIFF"):
        check_tail(b"\x01" * 200 + bytes(600), "TIFF", tags)
    check_tail(b"\x01" * 200, "TIFF", tags)
