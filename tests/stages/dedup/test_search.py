"""The search finds what a loop over all pairs finds, in whatever precision and blocks it works."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from omnicli.stages.dedup import search
from omnicli.stages.dedup.search import FrameIndex, may_reach, screening_margin
from omnicli.stages.dedup.whitening import cosines, on_grid

PRECISIONS = [torch.float32, torch.bfloat16]


def unit_rows(num_rows, num_dims=24, seed=0):
    """Vectors among which some are equal, near, opposite or zero."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(num_rows, num_dims))
    for place in range(1, num_rows):
        kind = rng.integers(8)
        other = rows[rng.integers(place)]
        if kind == 0:
            rows[place] = other
        elif kind == 1:
            rows[place] = other + rng.normal(size=num_dims) * 1e-3
        elif kind == 2:
            rows[place] = -other
        elif kind == 3:
            rows[place] = 0
    return on_grid(rows)


def best_of_all(queries, rows, floor):
    """The obvious twin."""
    found = cosines(queries, rows)
    places = found.argmax(axis=1)
    best = found.max(axis=1)
    return np.where(best >= floor, best, -np.inf), np.where(best >= floor, places, -1)


def searched(queries, rows, floor, *, precision, block_rows, parts=1):
    index = FrameIndex(rows.shape[1], precision=precision, block_rows=block_rows)
    for part in np.array_split(rows, parts):
        index.append(part)
    assert len(index) == len(rows)
    return index.search(queries, floor)


@given(
    seed=st.integers(0, 1000), num_rows=st.integers(1, 60), num_queries=st.integers(0, 20),
    floor=st.sampled_from([-1.0, 0.0, 0.5, 0.999, 1.0]), precision=st.sampled_from(PRECISIONS),
    block_rows=st.integers(1, 70), parts=st.integers(1, 5), dense_from=st.sampled_from([0, 2, 1000]),
)  # fmt: skip
def test_neither_precision_nor_blocks_change_an_answer(
    seed, num_rows, num_queries, floor, precision, block_rows, parts, dense_from
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "DENSE_FROM", dense_from)
        _compare_with_a_loop(seed, num_rows, num_queries, floor, precision, block_rows, parts)


def _compare_with_a_loop(seed, num_rows, num_queries, floor, precision, block_rows, parts):
    rows = unit_rows(num_rows + num_queries, seed=seed)
    queries, rows = rows[:num_queries], rows[num_queries:]
    found = searched(queries, rows, floor, precision=precision, block_rows=block_rows, parts=parts)
    expected = best_of_all(queries, rows, floor)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_thousand_rows_in_a_hair_s_breadth_are_told_apart(precision, monkeypatch):
    """Far below what bfloat16 can see; asked for many at a time and a few at a time."""
    rng = np.random.default_rng(0)
    centre = rng.normal(size=32)
    rows = on_grid(centre + rng.normal(size=(1000, 32)) * 1e-4)
    queries = on_grid(centre + rng.normal(size=(40, 32)) * 1e-4)
    expected = best_of_all(queries, rows, -1.0)
    for at_once, dense_from in [(1 << 22, 16), (100, 16), (1 << 22, 0), (100, 0)]:  # 0: never all of them at once
        monkeypatch.setattr(search, "PAIRS_AT_ONCE", at_once)
        monkeypatch.setattr(search, "ROWS_AT_ONCE", at_once)
        monkeypatch.setattr(search, "DENSE_FROM", dense_from)
        found = searched(queries, rows, -1.0, precision=precision, block_rows=300)
        np.testing.assert_array_equal(found[1], expected[1])


def test_copies_whose_screened_cosine_is_too_low_are_found():
    """In bfloat16 a row times itself is often less than 1."""
    rows = on_grid(np.random.default_rng(0).normal(size=(500, 8)))
    halves = torch.from_numpy(rows).bfloat16()
    assert ((halves @ halves.T).diagonal() < 1).sum() > 20
    cosines, places = searched(rows, rows, 1.0, precision=torch.bfloat16, block_rows=200)
    assert (cosines == 1.0).all() and (places == np.arange(500)).all()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("num_dims", [8, 256, 2048])
def test_the_margin_holds(precision, num_dims):
    rng = np.random.default_rng(num_dims)
    rows = on_grid(rng.normal(size=(300, num_dims)))
    queries = np.concatenate([rows[:100], on_grid(np.abs(rng.normal(size=(100, num_dims))))])
    screened = (torch.from_numpy(queries).to(precision) @ torch.from_numpy(rows).to(precision).T).double().numpy()
    error = np.abs(screened - cosines(queries, rows)).max()
    assert error <= screening_margin(num_dims, precision)
    if precision == torch.bfloat16:
        assert error > screening_margin(num_dims, precision) / 50  # a bound that means something


@pytest.mark.parametrize("num_dims", [1, 4, 256])
def test_the_margin_covers_the_worst_rounding(num_dims):
    """Entries just above the middle between two bfloat16 numbers: all errors are as large as can be, and one way."""
    rows = np.full((1, num_dims), (1 + 2.0**-8 + 2.0**-16) / np.sqrt(num_dims), np.float32)  # rounds up to 1 + 2^-7
    screened = (torch.from_numpy(rows).bfloat16() @ torch.from_numpy(rows).bfloat16().T).double().item()
    exact = float((rows.astype(np.float64) ** 2).sum())
    assert (
        screening_margin(num_dims, torch.bfloat16) / 2
        < (screened - exact)
        <= screening_margin(num_dims, torch.bfloat16) * exact
    )


@given(seed=st.integers(0, 1000), floor=st.sampled_from([0.3, 0.9, 1.0]))
def test_what_reaches_the_floor_is_never_ruled_out(seed, floor):
    rows = unit_rows(12, seed=seed)
    if cosines(rows[:4], rows[4:]).max() >= floor:
        assert may_reach(rows[:4], rows[4:], floor)


def test_what_is_far_below_is_ruled_out():
    assert not may_reach(on_grid(np.array([[1.0, 0.0]])), on_grid(np.array([[0.0, 1.0]])), 0.5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_finds_the_same():
    rows = unit_rows(5000, num_dims=256)
    index = FrameIndex(256, device=torch.device("cuda"), precision=torch.bfloat16, block_rows=1024)
    index.append(rows[1000:])
    found = index.search(rows[:1000], 0.5)
    np.testing.assert_array_equal(found, best_of_all(rows[:1000], rows[1000:], 0.5))
