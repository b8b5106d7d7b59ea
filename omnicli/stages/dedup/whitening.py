"""Whitening and cosine of frame features (OmniSource Sec. 3.3), bit for bit the same for any batch, order and device.

Whitening is fitted on target features: x → Wᵀ(x - μ), W = V (Λ̃)^(-1/2), V the leading eigenvectors of their covariance
and Λ̃ their eigenvalues after shrinkage; then x is scaled to length 1, so that a dot product is a cosine.

Matrix products of floats depend on the order they are summed in, and that on the shape of the batch. Here factors are
put on a grid so coarse that float64 holds every product and every sum of them exactly: where nothing is rounded, order
does not matter. The grids are far finer than the float16 that features are stored in.

Ours: PCA and its width, shrinkage, and no whitening at all where the target spans too few dimensions: in those, two
frames that have nothing in common are often close by chance.
"""

import math
from dataclasses import dataclass

import numpy as np

MIN_RANK = 32  # Ours: in 32 dimensions unrelated frames have cosines of 0 ± 0.18
SHRINKAGE = 0.5  # Ours: share of the mean eigenvalue in each; 0.2 to 1 find about the same copies in actions6
DECIMALS = 6  # cosines are rounded before any verdict, so that a written line decides as the run did
FEATURE_BITS = 21  # of a feature, of the largest of its frame
EXACT_BITS = 53  # what float64 holds
GRID = 2.0**-24  # of unit vectors: float32 holds them exactly, float64 their dot products
RANK_TOLERANCE = 1e-9  # of the largest eigenvalue and the squared length of the mean
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Whitening:
    """Features (F, D) → unit vectors (F, d).

    Attributes:
        num_dims: d.
        matrix: (D, d) float64, whole numbers; None: features are only scaled to length 1.
        scales: (d,) float64 powers of two: W = matrix · scales.
        offset: (d,) float64, Wᵀμ.
    """

    num_dims: int
    matrix: np.ndarray | None = None
    scales: np.ndarray | None = None
    offset: np.ndarray | None = None

    def unit_vectors(self, features: np.ndarray) -> np.ndarray:
        """Whitened features of length 1.

        Args:
            features: (F, D) float16.

        Returns:
            (F, d) float32, multiples of ``GRID``; a row is 0 where whitening leaves nothing.
        """
        parts = [
            on_grid(self._whiten(features[start : start + ROWS_AT_ONCE].astype(np.float64)))
            for start in range(0, len(features), ROWS_AT_ONCE)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.num_dims), np.float32)

    def _whiten(self, features: np.ndarray) -> np.ndarray:
        """(F, D) → (F, d) float64."""
        if self.matrix is None or self.scales is None:
            return features
        # |q| <= 2^21 and matrix entries below 2^(32 - log2 D): D products add up to less than 2^53.
        units = _powers_above(np.abs(features).max(axis=1, keepdims=True)) / 2**FEATURE_BITS  # (F, 1)
        exact = np.rint(features / units) @ self.matrix  # (F, d) whole numbers
        return exact * units * self.scales - self.offset  # type: ignore[no-any-return]


def fit_whitening(features: np.ndarray, *, num_dims: int) -> Whitening:
    """PCA whitening with shrinkage: Λ̃ = (1 - a) Λ + a mean(Λ) over the dimensions kept.

    Args:
        features: (F, D) float16, of target frames.
        num_dims: d at most; also at most the rank of the covariance.

    Returns:
        The whitening; without a matrix where the rank is below ``MIN_RANK``.
    """
    num_frames, width = features.shape
    wide = features.astype(np.float64)
    mean = wide.mean(axis=0)
    wide -= mean
    eigenvalues, vectors = np.linalg.eigh(wide.T @ wide / max(num_frames, 1))  # ascending
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    noise = RANK_TOLERANCE * (max(eigenvalues[0], 0.0) + mean @ mean)
    rank = min(int((eigenvalues > noise).sum()), max(num_frames - 1, 0))
    kept = min(num_dims, rank)
    if rank < MIN_RANK:
        return Whitening(num_dims=width)
    shrunk = (1 - SHRINKAGE) * eigenvalues[:kept] + SHRINKAGE * eigenvalues[:kept].mean()
    exact = vectors[:, :kept] / np.sqrt(shrunk)  # (D, d)
    bits = EXACT_BITS - FEATURE_BITS - math.ceil(math.log2(width))
    scales = _powers_above(np.abs(exact).max(axis=0)) / 2**bits  # (d,)
    matrix = np.rint(exact / scales)
    return Whitening(num_dims=kept, matrix=matrix, scales=scales, offset=(mean @ matrix) * scales)


