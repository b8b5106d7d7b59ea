"""The input of image-text models, against torchvision's transforms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from omnicli.data.own_view import own_view

SIDES = st.integers(8, 90)


@pytest.mark.parametrize("kind", ["bicubic", "bilinear"])
@pytest.mark.parametrize("fit", ["shortest", "squash"])
@given(height=SIDES, width=SIDES, size=st.integers(8, 40))
@settings(max_examples=25)
def test_the_pixels_are_those_of_torchvision(kind, fit, height, width, size):
    from torchvision import transforms
    from torchvision.transforms import InterpolationMode

    frames = np.random.default_rng(height * width).integers(0, 256, (2, height, width, 3), np.uint8)
    sides = size if fit == "shortest" else (size, size)
    resize = transforms.Resize(sides, interpolation=InterpolationMode(kind))
    theirs = transforms.Compose([resize, transforms.CenterCrop(size)])
    expected = np.stack([np.asarray(theirs(Image.fromarray(frame))) for frame in frames])
    np.testing.assert_array_equal(own_view(frames, size, f"{kind} {fit}"), expected)
