"""Homographies of camera motion: parameters, the Gaussian over them, the crop of a clip (OmniSource Sec. 3.5, Eq. 2).

A step H maps points of one frame to the next frame. Coordinates do not depend on the resolution: the short side of the
frame is [-1, 1], the centre is 0, y points down. With h33 = 1 a step has eight parameters, row by row:
h11, h12, h13, h21, h22, h23, h31, h32; no motion is (1, 0, 0, 0, 1, 0, 0, 0).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

PARAMETERS = ("h11", "h12", "h13", "h21", "h22", "h23", "h31", "h32")
NUM_PARAMETERS = len(PARAMETERS)
STILL = np.array([1.0, 0, 0, 0, 1, 0, 0, 0])
TRANSLATION = [2, 5]  # h13 and h23: to the right and down

_IDENTITY = np.eye(3)
_CORNERS = np.array([[-1.0, 1, -1, 1], [-1, -1, 1, 1], [1, 1, 1, 1]])


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(μ, Σ) of OmniSource Sec. 3.5.

    Attributes:
        mean: (D,) float64.
        covariance: (D, D) float64, symmetric, positive semi-definite.
    """

    mean: np.ndarray
    covariance: np.ndarray

    def part(self, indices: list[int]) -> "Gaussian":
        """The marginal distribution of some of the parameters."""
        return Gaussian(self.mean[indices], self.covariance[np.ix_(indices, indices)])

    def draw(self, num_draws: int, rng: np.random.Generator) -> np.ndarray:
        """(num_draws, D) independent draws; a smaller number gives the first of a larger one."""
        normal = rng.standard_normal((num_draws, len(self.mean)))
        # Not a matrix product, because its last bit depends on the number of rows.
        drawn: np.ndarray = self.mean + (normal[:, :, None] * self._root).sum(axis=1)
        return drawn

    @cached_property
    def _root(self) -> np.ndarray:
        """Ours: the symmetric root of Σ. It is unique, so draws do not depend on the linear algebra library."""
        values, vectors = np.linalg.eigh(self.covariance)
        root: np.ndarray = (vectors * np.sqrt(values.clip(0))) @ vectors.T  # rounding makes some slightly negative
        return root


class MomentSums:
    """Sums that determine the maximum-likelihood Gaussian of any number of steps.

    Attributes:
        num_steps: steps added.
    """

    def __init__(self) -> None:
        self.num_steps = 0
        self._sum = np.zeros(NUM_PARAMETERS)
        self._products = np.zeros((NUM_PARAMETERS, NUM_PARAMETERS))

    def add(self, parameters: np.ndarray) -> Self:
        """Add (P, 8) parameters; P may be 0."""
        # Relative to no motion, near which all steps lie: squares of small numbers keep enough digits.
        deviations = parameters - STILL
        self.num_steps += len(deviations)
        self._sum += deviations.sum(axis=0)
        self._products += deviations.T @ deviations
        return self

    def gaussian(self) -> Gaussian:
        """Estimate μ = Σh/n, Σ = Σ(h - μ)(h - μ)ᵀ/n (OmniSource Sec. 3.5). Raises ValueError without a step."""
        if not self.num_steps:
            raise ValueError("no step to estimate motion from")
        mean = self._sum / self.num_steps
        return Gaussian(STILL + mean, self._products / self.num_steps - np.outer(mean, mean))


def to_matrices(parameters: np.ndarray) -> np.ndarray:
    """(..., 8) parameters as (..., 3, 3) matrices with h33 = 1."""
    matrices = np.ones((*parameters.shape[:-1], 9))
    matrices[..., :8] = parameters
    return matrices.reshape(*parameters.shape[:-1], 3, 3)


def to_parameters(matrices: np.ndarray) -> np.ndarray:
    """(..., 3, 3) matrices of any scale as (..., 8) parameters."""
    flat = matrices.reshape(*matrices.shape[:-2], 9)
    parameters: np.ndarray = flat[..., :8] / flat[..., 8:]
    return parameters


