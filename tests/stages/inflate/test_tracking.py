"""Tracked motion against rendered motion."""

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from omnicli.media.frames import FramesSource
from omnicli.media.source import open_media
from omnicli.stages.inflate.tracking import CUT, FLAT, LOOSE, NO_FIT, dilution, find_homography, track_motion
from omnicli.streams.record import Record

UNTRIMMED = Path(__file__).resolve().parents[4] / "shared" / "data" / "actions6" / "web" / "untrimmed"
HEIGHT, WIDTH = 180, 240
STILL = np.array([1.0, 0, 0, 0, 1, 0, 0, 0])
SPREAD = np.array([0.01, 0.01, 0.03, 0.008, 0.01, 0.03, 0.01, 0.01])  # well above tracking noise
TO_NORMAL = np.array([[2 / HEIGHT, 0, (1 - WIDTH) / HEIGHT], [0, 2 / HEIGHT, (1 - HEIGHT) / HEIGHT], [0, 0, 1]])


def texture(seed, height=HEIGHT, width=WIDTH):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def moved(canvas, homography):
    """The frame in the middle of a larger canvas, and the same after a step of the camera."""
    top, left = (canvas.shape[0] - HEIGHT) // 2, (canvas.shape[1] - WIDTH) // 2
    shift = np.array([[1.0, 0, left], [0, 1, top], [0, 0, 1]])
    inside = np.linalg.inv(TO_NORMAL) @ np.linalg.inv(homography) @ TO_NORMAL
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(canvas, shift @ inside, (WIDTH, HEIGHT), flags=flags)


def matrix_of(parameters):
    return np.append(parameters, 1.0).reshape(3, 3)


@pytest.fixture(scope="module")
def pairs():
    """(steps (P, 8), pairs of frames) with a step between the two."""
    steps = STILL + SPREAD * np.random.default_rng(0).standard_normal((80, 8))
    canvases = [texture(seed, 2 * HEIGHT, 2 * WIDTH) for seed in range(80)]
    return steps, [
        (moved(canvas, np.eye(3)), moved(canvas, matrix_of(step))) for canvas, step in zip(canvases, steps, strict=True)
    ]


def test_a_step_comes_back(pairs):
    """Exact to a fifth of a pixel at the corners of the frame."""
    steps, frames = pairs
    corners = np.array([[-4 / 3, 4 / 3, -4 / 3, 4 / 3], [-1, -1, 1, 1], [1, 1, 1, 1]])
    for step, (before, after) in zip(steps, frames, strict=True):
        found = find_homography(before, after)
        assert isinstance(found, np.ndarray) and found[2, 2] == 1
        ours, theirs = found @ corners, matrix_of(step) @ corners
        assert np.abs(ours[:2] / ours[2] - theirs[:2] / theirs[2]).max() * HEIGHT / 2 < 0.35


def test_the_eigenvalues_of_the_covariance_come_back_within_a_quarter(pairs):
    steps, frames = pairs
    found = np.array([find_homography(*pair).ravel()[:8] for pair in frames])
    ours, theirs = (np.linalg.eigvalsh(np.cov(some.T, bias=True)) for some in (found, steps))
    assert (np.abs(ours / theirs - 1) < 0.25).all()


def test_a_cut_is_no_motion():
    assert find_homography(texture(0), texture(1)) == CUT


def test_a_frame_without_texture_shows_no_motion():
    assert find_homography(np.full((HEIGHT, WIDTH), 90, np.uint8), texture(0)) == FLAT


