import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import MediaError
from omnicli.media.pixels import on_white, to_rgb


@given(st.integers(0, 255), st.integers(0, 255))
def test_transparency_is_laid_on_white_and_rounded(colour, alpha):
    pixel = np.array([[[colour, 0, 255, alpha]]], np.uint8)
    expected = [value * alpha / 255 + 255 * (1 - alpha / 255) for value in (colour, 0, 255)]
    assert np.abs(on_white(pixel)[0, 0] - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_every_number_of_channels_becomes_rgb(channels, dtype):
    high = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    high[..., 3] = 255
    image = (high if channels else high[..., 0])[..., : channels or None]
    image = image if dtype == np.uint8 else image.astype(np.uint16) * 256 + 255
    expected = np.repeat(high[..., :1], 3, axis=2) if channels < 3 else high[..., 2::-1]
    assert np.array_equal(to_rgb(image, "PNG"), expected)


def test_other_numbers_and_channels_are_refused_by_name():
    with pytest.raises(MediaError, match="PNG of float32 numbers is not supported"):
        to_rgb(np.zeros((2, 2, 3), np.float32), "PNG")
    with pytest.raises(MediaError, match="PNG of 5 channels is not supported"):
        to_rgb(np.zeros((2, 2, 5), np.uint8), "PNG")
