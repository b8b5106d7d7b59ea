"""Many results of each item, from several threads at once."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicli.media.parallel import LULL, Lull
from omnicli.media.parallel_many import interleave_ahead


def results(made):
    return [result for result in made if not isinstance(result, Lull)]


@settings(max_examples=25)
@given(counts=st.lists(st.integers(0, 6), max_size=12), workers=st.integers(1, 4), ahead=st.integers(1, 5))
def test_every_result_comes_once_and_those_of_an_item_in_order(counts, workers, ahead):
    def parts(item):
        yield from ((item, part) for part in range(counts[item]))

    made = results(interleave_ahead(parts, range(len(counts)), workers=workers, ahead=ahead))
    assert sorted(made) == [(item, part) for item, count in enumerate(counts) for part in range(count)]
    for item, count in enumerate(counts):
        assert [part for owner, part in made if owner == item] == list(range(count))


def test_two_long_items_are_worked_on_at_once():
    """The second does not wait for the end of the first."""
    both = threading.Barrier(2, timeout=10)

    def parts(item):
        both.wait()
        yield item

    assert sorted(results(interleave_ahead(parts, "ab", workers=2, ahead=1))) == ["a", "b"]


def test_workers_wait_when_nobody_takes_what_they_made():
    made = []

    def parts(item):
        for part in range(100):
            made.append(part)
            yield part

    running = interleave_ahead(parts, [0], workers=1, ahead=3)
    next(running)
    time.sleep(0.3)
    assert len(made) <= 5
    running.close()


def test_a_quiet_input_is_told_once_and_the_results_before_it_have_come():
    go_on = threading.Event()

    def items():
        yield "first"
        go_on.wait(10)
        yield "second"

    running = interleave_ahead(iter, items(), workers=2, ahead=8, lull_sec=0.05)
    seen = [next(running) for _ in range(6)]
    assert seen == [*"first", LULL]
    go_on.set()
    assert results(running) == list("second")


@pytest.mark.parametrize("where", ["function", "items"])
def test_what_is_raised_arrives_after_the_results_before_it(where):
    def parts(item):
        yield item
        if where == "function" and item == 2:
            raise KeyError("spoilt")

    def items():
        yield from (1, 2)
        if where == "items":
            raise KeyError("spoilt")

    seen = []
    with pytest.raises(KeyError, match="spoilt"):
        for result in interleave_ahead(parts, items(), workers=1, ahead=2):
            seen.append(result)
    assert results(seen) == [1, 2]


def test_closing_ends_the_threads_even_while_the_input_waits():
    waits = threading.Event()

    def items():
        yield 1
        waits.wait(10)

    before = threading.active_count()
    running = interleave_ahead(lambda item: iter([item] * 3), items(), workers=3, ahead=1)
    assert next(running) == 1
    started = time.monotonic()
    running.close()
    assert time.monotonic() - started < 4
    waits.set()
    for _ in range(100):
        if threading.active_count() <= before:
            break
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_numbers_below_one_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        next(interleave_ahead(iter, [], workers=0, ahead=1))
