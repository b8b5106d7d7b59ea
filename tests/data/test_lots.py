"""The smallest lots are chosen, exactly as many as asked for, by id alone."""

from array import array
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from omnicli.data.lots import Cut, lot_of, smallest


def test_a_cut_takes_the_smallest_and_the_first_of_equals():
    cut = Cut(last=5, num_equal=2)
    assert [cut.takes(lot) for lot in (5, 9, 4, 5, 5, 0)] == [True, False, True, True, False, True]
    assert not Cut(-1, 0).takes(0)
    assert lot_of("a", 0) == lot_of("a", 0) != lot_of("a", 1)


@given(st.lists(st.integers(0, 9), min_size=1), st.data())
def test_as_many_are_taken_as_asked_for_and_they_are_the_smallest(lots, data):
    number = data.draw(st.integers(0, len(lots)))
    cut = smallest(array("Q", lots), number)
    taken = [lot for lot in lots if cut.takes(lot)]
    assert Counter(taken) == Counter(sorted(lots)[:number])
