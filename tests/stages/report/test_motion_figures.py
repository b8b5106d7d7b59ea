"""Films and outlines on the page show the motion that a recipe makes."""

import base64
import re

import numpy as np
import pytest

from omnicli.media.frames import ImageSource
from omnicli.media.image import read_image
from omnicli.motion.camera import MIN_CROP, make_recipe
from omnicli.motion.homography import STILL, Gaussian
from omnicli.stages.report.motion_figures import (
    NUM_FRAMES,
    NUM_OUTLINES,
    checkered_image,
    make_animation,
    outlines,
    parameter_rows,
)
from omnicli.streams.record import Record

SPREAD = Gaussian(STILL + 1e-4, np.diag(np.arange(1, 9) * 1e-3) ** 2)


def frames_of(animation):
    strip = read_image(base64.b64decode(animation.uri.partition(",")[2]))
    return np.stack(np.split(strip, NUM_FRAMES, axis=1)).astype(int)


@pytest.mark.parametrize(("mode", "moves"), [("still", False), ("translate-constant", True)])
def test_a_film_has_every_frame_side_by_side(mode, moves):
    record = Record({"id": "a", "inflation": make_recipe(mode, SPREAD, seed=0)})
    animation = make_animation(ImageSource(checkered_image()), record)
    frames = frames_of(animation)
    assert frames.shape[1:3] == (132, 176) and animation.aspect == pytest.approx(4 / 3)
    assert (np.abs(frames[-1] - frames[0]).mean() > 5) == moves
    assert MIN_CROP <= animation.scale <= 1 and (animation.scale < 1) == moves


def test_outlines_stay_inside_the_image():
    drawing = outlines(SPREAD, "perspective-agnostic", aspect=1.5)
    points = np.array([float(number) for quad in re.findall(r'points="([^"]+)"', drawing)
                       for number in re.split("[ ,]", quad)]).reshape(-1, 2)  # fmt: skip
    assert len(points) == 2 * 4 * NUM_OUTLINES
    assert (np.abs(points) <= [1.5005, 1.0005]).all() and np.abs(points).max(axis=0) == pytest.approx(
        [1.5, 1.0], abs=0.1
    )


def test_rows_tell_mean_and_spread():
    rows = parameter_rows(SPREAD)
    assert [row["name"] for row in rows][2] == "h13" and rows[2]["meaning"] == "shift to the right"
    assert rows[7]["spread"] == pytest.approx(0.008) and rows[7]["share"] == 1
    assert all(row["mean"] == pytest.approx(1e-4) for row in rows)
