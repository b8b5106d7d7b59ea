"""Whitening: identity covariance without shrinkage, the same bits for every batch, and cosines that are exact."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.stages.dedup import whitening
from omnicli.stages.dedup.whitening import (
    GRID,
    Whitening,
    cosines,
    cosines_of_pairs,
    fit_whitening,
    mean_pair_cosine,
    on_grid,
)


def features(num_frames, width=64, seed=0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(width, width)) * np.geomspace(1, 0.05, width)
    return np.maximum(rng.normal(size=(num_frames, width)) @ mixing + 1, 0).astype(np.float16)


def test_without_shrinkage_the_covariance_is_the_identity(monkeypatch):
    monkeypatch.setattr(whitening, "SHRINKAGE", 0.0)
    sample = features(2000)
    fitted = fit_whitening(sample, num_dims=40)
    whitened = fitted._whiten(sample.astype(np.float64))
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), np.eye(40), atol=1e-4)
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=1e-4)


def test_shrinkage_damps_what_hardly_varies():
    sample = features(2000)
    variances = fit_whitening(sample, num_dims=40)._whiten(sample.astype(np.float64)).var(axis=0)
    assert variances[-1] < 0.5 < 1 < variances[0] < 1 / (1 - whitening.SHRINKAGE)


def test_whitening_is_what_floats_would_give():
    sample = features(300)
    fitted = fit_whitening(sample, num_dims=40)
    plain = sample.astype(np.float64) @ (fitted.matrix * fitted.scales) - fitted.offset
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.unit_vectors(sample), plain, atol=2e-5)


@given(st.lists(st.integers(0, 199), min_size=1, max_size=50), st.integers(1, 30))
def test_a_row_depends_on_nothing_but_itself(chosen, chunk):
    """Bit for bit: not on its neighbours, their number, or its place among them."""
    sample = features(200, width=100)
    fitted = fit_whitening(sample, num_dims=48)
    whole = fitted.unit_vectors(sample)
    parts = [fitted.unit_vectors(sample[chosen[i : i + chunk]]) for i in range(0, len(chosen), chunk)]
    assert np.concatenate(parts).tobytes() == whole[chosen].tobytes()


def test_no_product_is_ever_rounded(monkeypatch):
    """The whole numbers that are multiplied stay below 2^53 even in the worst case."""
    width = 1280
    sample = features(80, width=width)
    sample[0] = 65504  # the largest float16
    fitted = fit_whitening(sample, num_dims=64)
    assert (fitted.matrix == np.rint(fitted.matrix)).all()
    assert 2**whitening.FEATURE_BITS * np.abs(fitted.matrix).sum(axis=0).max() < 2**53


def test_the_product_is_that_of_whole_numbers():
    sample = features(300, width=100)
    fitted = fit_whitening(sample, num_dims=48)
    plain = replace(fitted, scales=np.ones(48), offset=np.zeros(48))._whiten(sample.astype(np.float64))
    units = np.exp2(np.floor(np.log2(sample.max(axis=1, keepdims=True).astype(float))) + 1 - whitening.FEATURE_BITS)
    whole = np.rint(sample / units).astype(np.int64) @ fitted.matrix.astype(np.int64)
    assert (plain == whole * units).all()


@pytest.mark.parametrize("num_frames", [1, 2, 20])
def test_few_frames_are_not_whitened(num_frames):
    fitted = fit_whitening(features(num_frames), num_dims=256)
    assert fitted.matrix is None
    assert fitted.num_dims == 64


def test_dimensions_end_at_the_rank():
    assert fit_whitening(features(50, width=100), num_dims=256).num_dims == 49
    flat = features(500)
    flat[:, 40:] = flat[:, :24]
    assert fit_whitening(flat, num_dims=256).num_dims == 40
    same = np.repeat(features(1), 500, axis=0)
    assert fit_whitening(same, num_dims=256).matrix is None


vectors = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(size=(3, 17)))


@given(vectors, st.sampled_from([1e-30, 1.0, 1e30]))
def test_unit_vectors_lie_on_the_grid_whatever_their_length(rows, scale):
    units = on_grid(rows * scale)
    assert (units / GRID == np.rint(units / GRID)).all()
    np.testing.assert_allclose((units.astype(np.float64) ** 2).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(units, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-7)


@given(vectors, vectors)
def test_a_dot_product_is_exact(first, second):
    """Rational arithmetic gives the same numerator, to the last bit."""
    first, second = on_grid(first), on_grid(second)
    exact = [
        [sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(u, v, strict=True)) for v in second] for u in first
    ]
    products = first.astype(np.float64) @ second.astype(np.float64).T
    assert [[Fraction(value) for value in row] for row in products.tolist()] == exact


@given(vectors, vectors)
def test_cosines_are_cosines(first, second):
    lengths = np.linalg.norm(first, axis=1)[:, None] * np.linalg.norm(second, axis=1)
    np.testing.assert_allclose(cosines(on_grid(first), on_grid(second)), first @ second.T / lengths, atol=2e-6)


@given(vectors)
def test_pairs_have_the_cosines_of_the_matrix(rows):
    units = on_grid(np.concatenate([rows, rows[:1], rows[:1] * 0]))
    first, second = np.divmod(np.arange(25), 5)
    assert cosines_of_pairs(units[first], units[second]).tolist() == cosines(units, units).reshape(-1).tolist()


@given(vectors)
def test_an_exact_copy_has_cosine_1(rows):
    assert (np.diag(cosines(on_grid(rows), on_grid(rows.copy()))) == 1.0).all()


def test_nothing_resembles_only_nothing():
    rows = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert cosines(on_grid(rows), on_grid(rows)).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_pairs_of_a_group_are_averaged():
    units = on_grid(np.array([[1.0, 0], [0, 1], [1, 1]]))[None]
    assert mean_pair_cosine(units)[0] == pytest.approx((0 + 2 * 0.707107) / 3, abs=1e-6)


def test_no_features_no_vectors():
    assert Whitening(num_dims=8).unit_vectors(np.empty((0, 0), np.float16)).shape == (0, 8)
