"""The smallest hashes are chosen, exactly as many as asked for, by id alone."""

from array import array
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from omnicli.stages.balance.selection import HashSelection, selection_hash, shares_of_smallest, smallest


def test_a_cut_takes_the_smallest_and_the_first_of_equals():
    cut = HashSelection(last=5, num_equal=2)
    assert [cut.takes(value) for value in (5, 9, 4, 5, 5, 0)] == [True, False, True, True, False, True]
    assert not HashSelection(-1, 0).takes(0)
    assert selection_hash("a", 0) == selection_hash("a", 0) != selection_hash("a", 1)


@given(st.lists(st.integers(0, 9), min_size=1), st.data())
def test_as_many_are_taken_as_asked_for_and_they_are_the_smallest(hashes, data):
    number = data.draw(st.integers(0, len(hashes)))
    cut = smallest(array("Q", hashes), number)
    taken = [value for value in hashes if cut.takes(value)]
    assert Counter(taken) == Counter(sorted(hashes)[:number])


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=9), min_size=1, max_size=5), st.data())
def test_parts_share_the_smallest_of_all_and_hold_them_each_by_themselves(parts, data):
    number = data.draw(st.integers(0, sum(map(len, parts))))
    shares = shares_of_smallest([array("Q", part) for part in parts], number)
    assert sum(shares) == number
    taken = [value for part, share in zip(parts, shares, strict=True) for value in sorted(part)[:share]]
    assert sorted(taken) == sorted(value for part in parts for value in part)[:number]
