"""Shares of records, exactly."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.streams.rounding import count_of, part_of


@given(st.integers(0, 100_000), st.integers(0, 1000))
def test_counts_follow_the_formula_of_the_help(total, thousandths):
    exact = Fraction(thousandths, 1000) * total + Fraction(1, 2)
    assert count_of(total, thousandths / 1000) == exact.numerator // exact.denominator


@pytest.mark.parametrize(("total", "share", "count"), [(50, 0.29, 15), (50, 0.57, 29), (3, 1e-9, 0), (7, 1.0, 7)])
def test_shares_that_floats_round_down(total, share, count):
    assert count_of(total, share) == count


def test_percentages_of_records():
    assert part_of(1500, 2.2) / 100 == 33
