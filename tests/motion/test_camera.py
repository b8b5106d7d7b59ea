"""From a recipe to pixels: the same record gives the same clip, whoever asks, and moves as its motion says."""

import json
import os
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest

from omnicli.errors import InputError, MediaError
from omnicli.media.source import open_media
from omnicli.motion.camera import (
    MAX_DRAWS,
    MIN_CROP,
    MODES,
    draw_path,
    inflate_image,
    make_recipe,
    render_path,
    try_paths,
    warp_image,
)
from omnicli.motion.homography import STILL, TRANSLATION, Gaussian, to_parameters
from omnicli.streams.record import Record, format_record, parse_record

SPREAD = np.array([0.004, 0.005, 0.012, 0.002, 0.004, 0.006, 0.003, 0.003])
MOTION = Gaussian(STILL + 1e-4, np.diag(SPREAD**2) + 1e-6)
SHAPE = {"num_frames": 4, "frame_interval": 16, "short_side": 64}


def record_of(mode, motion=MOTION, *, seed=0, **fields):
    return Record({"id": "a.jpg", **fields, "inflation": make_recipe(mode, motion, seed=seed)})


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """An image of 320 x 240 with soft texture everywhere."""
    path = tmp_path_factory.mktemp("image") / "a.png"
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    cv2.imwrite(str(path), cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX))
    return path


def clip_of(path, record, **changes):
    with open_media(Record({"path": str(path)})) as source:
        return inflate_image(source, record, **{**SHAPE, **changes})


@pytest.mark.parametrize("mode", MODES)
def test_a_clip_has_the_shape_of_the_image_and_every_epoch_a_motion_of_its_own(image, mode):
    record = record_of(mode)
    first, again, next_epoch = clip_of(image, record), clip_of(image, record), clip_of(image, record, epoch=1)
    assert first.shape == (4, 64, 85, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, next_epoch) == (mode == "still")
    assert np.array_equal(first[0], first[3]) == (mode == "still")


def test_the_clip_depends_on_id_and_seed_and_on_nothing_else(image):
    record = record_of("perspective-agnostic")
    first = clip_of(image, record)
    through_json = parse_record(format_record(record), origin="", line_number=0)
    np.testing.assert_array_equal(clip_of(image, through_json), first)
    np.testing.assert_array_equal(clip_of(image, record.derive(query="x", path="elsewhere.jpg")), first)
    assert not np.array_equal(clip_of(image, record.derive(id="b.jpg")), first)
    assert not np.array_equal(clip_of(image, record_of("perspective-agnostic", seed=1)), first)


def test_another_process_makes_the_same_clip(image):
    record = record_of("perspective-agnostic")
    script = (
        "import json, sys, hashlib; from omnicli.motion.camera import inflate_image;"
        "from omnicli.media.source import open_media; from omnicli.streams.record import Record;"
        "source = open_media(Record({'path': sys.argv[1]})); record = Record(json.loads(sys.argv[2]));"
        "clip = inflate_image(source, record, num_frames=4, frame_interval=16, short_side=64);"
        "print(hashlib.sha256(clip.tobytes()).hexdigest())"
    )
    told = [sys.executable, "-c", script, str(image), json.dumps(record)]
    theirs = subprocess.run(told, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "1"})
    import hashlib

    assert theirs.stdout.strip() == hashlib.sha256(clip_of(image, record).tobytes()).hexdigest()


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "still"])
def test_without_spread_around_standing_still_every_mode_stands_still(image, mode):
    """Σ = 0 and μ = identity: N equal frames, which are the image resized."""
    clip = clip_of(image, record_of(mode, Gaussian(STILL, np.zeros((8, 8)))))
    np.testing.assert_array_equal(clip, clip_of(image, record_of("still")))


def test_without_spread_the_mean_is_the_motion_of_every_step():
    drift = STILL.copy()
    drift[2] = 0.01
    path = draw_path(
        record_of("perspective-agnostic", Gaussian(drift, np.zeros((8, 8)))), aspect=1.0, num_frames=3, frame_interval=4
    )
    moved = to_parameters(np.linalg.inv(path.views[1:]) @ path.views[:-1])
    np.testing.assert_allclose(moved, np.tile(np.add(STILL, [0, 0, 0.04, 0, 0, 0, 0, 0]), (2, 1)), atol=1e-9)
    assert path.scale == pytest.approx(1 / 1.04)


@pytest.mark.parametrize(("mode", "is_constant"), [("translate-random", False), ("translate-constant", True)])
def test_translations_keep_the_rest_and_draw_one_velocity_a_frame_or_a_clip(mode, is_constant):
    path = draw_path(record_of(mode), aspect=4 / 3, num_frames=9, frame_interval=1)
    steps = to_parameters(np.linalg.inv(path.views[1:]) @ path.views[:-1])
    np.testing.assert_allclose(np.delete(steps - STILL, TRANSLATION, axis=1), 0, atol=1e-9)
    assert np.allclose(steps, steps[0]) == is_constant


def test_a_translation_moves_the_image_by_whole_pixels():
    """Drawn right (h13 > 0), the image moves right: what was at x is at x + 2 in the next frame."""
    image = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    step = np.eye(3)
    step[0, 2] = 2 * 2 / 50
    views = np.stack([np.eye(3), np.linalg.inv(step)])
    first, second = warp_image(image, views, height=50, width=50, aspect=1.0)
    np.testing.assert_array_equal(first, image)
    np.testing.assert_array_equal(second[:, 2:], image[:, :-2])