def on_grid(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, each entry to the nearest multiple of ``GRID``; rows of zeros stay.

    Args:
        vectors: (F, d) float64.

    Returns:
        (F, d) float32.
    """
    peaks = _powers_above(np.abs(vectors).max(axis=1, keepdims=True, initial=0.0))  # so that squares do not underflow
    scaled = vectors / peaks
    lengths = np.sqrt(_row_sums(scaled * scaled))  # (F, 1)
    units = scaled / np.where(lengths > 0, lengths, 1.0)
    return (np.rint(units / GRID) * GRID).astype(np.float32)  # type: ignore[no-any-return]


def cosines(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Cosine of every pair, rounded to ``DECIMALS``.

    Entries are multiples of 2^-24 and lengths about 1, so every sum of products is a multiple of 2^-48 below 2: float64
    holds it exactly. Identical rows have cosine 1, also rows of zeros; zeros and anything else have 0.

    Args:
        queries: (Q, d) float32, from ``on_grid``.
        rows: (R, d) float32, from ``on_grid``.

    Returns:
        (Q, R) float64.
    """
    wide_queries, wide_rows = queries.astype(np.float64), rows.astype(np.float64)
    squares = (wide_queries**2).sum(axis=1)[:, None] * (wide_rows**2).sum(axis=1)  # of lengths: exact sums
    are_zero = np.logical_and.outer(~queries.any(axis=1), ~rows.any(axis=1))
    return _rounded(wide_queries @ wide_rows.T, squares, are_zero)


def cosines_of_pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The same numbers as ``cosines``, of row i of ``first`` (P, d) with row i of ``second`` (P, d) only; (P,)."""
    wide_first, wide_second = first.astype(np.float64), second.astype(np.float64)
    squares = (wide_first**2).sum(axis=1) * (wide_second**2).sum(axis=1)
    are_zero = np.logical_and(~first.any(axis=1), ~second.any(axis=1))
    return _rounded((wide_first * wide_second).sum(axis=1), squares, are_zero)


def _rounded(products: np.ndarray, squares: np.ndarray, are_zero: np.ndarray) -> np.ndarray:
    """Dot products over lengths; 1 where both rows are zeros, 0 where one is."""
    found = np.divide(products, np.sqrt(squares), out=are_zero.astype(np.float64), where=squares > 0)
    return np.asarray(np.round(found, DECIMALS))


def mean_pair_cosine(units: np.ndarray) -> np.ndarray:
    """Mean cosine over the pairs of each group.

    Args:
        units: (G, n, d) float32, n >= 2 unit vectors a group.

    Returns:
        (G,) float64.
    """
    first, second = np.triu_indices(units.shape[1], k=1)
    return np.array([cosines(group, group)[first, second].mean() for group in units])


def _row_sums(values: np.ndarray) -> np.ndarray:
    """(F, d) → (F, 1), added in an order that depends on d alone."""
    while values.shape[1] > 1:
        if values.shape[1] % 2:
            values = np.concatenate([values, np.zeros((len(values), 1))], axis=1)
        half = values.shape[1] // 2
        values = values[:, :half] + values[:, half:]
    return values


def _powers_above(values: np.ndarray) -> np.ndarray:
    """The power of two above each value (1 for 0)."""
    return np.asarray(np.ldexp(1.0, np.frexp(values)[1]))
