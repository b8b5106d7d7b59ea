"""Estimating, composing and cropping motion, against formulas written out slowly."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.motion.homography import (
    STILL,
    TRANSLATION,
    Gaussian,
    MomentSums,
    compose,
    place_crop,
    to_matrices,
    to_parameters,
)

SPREAD = np.array([0.006, 0.008, 0.015, 0.003, 0.006, 0.01, 0.004, 0.004])  # as of hand-held cameras


def steps_of(seed, *shape, scale=1.0):
    return STILL + scale * SPREAD * np.random.default_rng(seed).standard_normal((*shape, 8))


def test_the_estimate_is_the_maximum_likelihood_formula():
    """μ = Σh/n and Σ = Σ(h - μ)(h - μ)ᵀ/n, however the steps arrive."""
    steps = steps_of(0, 500) + 0.01
    moments = MomentSums()
    for part in np.split(steps, [1, 1, 200]):
        moments.add(part)
    gaussian = moments.gaussian()
    np.testing.assert_allclose(gaussian.mean, steps.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(gaussian.covariance, np.cov(steps.T, bias=True), rtol=1e-9, atol=1e-16)
    assert moments.num_steps == 500


def test_nothing_seen_is_no_estimate():
    with pytest.raises(ValueError, match="no step"):
        MomentSums().gaussian()


def test_draws_have_the_mean_and_covariance_and_fewer_are_the_first_of_more():
    root = np.random.default_rng(1).standard_normal((8, 3))  # of rank 3: eigenvalues of 0 are no obstacle
    gaussian = Gaussian(STILL, 1e-4 * root @ root.T)
    drawn = gaussian.draw(20_000, np.random.default_rng(2))
    np.testing.assert_allclose(drawn.mean(axis=0), STILL, atol=6e-4)
    np.testing.assert_allclose(np.cov(drawn.T), gaussian.covariance, atol=0.03 * gaussian.covariance.max())
    np.testing.assert_array_equal(gaussian.draw(7, np.random.default_rng(2)), drawn[:7])


def test_a_part_is_the_marginal_distribution():
    gaussian = Gaussian(np.arange(8.0), np.arange(64.0).reshape(8, 8))
    part = gaussian.part(TRANSLATION)
    assert part.mean.tolist() == [2, 5]
    assert part.covariance.tolist() == [[18, 21], [42, 45]]


@given(st.integers(0, 10**6), st.floats(0.1, 10))
def test_matrices_of_any_scale_give_their_parameters_back(seed, scale):
    steps = steps_of(seed, 5)
    np.testing.assert_allclose(to_parameters(scale * to_matrices(steps)), steps, rtol=1e-12, atol=1e-15)


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 17))
def test_composing_is_multiplying_one_step_after_the_other(seed, num_frames, frame_interval):
    """J_i = H_i ∘ … ∘ H_1, from J_1 = I, and only every k-th is shown."""
    steps = steps_of(seed, 2, (num_frames - 1) * frame_interval)
    if num_frames == 1:
        return
    path = compose(steps, frame_interval=frame_interval)
    assert path.shape == (2, num_frames, 3, 3)
    for clip in range(2):
        slow = [np.eye(3)]
        for matrix in to_matrices(steps[clip]):
            slow.append(matrix @ slow[-1])
        np.testing.assert_allclose(path[clip], slow[::frame_interval], atol=1e-12)


def test_composing_then_warping_is_warping_step_by_step():
    """Up to interpolation: every step by itself blurs the image once more."""
    canvas = cv2.GaussianBlur(np.random.default_rng(0).uniform(0, 255, (400, 400)).astype(np.float32), (0, 0), 6)
    to_pixels = np.array([[100, 0, 199.5], [0, 100, 199.5], [0, 0, 1]])  # the frame is the middle of the canvas
    steps = steps_of(3, 6)
    by_step = canvas
    for matrix in to_matrices(steps):
        pixels = to_pixels @ matrix @ np.linalg.inv(to_pixels)
        by_step = cv2.warpPerspective(by_step, pixels, (400, 400), flags=cv2.INTER_CUBIC)
    at_once = to_pixels @ compose(steps)[-1] @ np.linalg.inv(to_pixels)
    whole = cv2.warpPerspective(canvas, at_once, (400, 400), flags=cv2.INTER_CUBIC)
    middle = slice(100, 300)
    difference = np.abs(by_step - whole)[middle, middle]
    assert difference.max() < 0.03 * np.ptp(canvas[middle, middle])
    assert np.abs(canvas - whole)[middle, middle].max() > 0.3 * np.ptp(canvas[middle, middle])


@pytest.mark.parametrize(("aspect", "scale"), [(4 / 3, 1.0), (0.5, 1.0), (1.0, 4.0), (7.0, 2.0)])
def test_no_frame_of_ten_thousand_clips_shows_a_border(aspect, scale):
    """Each of 10,000 clips sees only its image, from edge to edge of each frame, and the crop could be no larger."""
    path = compose(steps_of(4, 10_000, 48, scale=scale), frame_interval=16)
    crop, views = place_crop(path, aspect=aspect)
    good = crop > 0
    assert good.mean() > 0.98
    half = np.array([max(aspect, 1), max(1 / aspect, 1)])
    along = np.linspace(-1, 1, 9)
    edges = np.array([(x, y) for x in along for y in along if max(abs(x), abs(y)) == 1]) * half
    seen = views[good] @ np.concatenate([edges, np.ones((len(edges), 1))], axis=1).T  # (P, T, 3, E)
    assert (seen[..., 2, :] > 0).all()
    points = seen[..., :2, :] / seen[..., 2:, :]  # (P, T, 2, E)
    assert (np.abs(points) <= half[:, None] * (1 + 1e-9)).all()
    tight = (np.ptp(points.swapaxes(1, 2).reshape(len(points), 2, -1), axis=-1) / (2 * half)).max(axis=1)
    np.testing.assert_allclose(tight[crop[good] < 1], 1, rtol=1e-9)


def test_the_first_frame_is_the_crop():
    scale, views = place_crop(compose(steps_of(5, 30)), aspect=1.5)
    assert 0.5 < scale < 1
    np.testing.assert_allclose(views[0], [[scale, 0, views[0, 0, 2]], [0, scale, views[0, 1, 2]], [0, 0, 1]])


def test_steps_are_those_of_the_frames_that_are_seen():
    """The motion is normalised to the crop: seen from one frame to the next, a clip moves by its steps."""
    steps = steps_of(6, 10)
    _, views = place_crop(compose(steps), aspect=1.5)
    np.testing.assert_allclose(to_parameters(np.linalg.inv(views[1:]) @ views[:-1]), steps, atol=1e-9)


def test_standing_still_takes_the_whole_image():
    scale, views = place_crop(compose(np.tile(STILL, (3, 1))), aspect=0.7)
    assert scale == 1
    np.testing.assert_array_equal(views, np.tile(np.eye(3), (4, 1, 1)))


@pytest.mark.parametrize(
    "step",
    [
        STILL * [-1, 1, 1, 1, 1, 1, 1, 1],  # mirrored
        np.add(STILL, [0, 0, 0, 0, 0, 0, 1.5, 0]),  # the horizon runs through the frame
        np.zeros(8),
        np.full(8, 1e200),
        np.full(8, np.nan),
    ],
)
def test_a_motion_that_folds_over_has_no_crop(step):
    scale, _ = place_crop(compose(np.tile(step, (4, 1))), aspect=4 / 3)
    assert scale == 0