def compose(steps: np.ndarray, *, frame_interval: int = 1) -> np.ndarray:
    """Maps from the first frame to each shown frame: I, H_k ∘ … ∘ H_1, H_2k ∘ … ∘ H_1, … (OmniSource Eq. 2).

    Paper: "starting from J_1 = I", so N frames are N - 1 steps apart.

    Args:
        steps: (..., (T - 1)·k, 8) parameters of H_1, H_2, …, one from each source frame to the next.
        frame_interval: k, source frames from one shown frame to the next.

    Returns:
        (..., T, 3, 3) float64; the first is the identity.
    """
    jumps = to_matrices(steps).reshape(*steps.shape[:-2], -1, frame_interval, 3, 3)
    with np.errstate(all="ignore"):  # extreme draws overflow; ``place_crop`` refuses them
        while (count := jumps.shape[-3]) > 1:  # pairwise: H_2∘H_1, H_4∘H_3, …
            pairs = jumps[..., 1::2, :, :] @ jumps[..., : count - 1 : 2, :, :]
            jumps = np.concatenate([pairs, jumps[..., -1:, :, :]], axis=-3) if count % 2 else pairs
        path = np.empty((*jumps.shape[:-4], jumps.shape[-4] + 1, 3, 3))
        path[..., 0, :, :] = _IDENTITY
        for shown in range(jumps.shape[-4]):
            path[..., shown + 1, :, :] = jumps[..., shown, 0, :, :] @ path[..., shown, :, :]
    return path


def place_crop(path: np.ndarray, *, aspect: float) -> tuple[np.ndarray, np.ndarray]:
    """The largest crop that shows no border in any frame of a clip, and the view of each frame on the image.

    Ours: the crop has the shape of the image and is J_1, the frame that the motion is normalised to, so a clip moves as
    the videos that the motion was fitted on. Frame i shows the points M_i⁻¹(frame) of the plane of J_1. Their extremes
    are the four corners if no corner is behind the camera, so the corners of all frames determine the largest crop. It
    stays as near to the centre as possible.

    Args:
        path: (..., T, 3, 3) from ``compose``.
        aspect: width / height of the image.

    Returns:
        scale: (...,) the crop's sides as a share of the image's, at most 1; 0 if a frame is mirrored or folds over.
        views: (..., T, 3, 3) from points of each frame to points of the image, in the coordinates of this module;
            undefined if the scale is 0.
    """
    half = np.array([max(aspect, 1.0), max(1 / aspect, 1.0)])  # of the image: its short side is [-1, 1]
    with np.errstate(all="ignore"):  # overflow and division by 0 fail the checks below
        determinant = np.linalg.det(path)  # (..., T)
        upright = (determinant > 0) & (determinant < np.inf)  # False for nan
        if not upright.all():
            path = np.where(upright[..., None, None], path, _IDENTITY)
        backwards = np.linalg.inv(path)
        seen = backwards @ (_CORNERS * [[half[0]], [half[1]], [1.0]])  # (..., T, 3, 4)
        depth = seen[..., 2:, :]
        good = (upright & (depth > 0).all((-1, -2))).all(-1)
        points = seen[..., :2, :] / depth
        low, high = points.min((-1, -3)), points.max((-1, -3))  # (..., 2)
        scale = (2 * half / (high - low)).min(-1)
        scale = np.where(good & (scale > 0), np.minimum(scale, 1.0), 0.0)
        sides = scale[..., None]
        crop_to_frame = np.zeros((*scale.shape, 1, 3, 3))
        crop_to_frame[..., 0, [0, 1], [0, 1]] = sides
        crop_to_frame[..., 0, :2, 2] = np.minimum(np.maximum(0.0, -half - sides * low), half - sides * high)
        crop_to_frame[..., 0, 2, 2] = 1
        return scale, crop_to_frame @ backwards
