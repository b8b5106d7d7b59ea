import gc
import os
import threading
import time
from typing import Any

import pytest
from engine_runs import wait_until
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicli.media.parallel import IDLE, Idle, parallel_interleave, parallel_map


def results_of(stream):
    return [result for result in stream if result is not IDLE]


@given(st.lists(st.integers(0, 3), max_size=20), st.integers(1, 4), st.integers(1, 6))
@settings(deadline=None, max_examples=40)
def test_results_come_in_the_order_of_the_items_however_long_each_takes(delays, workers, ahead):
    def work(item):
        place, delay = item
        time.sleep(delay / 2000)
        return place

    assert results_of(parallel_map(work, enumerate(delays), workers=workers, ahead=ahead)) == list(range(len(delays)))


def test_workers_really_run_at_once():
    meeting = threading.Barrier(3, timeout=60)
    assert len(results_of(parallel_map(lambda _: meeting.wait(), range(6), workers=3, ahead=6))) == 6


def test_no_more_items_are_read_than_may_be_ahead():
    read = []

    def items():
        for item in range(100):
            read.append(item)
            yield item

    stream: Any = parallel_map(lambda item: item, items(), workers=2, ahead=5)
    for expected in range(10):
        assert next(stream) == expected
        time.sleep(0.02)
        assert len(read) <= expected + 1 + 5
    stream.close()


def test_a_failure_of_the_function_comes_after_the_results_before_it():
    def work(item):
        if item == 3:
            raise KeyError("third")
        return item

    stream: Any = parallel_map(work, range(10), workers=4, ahead=8)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="third"):
        next(stream)


def test_a_failure_of_the_iterable_comes_after_the_results_before_it():
    def items():
        yield from range(3)
        raise OSError("the disk is gone")

    stream: Any = parallel_map(lambda item: item, items(), workers=2, ahead=8)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(stream)


def test_idle_is_yielded_once_per_pause_after_everything_read_has_been_yielded():
    reading, writing = os.pipe()

    def items():
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            while byte := pipe.read(1):
                yield byte

    stream: Any = parallel_map(lambda item: item, items(), workers=2, ahead=8, idle_sec=0.5)
    os.write(writing, b"ab")
    assert [next(stream) for _ in range(3)] == [b"a", b"b", IDLE]
    threading.Timer(1.2, os.write, (writing, b"c")).start()
    assert [next(stream) for _ in range(2)] == [b"c", IDLE]  # no second IDLE in the longer wait before "c"
    threading.Timer(0.2, os.close, (writing,)).start()
    assert list(stream) == []


def test_a_slow_function_yields_no_idle():
    is_read = threading.Event()

    def items():
        yield from range(3)
        is_read.set()

    def work(item):
        is_read.wait(60)
        time.sleep(0.1)
        return item

    assert list(parallel_map(work, items(), workers=1, ahead=4, idle_sec=0.02)) == [0, 1, 2]
    is_read.clear()
    slow = parallel_interleave(lambda item: [work(item)], items(), workers=1, ahead=3, idle_sec=0.02)
    assert list(slow) == [0, 1, 2]


def test_without_idle_sec_a_pause_yields_nothing():
    def items():
        yield 1
        time.sleep(0.3)
        yield 2

    assert list(parallel_map(lambda item: item, items(), workers=1, ahead=2)) == [1, 2]


def test_closing_ends_the_threads_at_once_even_while_the_reader_waits():
    before = set(threading.enumerate())
    gate = threading.Event()
    closed = []

    def items():
        try:
            yield 1
            gate.wait(300)
            yield 2
        finally:
            closed.append(True)

    stream: Any = parallel_map(lambda item: item, items(), workers=3, ahead=4)
    assert next(stream) == 1
    stream.close()
    assert len(set(threading.enumerate()) - before) == 1  # only the reader, which waits at the gate
    assert closed == []
    gate.set()
    wait_until(lambda: not set(threading.enumerate()) - before)
    assert closed == [True]


def test_nothing_starts_before_the_first_result_is_asked_for():
    before = set(threading.enumerate())
    stream: Any = parallel_map(lambda item: item, iter([1]), workers=2, ahead=2)
    assert not set(threading.enumerate()) - before
    del stream
    gc.collect()


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="workers and ahead must be at least 1, got 0 and 4"):
        next(parallel_map(len, ["a"], workers=0, ahead=4))


def results(made):
    return [result for result in made if not isinstance(result, Idle)]


@settings(max_examples=25)
@given(counts=st.lists(st.integers(0, 6), max_size=12), workers=st.integers(1, 4), ahead=st.integers(1, 5))
def test_every_result_comes_once_and_those_of_an_item_in_order(counts, workers, ahead):
    def parts(item):
        yield from ((item, part) for part in range(counts[item]))

    made = results(parallel_interleave(parts, range(len(counts)), workers=workers, ahead=ahead, idle_sec=0.2))
    assert sorted(made) == [(item, part) for item, count in enumerate(counts) for part in range(count)]
    for item, count in enumerate(counts):
        assert [part for owner, part in made if owner == item] == list(range(count))


def test_two_long_items_are_worked_on_at_once():
    """The second does not wait for the end of the first."""
    both = threading.Barrier(2, timeout=60)

    def parts(item):
        both.wait()
        yield item

    assert sorted(results(parallel_interleave(parts, "ab", workers=2, ahead=1, idle_sec=0.2))) == ["a", "b"]


def test_workers_wait_when_nobody_takes_what_they_made():
    made = []

    def parts(item):
        for part in range(100):
            made.append(part)
            yield part

    running: Any = parallel_interleave(parts, [0], workers=1, ahead=3, idle_sec=0.2)
    next(running)
    time.sleep(0.3)
    assert len(made) <= 5
    running.close()


def test_a_pause_of_the_input_yields_idle_once_after_the_results_before_it():
    go_on = threading.Event()

    def items():
        yield "first"
        go_on.wait(60)
        yield "second"

    running: Any = parallel_interleave(iter, items(), workers=2, ahead=8, idle_sec=0.05)
    seen = [next(running) for _ in range(6)]
    assert seen == [*"first", IDLE]
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
        for result in parallel_interleave(parts, items(), workers=1, ahead=2, idle_sec=0.2):
            seen.append(result)
    assert results(seen) == [1, 2]


def test_closing_ends_the_threads_even_while_the_input_waits():
    waits = threading.Event()
    is_over = []

    def items():
        yield 1
        waits.wait(300)
        is_over.append(True)

    before = set(threading.enumerate())
    running: Any = parallel_interleave(lambda item: iter([item] * 3), items(), workers=3, ahead=1, idle_sec=0.2)
    assert next(running) == 1
    running.close()
    assert is_over == []
    waits.set()
    wait_until(lambda: not set(threading.enumerate()) - before)


def test_numbers_below_one_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        next(parallel_interleave(iter, [], workers=0, ahead=1, idle_sec=0.2))
