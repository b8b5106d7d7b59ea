"""Camera motion between consecutive frames of a video, as homographies (OmniSource Sec. 3.5).

The paper does not say how. Ours: corners are tracked to the next frame and back; those that return to where they came
from vote for one homography (MAGSAC). The vote fails rather than guesses: people move too, and a homography that holds
for a few corners in one region says nothing about the rest of the frame. So it must hold for half of the corners, and
for half on average over all regions that have any: many corners on moving people must not outvote the background. The
agreeing corners must be so many, and lie so, that they determine where the corners of the frame went.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import cv2
import numpy as np

from omnicli.media.codecs import quiet_codecs
from omnicli.media.source import MediaSource

SHORT_SIDE = 256  # pixels of the frames that are tracked, at most
MAX_CORNERS, CORNER_QUALITY, CORNER_DISTANCE = 400, 0.01, 8.0
MIN_CORNERS = 20
RETURN_WITHIN = 0.5  # pixels between a corner and where tracking forward and back ends
MIN_RETURNED = 0.3  # share of the corners; fewer come back across a cut
INLIER_WITHIN = 1.0  # pixels
MIN_INLIERS = 0.5  # share of the corners that came back, and of each part of the frame, on average over the parts
PARTS = 4  # of the frame, across and down
MAX_DILUTION = 2.0  # see ``dilution``; corners all over the frame have 0.3
MIN_SPREAD = 0.25  # standard deviation of agreeing corners along each axis; evenly spread ones have 0.58
MAX_MOVE = 1.0  # half a short side, by a corner of the frame: no camera turns so fast between two frames

FLAT, CUT, NO_FIT, LOOSE = "no texture", "shot cut", "no common motion", "corners too few or too close"
MISSING = "a frame does not decode"

quiet_codecs()


def track_motion(source: MediaSource, first_frames: Sequence[int]) -> tuple[np.ndarray, Counter[str]]:
    """How the camera moved from each of ``first_frames`` to the frame after it.

    Args:
        source: an open video; two small frames are held in memory.
        first_frames: ascending, in [0, num_frames - 1).

    Returns:
        homographies: (P, 3, 3) float64 from points of a frame to points of the next, h33 = 1, in coordinates whose
            short side is [-1, 1] and whose centre is 0; P is at most ``len(first_frames)``.
        left_out: how many pairs of frames have none, by why: "no texture", "shot cut", "no common motion", "corners too
            few or too close", "a frame does not decode".

    Raises:
        MediaError: a frame does not decode; of a video, too many of them.
    """
    wanted = set(first_frames)
    found, left_out = [], Counter[str]()
    num_tried = 0
    frames = _grey_frames(source, sorted(wanted | {i + 1 for i in wanted}))
    for (index, before), (following, after) in pairwise(frames):
        if index not in wanted or following != index + 1:
            continue
        num_tried += 1
        homography = find_homography(before, after)
        if isinstance(homography, str):
            left_out[homography] += 1
        else:
            found.append(homography)
    if num_tried < len(wanted):
        left_out[MISSING] = len(wanted) - num_tried
    return np.array(found).reshape(-1, 3, 3), left_out


def find_homography(before: np.ndarray, after: np.ndarray) -> np.ndarray | str:
    """The homography most corners of ``before`` follow to ``after``, or why there is none.

    Args:
        before: (H, W) uint8.
        after: (H, W) uint8.

    Returns:
        (3, 3) float64 in normalised coordinates, h33 = 1; or one of ``FLAT``, ``CUT``, ``NO_FIT``, ``LOOSE``.
    """
    corners = cv2.goodFeaturesToTrack(before, MAX_CORNERS, CORNER_QUALITY, CORNER_DISTANCE)
    if corners is None or len(corners) < MIN_CORNERS:
        return FLAT
    start, end = _tracked(before, after, corners)  # (P, 2) pixels
    if len(start) < max(MIN_CORNERS, MIN_RETURNED * len(corners)):
        return CUT
    pixels, mask = cv2.findHomography(start, end, cv2.USAC_MAGSAC, INLIER_WITHIN, maxIters=2000, confidence=0.999)
    if pixels is None:
        return NO_FIT
    agrees = mask[:, 0] > 0  # (P,)
    if min(agrees.mean(), _share_of_parts(start, agrees, before.shape)) < MIN_INLIERS:
        return NO_FIT
    to_normal = _normalising(*before.shape)
    unscaled = to_normal @ pixels @ np.linalg.inv(to_normal)
    if not _is_camera(unscaled, before):
        return NO_FIT
    homography: np.ndarray = unscaled / unscaled[2, 2]
    voters = start[agrees] @ to_normal[:2, :2].T + to_normal[:2, 2]
    if voters.std(axis=0).min() < MIN_SPREAD or dilution(homography, voters, _corners_of(before)) > MAX_DILUTION:
        return LOOSE
    return homography


def dilution(homography: np.ndarray, points: np.ndarray, positions: np.ndarray) -> float:
    """How uncertain a fitted homography is at the worst of some positions.

    If every coordinate of every point has an independent error of standard deviation one, this is the root mean square
    error of the homography at that position, by propagation through least squares. It depends on the number and layout
    of the points, hardly on the motion.

    Args:
        homography: (3, 3), h33 = 1.
        points: (P, 2) that it was fitted to.
        positions: (Q, 2) to measure the error at.

    Returns:
        At least 0; infinite if the points do not determine a homography: fewer than four, or all on a line.
    """
    known, asked = (_slopes(homography, some) for some in (points, positions))  # (P, 2, 8), (Q, 2, 8)
    rows = known.reshape(-1, 8)
    if np.linalg.matrix_rank(rows) < 8:
        return float("inf")
    uncertainty = np.linalg.inv(rows.T @ rows)  # (8, 8)
    return float(np.sqrt(np.einsum("qij,jk,qik->q", asked, uncertainty, asked).max()))


def _grey_frames(source: MediaSource, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """(index, (H, W) uint8) of the wanted frames that decode."""
    short_side = min(SHORT_SIDE, source.height, source.width)
    for index, frame in source.walk(indices, short_side=short_side):
        yield index, cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def _tracked(before: np.ndarray, after: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, 2) corners that tracking back leads home again, and where they went."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, np.zeros_like(corners))
    home, found_again, _ = cv2.calcOpticalFlowPyrLK(after, before, there, np.zeros_like(corners))
    astray = np.linalg.norm(home - corners, axis=-1)[:, 0]
    good = (found[:, 0] == 1) & (found_again[:, 0] == 1) & (astray < RETURN_WITHIN)
    return corners[good, 0], there[good, 0]


def _normalising(height: int, width: int) -> np.ndarray:
    """(3, 3) from pixels, whose centres are whole numbers, to coordinates whose short side is [-1, 1]."""
    half = min(height, width) / 2
    return np.array([[1 / half, 0, (0.5 - width / 2) / half], [0, 1 / half, (0.5 - height / 2) / half], [0, 0, 1]])


def _share_of_parts(start: np.ndarray, agrees: np.ndarray, shape: tuple[int, ...]) -> float:
    """The share of corners that agree, in [0, 1]: of each part of the frame that has any, averaged over the parts."""
    height, width = shape
    across, down = np.minimum(start * PARTS / [width, height], PARTS - 1).astype(int).T
    part = np.maximum(across, 0) + PARTS * np.maximum(down, 0)
    found, agreed = np.bincount(part), np.bincount(part, weights=agrees)
    return float((agreed[found > 0] / found[found > 0]).mean())


def _slopes(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(P, 2, 8): how the image of each point changes with each of the eight parameters."""
    line = np.column_stack([points, np.ones(len(points))])  # (P, 3)
    moved = line @ homography.T
    x, y = (moved[:, :2] / moved[:, 2:]).T
    nothing = np.zeros_like(line)
    rows = [
        np.column_stack([line, nothing, -x[:, None] * points]),
        np.column_stack([nothing, line, -y[:, None] * points]),
    ]
    slopes: np.ndarray = np.stack(rows, axis=1) / moved[:, 2:, None]
    return slopes


def _corners_of(frame: np.ndarray) -> np.ndarray:
    """(4, 2) of the frame, in normalised coordinates."""
    height, width = frame.shape
    across, down = width / min(height, width), height / min(height, width)
    return np.array([[-across, -down], [across, -down], [-across, down], [across, down]])


def _is_camera(homography: np.ndarray, frame: np.ndarray) -> bool:
    """Whether the corners of the frame stay in front of the camera, the same way round, and near where they were."""
    if not np.isfinite(homography).all() or not homography[2, 2] > 0 or not np.linalg.det(homography) > 0:
        return False
    corners = np.append(_corners_of(frame).T, np.ones((1, 4)), axis=0)  # (3, 4)
    moved = homography @ corners
    if not (moved[2] > 0).all():
        return False
    return bool(np.abs(moved[:2] / moved[2] - corners[:2]).max() <= MAX_MOVE)
