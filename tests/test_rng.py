"""Draws by key."""

from hypothesis import assume, given
from hypothesis import strategies as st

from omnicli.rng import keyed_rng, keyed_seed

KEYS = st.tuples(
    st.integers(0, 2**32), st.text(max_size=4), st.text(max_size=4), st.integers(0, 1000), st.integers(0, 9)
)


@given(KEYS)
def test_the_same_key_draws_the_same(key):
    assert keyed_rng(*key).random(3).tolist() == keyed_rng(*key).random(3).tolist()
    assert keyed_seed(*key) == keyed_seed(*key)


@given(KEYS, KEYS)
def test_another_key_draws_something_else(one, other):
    assume(one != other)
    assert keyed_rng(*one).random(3).tolist() != keyed_rng(*other).random(3).tolist()
    assert keyed_seed(*one) != keyed_seed(*other)


def test_texts_that_only_join_alike_are_different_keys():
    assert keyed_seed(0, "ab", "c") != keyed_seed(0, "a", "bc")


def test_names_that_are_not_utf8_are_keys_too():
    assert keyed_seed(0, "s", "a\udcff") != keyed_seed(0, "s", "a")


def test_draws_of_many_records_are_spread_evenly():
    draws = [keyed_rng(0, "s", f"video{i}").random() for i in range(2000)]
    assert abs(sum(draws) / 2000 - 0.5) < 0.03


def test_draws_never_change_between_versions():
    assert keyed_seed(0, "teacher-train", "a.mp4", 3, 1) == EXPECTED_SEED
    assert keyed_rng(7, "filter", "b.jpg").integers(0, 1_000_000, 2).tolist() == EXPECTED_DRAWS


EXPECTED_SEED = 620292259260180653
EXPECTED_DRAWS = [802901, 588274]
