import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from omnicli.media.resizing import orient, resize, resize_short_side, shrink


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_the_short_side_is_exact_and_the_long_side_is_rounded(height, width, short_side):
    resized = resize_short_side(np.zeros((1, height, width, 3), np.uint8), short_side)
    assert min(resized.shape[1:3]) == short_side
    assert max(resized.shape[1:3]) == int(max(height, width) * (short_side / min(height, width)) + 0.5)


def test_frames_that_fit_already_are_not_copied():
    frames = np.zeros((2, 30, 40, 3), np.uint8)
    assert resize_short_side(frames, 30) is frames
    assert resize(frames, 30, 40) is frames


def test_a_small_square_holds_the_means_of_areas():
    image = np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)
    means = image.reshape(20, 3, 20, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(shrink(image, 20), means, atol=0.51)
    assert shrink(image[:10], 20).shape == (20, 20)
    assert shrink(np.repeat(image[..., None], 3, axis=2), 20).shape == (20, 20, 3)


def test_a_view_is_resized_like_its_copy():
    frames = np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    mirrored = frames[:, :, ::-1]
    expected = [cv2.resize(np.ascontiguousarray(frame), (20, 25)) for frame in mirrored]
    assert np.array_equal(resize(mirrored, 25, 20), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_those_of_exif(orientation):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(image).save(buffer, "PNG", exif=exif)
    turned = orient(image, orientation)
    assert np.array_equal(turned, np.asarray(ImageOps.exif_transpose(Image.open(buffer))))
    assert turned.flags.c_contiguous
