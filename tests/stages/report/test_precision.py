"""Intervals against another library, and how often they hold."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.stages.report.precision import SeenRecord, precision_at, wilson


@given(num=st.integers(1, 500), share=st.floats(0, 1))
def test_with_equal_weights_the_interval_is_wilsons(num, share):
    stats = pytest.importorskip("scipy.stats")
    right = round(share * num)
    expected = stats.binomtest(right, num).proportion_ci(0.95, method="wilson")
    seen = [SeenRecord(0.9, True, index < right, index % 2, 7 * (num // 2 + (num % 2 and index % 2 == 0)))
            for index in range(num)] if num > 1 else [SeenRecord(0.9, True, bool(right), 0, 7)]  # fmt: skip
    found = precision_at(seen, 0.5)
    assert (found.num_seen, found.share) == (num, pytest.approx(right / num))
    assert (found.low, found.high) == (pytest.approx(expected.low, abs=1e-9), pytest.approx(expected.high, abs=1e-9))


def test_values_by_hand():
    assert wilson(0.5, 10) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
    assert wilson(1.0, 10) == (pytest.approx(0.7225, abs=1e-4), pytest.approx(1.0))
    # 2 of 2 stand for 100 each, 0 of 1 for 50: 200 / 250; (250)² / (2 · 100² + 50²) = 2.78 records
    seen = [SeenRecord(0.8, True, True, 0, 200), SeenRecord(0.7, True, True, 0, 200),
            SeenRecord(0.6, False, False, 1, 50), SeenRecord(0.1, False, False, 2, 90)]  # fmt: skip
    found = precision_at(seen, 0.5)
    assert (found.num_seen, found.share) == (3, pytest.approx(0.8))
    assert (found.low, found.high) == pytest.approx(wilson(0.8, 250**2 / 22500))
    assert precision_at(seen, None).share == 1.0
    assert str(found) == "80 % (27 to 98)"


def test_without_a_verdict_nothing_is_known():
    found = precision_at([], 0.5)
    assert math.isnan(found.share) and (found.low, found.high, str(found)) == (0.0, 1.0, "unknown")


@pytest.mark.parametrize("slope", [0.3, 2.0, 8.0])
def test_the_intervals_hold_for_about_nineteen_samples_in_twenty(slope):
    """50 records of ten strata, a quarter of the stream kept; whether one is right depends on its score."""
    rng = np.random.default_rng(0)
    scores = np.sort(rng.beta(0.6, 1.2, 8000))
    right = rng.random(8000) < 1 / (1 + np.exp(-slope * (scores - 0.4) * 4))
    cut = 6000
    bounds = [*np.linspace(0, cut, 6, dtype=int), *np.linspace(cut, 8000, 6, dtype=int)[1:]]
    strata = list(itertools.pairwise(bounds))
    held, num_samples = np.zeros(2), 400
    truths = [right[cut:].mean(), right[bounds[3] :].mean()]
    for _ in range(num_samples):
        seen = [
            SeenRecord(scores[row], row >= cut, bool(right[row]), number, int(end - start))
            for number, (start, end) in enumerate(strata)
            for row in rng.choice(np.arange(start, end), 5, replace=False)
        ]
        for index, (at, truth) in enumerate(zip((scores[cut], scores[bounds[3]]), truths, strict=True)):
            found = precision_at(seen, at)
            held[index] += found.low <= truth <= found.high
    assert (held / num_samples >= 0.92).all(), held / num_samples