def test_the_last_frame_is_as_sharp_as_the_second(image):
    """Every frame is warped from the image itself; warped one after the other they would blur."""
    clip = clip_of(image, record_of("perspective-agnostic"), num_frames=16, frame_interval=1, short_side=160)
    sharpness = [cv2.Laplacian(frame.astype(np.float32), cv2.CV_32F).std() for frame in clip]
    assert sharpness[15] > 0.9 * sharpness[1]


@pytest.mark.parametrize(("height", "width"), [(30, 40), (40, 20), (25, 80)])
def test_no_border_shows_in_any_pixel_of_ten_thousand_drawn_clips(monkeypatch, height, width):
    """A white image on black, all modes and epochs: no pixel is taken from outside the image.

    Half-way between the outermost pixel and the black around it lies the edge of the image, so a pixel may lose half
    its white across and half of it down, and no more.
    """
    monkeypatch.setattr(cv2, "BORDER_REPLICATE", cv2.BORDER_CONSTANT)  # which would hide a view that leaves
    white = np.full((height, width, 3), 255, np.uint8)
    moving = [mode for mode in MODES if mode != "still"]
    darkest, num_moving = 255, 0
    for number in range(10_000 // 3 + 1):
        record = record_of(moving[number % len(moving)], seed=number)
        path = draw_path(record, aspect=width / height, num_frames=4, frame_interval=16, epoch=number)
        num_moving += path.scale < 1
        frames = warp_image(white, path.views, height=height // 2, width=width // 2, aspect=width / height)
        darkest = min(darkest, int(frames.min()))
    assert darkest >= 255 // 4 - 1
    assert num_moving > 3000


def test_the_image_is_read_at_the_size_at_which_the_crop_has_the_clips_pixels(image):
    record = record_of("perspective-agnostic")
    with open_media(Record({"path": str(image)})) as opened:
        source: Any = opened
        path = draw_path(record, aspect=source.width / source.height, num_frames=4, frame_interval=16)
        read, asked = source.read, []

        def noting(frame_indices, *, short_side=None):
            asked.append(short_side)
            return read(frame_indices, short_side=short_side)

        source.read = noting
        render_path(source, path, short_side=64)
    assert asked == [round(64 / path.scale)] and asked[0] > 64


def test_a_draw_that_needs_too_small_a_crop_is_drawn_again():
    wild = Gaussian(STILL, np.diag((3 * SPREAD) ** 2))
    paths = [
        draw_path(record_of("perspective-agnostic", wild, seed=seed), aspect=1.0, num_frames=9, frame_interval=16)
        for seed in range(40)
    ]
    share = (try_paths("perspective-agnostic", wild, num_frames=9, frame_interval=16, aspect=1.0) < MIN_CROP).mean()
    assert 0.1 < share < 0.95
    assert all(path.scale >= MIN_CROP for path in paths)
    assert any(0 < path.num_redrawn < MAX_DRAWS - 1 for path in paths)  # another draw is another motion
    assert not all(path.num_redrawn for path in paths)


def test_a_motion_that_is_never_good_leaves_the_image_still():
    zooming_out = STILL * [0.5, 1, 1, 1, 0.5, 1, 1, 1]
    record = record_of("perspective-agnostic", Gaussian(zooming_out, np.zeros((8, 8))))
    path = draw_path(record, aspect=1.0, num_frames=4, frame_interval=16)
    assert path.gave_up and path.num_redrawn == MAX_DRAWS - 1
    np.testing.assert_array_equal(path.views, np.tile(np.eye(3), (4, 1, 1)))


def test_one_frame_is_the_image(image):
    np.testing.assert_array_equal(
        clip_of(image, record_of("perspective-agnostic"), num_frames=1), clip_of(image, record_of("still"))[:1]
    )


def test_a_recipe_is_small_and_needs_nothing_else():
    recipe = json.loads(json.dumps(make_recipe("perspective-agnostic", MOTION, seed=3)))
    assert set(recipe) == {"mode", "seed", "mean", "covariance"}
    assert len(recipe["mean"]) == 8 and len(recipe["covariance"]) == 36
    assert make_recipe("still", None, seed=3) == {"mode": "still"}
    assert len(make_recipe("translate-random", MOTION, seed=3)["covariance"]) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "zoom"}, "a.jsonl:7: inflation: mode 'zoom', expected one of still, translate-random, "),
        ({"seed": "x"}, "a.jsonl:7: inflation: seed 'x', expected a whole number"),
        ({"mean": [1, 2]}, "needs a mean of 8 and a covariance of 36 numbers"),
        ({"covariance": [1]}, "needs a mean of 8 and a covariance of 36 numbers"),
        ({"covariance": ["a"] * 36}, "needs a mean of 8 and a covariance of 36 numbers"),
        ({"mean": None}, "needs a mean of 8 and a covariance of 36 numbers"),
        ({"mean": [[1]] * 8}, "needs a mean of 8 and a covariance of 36 numbers"),
    ],
)
def test_a_damaged_recipe_names_its_line(change, message):
    recipe = make_recipe("perspective-agnostic", MOTION, seed=0) | change
    record = Record({"id": "a", "inflation": recipe}, origin="a.jsonl", line=7)
    with pytest.raises(InputError) as error:
        draw_path(record, aspect=1.0, num_frames=4, frame_interval=16)
    assert message in str(error.value)


def test_a_record_without_a_recipe_is_an_error():
    with pytest.raises(InputError, match="no field 'inflation'"):
        draw_path(Record({"id": "a"}), aspect=1.0, num_frames=4, frame_interval=16)


def test_a_video_is_no_image(world):
    video = next((world / "web" / "video").rglob("*.mp4"))
    with pytest.raises(MediaError, match="a video, not an image"):
        clip_of(video, record_of("perspective-agnostic"))
