"""Copies of an image agree with it, however they were changed; other images do not."""

import itertools

import cv2
import numpy as np
import pytest

from omnicli.stages.dedup.same_image import Agreement, compare_images

HEIGHT, WIDTH = 240, 320


def scene(seed, height=HEIGHT, width=WIDTH):
    """Random shapes on a random background, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(60, 190, (12, 16, 3)).astype(np.uint8), (width, height))
    for _ in range(60):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        colour = [int(value) for value in rng.integers(0, 256, 3)]
        axes = (int(rng.integers(4, 30)), int(rng.integers(4, 30)))
        cv2.ellipse(image, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    return image


def encoded(image, quality):
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


CHANGES = {
    "nothing": lambda image: image,
    "compressed": lambda image: encoded(image, 30),
    "half size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "cropped": lambda image: image[40:200, 60:300],
    "shifted": lambda image: np.roll(image, (12, 25), axis=(0, 1)),
    "mirrored": lambda image: image[:, ::-1],
    "grey": lambda image: image.mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8),
    "brighter": lambda image: cv2.convertScaleAbs(image, alpha=0.8, beta=40),
    "bars": lambda image: cv2.copyMakeBorder(image, 60, 60, 0, 0, cv2.BORDER_CONSTANT),
    "turned": lambda image: cv2.warpAffine(image, cv2.getRotationMatrix2D((160, 120), 15, 1), (WIDTH, HEIGHT)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_copy_is_verified_however_it_was_changed(change):
    for seed in range(3):
        found = compare_images(np.ascontiguousarray(change(scene(seed))), scene(seed))
        assert found.is_verified, found


def test_other_images_are_not_verified():
    scenes = [scene(seed) for seed in range(5)]
    for first, second in itertools.pairwise(scenes):
        assert not compare_images(first, second).is_verified


def test_a_logo_in_both_makes_no_copy():
    """Many keypoints agree, and the rest of the image does not."""
    logo = cv2.resize(scene(9), (80, 60), interpolation=cv2.INTER_AREA)
    first, second = scene(1), scene(2)
    first[10:70, 10:90] = second[10:70, 10:90] = logo
    found = compare_images(first, second)
    assert found.inliers >= 10 and not found.is_verified, found


@pytest.mark.parametrize(
    "image",
    [np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((1, 1, 3), 7, np.uint8), np.zeros((2, 5000, 3), np.uint8)],
    ids=["black", "one pixel", "a line"],
)
def test_an_image_without_texture_agrees_with_nothing(image):
    assert compare_images(image, image) == compare_images(image, scene(1)) == Agreement(0, 0.0)


def test_the_same_pair_gives_the_same_numbers():
    first, second = scene(1), encoded(scene(1)[20:], 50)
    assert compare_images(first, second) == compare_images(first, second)
