"""Margins are found where they are, to the half pixel, and an image without them is left whole."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.stages.dedup.margins import MAX_GRADIENT, CropBox, full_crop, inside_bars, inside_mirrors, mirror_scores

SIZE = 112
WHOLE = full_crop(SIZE)


def images(seed, height=240, width=320, count=4):
    """Random scenes with detail at every scale, as photographs have, that change from frame to frame."""
    rng = np.random.default_rng(seed)
    frames = []
    scene = sum(
        cv2.resize(rng.normal(0, scale, (height // scale + 2, width // scale + 2)), (width, height))
        for scale in (4, 8, 16, 32)
    )
    for _ in range(count):
        moved = np.roll(scene, rng.integers(-9, 10, 2), axis=(0, 1)) * 1.2 + 120
        frames.append(moved.clip(16, 240).astype(np.uint8))
    return np.stack(frames)


def small(frames, margins=(0, 0, 0, 0), how=cv2.BORDER_CONSTANT):
    """With margins as wide as said, in pixels of the frame, shrunk to the canvas."""
    top, bottom, left, right = margins
    wide = [cv2.copyMakeBorder(frame, top, bottom, left, right, how) for frame in frames]
    return np.stack([cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for frame in wide])


def expected(top, bottom, left, right, height=240, width=320):
    """Edges of the image in half pixels of the canvas."""
    down, across = 2 * SIZE / (height + top + bottom), 2 * SIZE / (width + left + right)
    return np.array([top * down, (top + height) * down, left * across, (left + width) * across])


@given(seed=st.integers(0, 1000), sides=st.lists(st.sampled_from([0, 40, 57, 75]), min_size=4, max_size=4))
def test_mirrored_margins_are_found_to_the_pixel(seed, sides):
    found = inside_mirrors(small(images(seed), sides, cv2.BORDER_REFLECT))
    np.testing.assert_allclose(found, expected(*sides), atol=1.5)


@given(
    seed=st.integers(0, 1000), sides=st.lists(st.integers(0, 75), min_size=4, max_size=4), colour=st.integers(0, 255)
)
def test_bars_of_one_colour_are_found_to_the_pixel(seed, sides, colour):
    frames = small(images(seed), sides)
    where = expected(*sides)
    top, bottom, left, right = (round(edge / 2) for edge in where)
    inside = np.zeros((SIZE, SIZE), bool)
    inside[top:bottom, left:right] = True
    frames[:, ~inside] = colour
    np.testing.assert_allclose(inside_bars(frames, WHOLE), where, atol=2)


def test_bars_that_are_mirrored_too_are_found_inside_the_mirrors():
    barred = np.stack([cv2.copyMakeBorder(frame, 24, 24, 0, 0, cv2.BORDER_CONSTANT) for frame in images(0)])
    frames = small(barred, (0, 0, 60, 60), cv2.BORDER_REFLECT)
    unmirrored = inside_mirrors(frames)
    np.testing.assert_allclose(unmirrored, [0, 224, 30.5, 193.5], atol=1.5)
    np.testing.assert_allclose(inside_bars(frames, unmirrored), [18.7, 205.3, 30.5, 193.5], atol=2)


@pytest.mark.parametrize("colour", [0, 128])
def test_a_blank_image_has_no_margins(colour):
    frames = np.full((4, SIZE, SIZE), colour, np.uint8)
    assert inside_mirrors(frames) == inside_bars(frames, WHOLE) == WHOLE


def test_too_little_inside_is_no_image():
    frames = np.zeros((4, SIZE, SIZE), np.uint8)
    frames[:, 50:62] = small(images(0))[:, 50:62]
    assert inside_bars(frames, WHOLE) == WHOLE
    assert inside_bars(frames, CropBox(20, 200, 30, 190)) == CropBox(20, 200, 30, 190)


@given(seed=st.integers(0, 1000))
def test_scores_are_those_of_comparing_every_pair_of_columns(seed):
    frames = np.random.default_rng(seed).integers(100, 112, (2, 5, 12)).astype(np.uint8)
    gradient = np.clip(np.diff(frames.astype(int), axis=2), -MAX_GRADIENT, MAX_GRADIENT)
    scores = mirror_scores(frames)
    assert len(scores) == 2 * 12 - 3
    for mirror, score in enumerate(scores):
        pairs = [(x, mirror - x) for x in range(11) if 0 <= mirror - x < 11]
        products = sum(int((gradient[..., x] * gradient[..., y]).sum()) for x, y in pairs)
        energy = sum(int((gradient[..., x] ** 2).sum()) for x, _ in pairs)
        assert score == pytest.approx(-products / max(energy, 1), abs=1e-4)