def test_a_scene_whose_parts_move_apart_has_no_common_motion():
    """Six bands that go three ways: none has half of the corners."""
    canvas = texture(0, 2 * HEIGHT, 2 * WIDTH)
    before, after = moved(canvas, np.eye(3)), np.empty((HEIGHT, WIDTH), np.uint8)
    for band, shift in enumerate((0.0, 0.08, -0.08, 0.0, 0.08, -0.08)):
        rows = slice(band * HEIGHT // 6, (band + 1) * HEIGHT // 6)
        after[rows] = moved(canvas, matrix_of(np.add(STILL, [0, 0, shift, 0, 0, 0, 0, 0])))[rows]
    assert isinstance(find_homography(before, after), str)


@pytest.mark.parametrize(
    ("places", "size"), [([(20, 20)], 60), ([(2, 2), (HEIGHT - 46, WIDTH - 50)], 44)], ids=["one", "on a diagonal"]
)
def test_a_motion_seen_in_one_place_or_on_a_line_says_nothing_of_the_rest(places, size):
    before, after = np.full((2, HEIGHT, WIDTH), 90, np.uint8)
    for seed, (top, left) in enumerate(places):
        patch, rows = texture(seed, size, size), slice(top, top + size)
        before[rows, left : left + size], after[rows, left + 2 : left + 2 + size] = patch, patch
    assert find_homography(before, after) == LOOSE


def test_a_crowd_does_not_outvote_the_rest_of_the_image():
    """Most corners are in the stands and go one way; the players, who are all over the floor, go others."""
    spots = np.zeros((2 * HEIGHT, 2 * WIDTH), np.uint8)
    spots[10::24, 10::24] = 255
    stands, floor = texture(0, 2 * HEIGHT, 2 * WIDTH), cv2.GaussianBlur(spots, (0, 0), 2) * 6 + 60
    pan, up, down = (
        matrix_of(np.add(STILL, [0, 0, x, 0, 0, y, 0, 0])) for x, y in ((0.04, 0), (0.01, 0.05), (-0.02, -0.05))
    )
    before, after, together = moved(floor, np.eye(3)), moved(floor, up), moved(floor, pan)
    after[:, WIDTH // 2 :] = moved(floor, down)[:, WIDTH // 2 :]
    for frame, motion in ((before, np.eye(3)), (after, pan), (together, pan)):
        frame[: HEIGHT // 4] = moved(stands, motion)[: HEIGHT // 4]
    assert find_homography(before, after) == NO_FIT
    np.testing.assert_allclose(find_homography(before, together).ravel()[:8], pan.ravel()[:8], atol=3e-3)


@pytest.mark.parametrize("scale", [0.0, 0.3, 2.5])
def test_large_motions_pass_as_small_ones_do(scale):
    """Or the covariance would be that of what passes."""
    steps = STILL + scale * SPREAD * np.random.default_rng(1).standard_normal((8, 8))
    for seed, step in enumerate(steps):
        canvas = texture(seed, 2 * HEIGHT, 2 * WIDTH)
        assert isinstance(find_homography(moved(canvas, np.eye(3)), moved(canvas, matrix_of(step))), np.ndarray)


@pytest.mark.parametrize(("num_points", "height"), [(120, 1.0), (14, 1.0), (40, 0.2)])
def test_dilution_is_how_far_fits_of_noisy_points_are_off(num_points, height):
    """Least squares over and over, at the place that is known least."""
    rng = np.random.default_rng(num_points)
    points = rng.uniform(-1, 1, (num_points, 2)) * [0.8, 0.8 * height] + [0.5, 0.2]  # more of them right and down
    places = np.array([[-4 / 3, -1], [4 / 3, -1], [-4 / 3, 1], [4 / 3, 1]])
    step, noise = matrix_of(STILL + SPREAD), 1e-4

    def through(homography, some):
        return cv2.perspectiveTransform(some[None], homography)[0]

    fits = [
        cv2.findHomography(points, through(step, points) + noise * rng.standard_normal((num_points, 2)), 0)[0]
        for _ in range(400)
    ]
    off = np.array([through(fit, places) - through(step, places) for fit in fits])  # (400, 4, 2)
    root_mean_square = np.sqrt((off**2).sum(axis=-1).mean(axis=0)).max() / noise
    assert dilution(step, points, places) == pytest.approx(root_mean_square, rel=0.15)


def test_points_that_leave_the_fit_open_dilute_without_bound():
    line = np.linspace(-1, 1, 50)
    places = np.array([[1.0, 1.0]])
    assert dilution(np.eye(3), np.column_stack([line, line]), places) == np.inf
    assert dilution(np.eye(3), np.array([[-1.0, -1], [1, 1], [-1, 1]]), places) == np.inf


def test_what_moves_inside_the_scene_is_outvoted():
    canvas = texture(0, 2 * HEIGHT, 2 * WIDTH)
    step = np.add(STILL, [0, 0, 0.03, 0, 0, -0.02, 0, 0])
    before, after = moved(canvas, np.eye(3)), moved(canvas, matrix_of(step))
    somebody = texture(5, 70, 70)
    before[60:130, 60:130], after[60:130, 66:136] = somebody, somebody
    np.testing.assert_allclose(find_homography(before, after).ravel()[:8], step, atol=2e-3)


def film_of(folder, frames):
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{number:03d}.png"), frame)
    return FramesSource([str(path) for path in sorted(folder.glob("*.png"))], fps=25)


def test_a_film_is_tracked_pair_by_pair_and_its_cuts_are_left_out(tmp_path):
    canvases = [texture(0, 2 * HEIGHT, 2 * WIDTH), texture(1, 2 * HEIGHT, 2 * WIDTH)]
    pan = [matrix_of(np.add(STILL, [0, 0, 0.01 * number, 0, 0, 0, 0, 0])) for number in range(20)]
    num_frames = 2 * len(pan)
    source = film_of(tmp_path, [moved(canvas, step) for canvas in canvases for step in pan])
    found, left_out = track_motion(source, list(range(num_frames - 1)))
    assert dict(left_out) == {CUT: 1}
    expected = np.tile(matrix_of(np.add(STILL, [0, 0, 0.01, 0, 0, 0, 0, 0])), (num_frames - 2, 1, 1))
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.skipif(not UNTRIMMED.exists(), reason="needs ../shared/data/actions6")
@pytest.mark.slow
def test_every_cut_of_real_videos_is_left_out_and_no_frame_before_one_is_called_a_cut():
    """72 places where footage was joined to other footage."""
    at_cuts, before_cuts = Counter(), Counter()
    num_cuts = 0
    for line in (UNTRIMMED / "truth.jsonl").read_text().splitlines():
        truth = json.loads(line)
        with open_media(Record({"path": str(UNTRIMMED.parents[1] / truth["path"])})) as source:
            joins = np.searchsorted(source.times, np.ravel(truth["action_sec"]) - 1e-3)
            last_frames = np.unique(joins[(joins > 1) & (joins < source.num_frames)]) - 1
            num_cuts += len(last_frames)
            at_cuts += track_motion(source, last_frames.tolist())[1]
            before_cuts += track_motion(source, (last_frames - 1).tolist())[1]
    assert dict(at_cuts) == {CUT: num_cuts} and num_cuts == 72
    assert CUT not in before_cuts


def test_only_the_wanted_pairs_are_looked_at(tmp_path):
    canvas = texture(0, 2 * HEIGHT, 2 * WIDTH)
    at = [0, 0.01, 0.03, 0.06, 0.1]
    source = film_of(tmp_path, [moved(canvas, matrix_of(np.add(STILL, [0, 0, x, 0, 0, 0, 0, 0]))) for x in at])
    found, _ = track_motion(source, [0, 3])
    np.testing.assert_allclose(found[:, 0, 2], [0.01, 0.04], atol=1e-3)
    none, left_out = track_motion(source, [])
    assert none.shape == (0, 3, 3) and not left_out
