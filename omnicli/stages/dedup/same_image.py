"""Whether one image is a copy of another: local features that agree on one transformation (Ours).

A feature of a whole frame says that two frames are similar: two balls, two rackets, one hall. A copy is more: what
stands somewhere in one image stands in the other at the place that one rotation, scale and shift gives. So SIFT
keypoints of both are matched, a similarity transformation is fitted by RANSAC, and the second image is laid over the
first with it. Those that fit are the inliers; the correlation of brightness where both overlap separates a copy from
two images that share only a logo. A mirrored copy is found by a second try.
"""

from typing import NamedTuple

import cv2
import numpy as np

NUM_PIXELS = 340 * 256  # of both images, whatever their shape
MAX_KEYPOINTS = 500
MIN_CONTRAST = 0.02  # of a SIFT keypoint; half of OpenCV's, for frames of compressed videos are soft
RATIO = 0.8  # of the distances to the best and the second-best match, at most (Lowe)
MAX_ERROR = 4.0  # pixels between a keypoint and where the transformation puts it
MIN_INLIERS, MIN_CORRELATION = 10, 0.5  # in actions6 99 % of copies have both, and 0 of 248 similar pairs
MIN_OVERLAP = 0.1  # of the first image; a correlation over less means nothing
MIN_MATCHES = 4  # two fix the transformation, and two more have to agree


class Agreement(NamedTuple):
    """How much two images agree.

    Attributes:
        inliers: matched keypoints at one place after the transformation.
        correlation: of brightness where the images overlap then, in [-1, 1]; 0 without a transformation.
    """

    inliers: int
    correlation: float

    @property
    def is_verified(self) -> bool:
        """True if one image is hardly anything but a copy of the other."""
        return self.inliers >= MIN_INLIERS and self.correlation >= MIN_CORRELATION


NOTHING = Agreement(0, 0.0)


def compare_images(first: np.ndarray, second: np.ndarray) -> Agreement:
    """How much two images (H, W, 3) uint8 RGB of any size agree, as they are or one of them mirrored."""
    grey, other = _grey(first), _grey(second)
    straight = _agreement(grey, other)
    if straight.is_verified:
        return straight
    mirrored = _agreement(np.ascontiguousarray(grey[:, ::-1]), other)
    return max(straight, mirrored, key=lambda found: (found.is_verified, found))


def _grey(image: np.ndarray) -> np.ndarray:
    """(H', W') uint8 with about ``NUM_PIXELS``."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    scale = float(np.sqrt(NUM_PIXELS / grey.size))
    size = (max(round(grey.shape[1] * scale), 1), max(round(grey.shape[0] * scale), 1))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _agreement(first: np.ndarray, second: np.ndarray) -> Agreement:
    (points, descriptors), (others, other_descriptors) = _keypoints(first), _keypoints(second)
    if min(len(points), len(others)) < MIN_MATCHES:
        return NOTHING
    matched, partners = _matches(descriptors, other_descriptors)
    if len(matched) < MIN_MATCHES:
        return NOTHING
    transform, is_inlier = cv2.estimateAffinePartial2D(
        others[partners], points[matched], method=cv2.RANSAC, ransacReprojThreshold=MAX_ERROR
    )
    if transform is None:
        return NOTHING
    return Agreement(int(is_inlier.sum()), _correlation(first, second, transform))


def _keypoints(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 2) and descriptors (N, 128), both float32; descriptors are unit vectors.

    Their square roots after division by the sum compare better than the descriptors (Arandjelović and Zisserman).
    """
    sift = cv2.SIFT.create(nfeatures=MAX_KEYPOINTS, contrastThreshold=MIN_CONTRAST)
    found, descriptors = sift.detectAndCompute(image, None)
    if descriptors is None:
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.float32)
    sums = np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9)
    return np.array([point.pt for point in found], np.float32), np.sqrt(descriptors / sums)


def _matches(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows (M,) of both that are each other's best match, and clearly better than the second best."""
    distances = 2 - 2 * first @ second.T  # (N, K), squared
    nearest = distances.argmin(axis=1)
    two = np.partition(distances, 1, axis=1)[:, :2]
    is_clear = two[:, 0] < RATIO**2 * two[:, 1]
    is_mutual = distances.argmin(axis=0)[nearest] == np.arange(len(first))
    matched = np.flatnonzero(is_clear & is_mutual)
    return matched, nearest[matched]


def _correlation(first: np.ndarray, second: np.ndarray, transform: np.ndarray) -> float:
    """Of the brightness of ``first`` and of ``second`` laid over it by ``transform`` (2, 3), where they overlap."""
    size = (first.shape[1], first.shape[0])
    laid = cv2.warpAffine(second, transform, size)
    is_both = cv2.warpAffine(np.full_like(second, 255), transform, size) == 255
    if is_both.mean() < MIN_OVERLAP:
        return 0.0
    ours, theirs = first[is_both].astype(np.float64), laid[is_both].astype(np.float64)
    ours, theirs = ours - ours.mean(), theirs - theirs.mean()
    scale = np.sqrt((ours @ ours) * (theirs @ theirs))
    return float(ours @ theirs / scale) if scale > 0 else 0.0
