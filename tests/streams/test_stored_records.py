"""Records on disk: the same as those that were stored, in any order, from any thread, in a few bytes of memory each."""

import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.streams.record import Record, format_record
from omnicli.streams.stored_records import StoredRecords, digest_of_id

RECIPE = {"mode": "perspective-agnostic", "seed": 0, "mean": [0.5] * 8, "covariance": [1e-9] * 36}

_values = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
_json = st.recursive(
    _values | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)
_records = st.dictionaries(st.sampled_from(["id", "inflation", "match", "x", "é"]), _json, max_size=4)


@given(st.lists(_records, max_size=8))
def test_any_record_comes_back_with_its_line_and_place(rows):
    given_records = [
        Record(row, origin=f"{number % 2}.jsonl", line=number, position=9 * number) for number, row in enumerate(rows)
    ]
    stored = StoredRecords(given_records)
    assert len(stored) == len(rows)
    assert list(stored.lines()) == [format_record(record) for record in given_records]
    for number, (record, read, again) in enumerate(zip(given_records, stored, stored[:], strict=True)):
        assert read == again == stored[number] == record
        assert list(read) == list(record)
        assert (read.origin, read.line, read.position, read.where) == (record.origin, number, 9 * number, record.where)
    assert stored.ids.tolist() == [digest_of_id(record) for record in given_records]


def test_a_recipe_of_many_records_is_stored_once():
    records = [Record({"id": str(number), "inflation": dict(RECIPE), "x": 1}) for number in range(100)]
    stored = StoredRecords(records)
    assert len({id(record["inflation"]) for record in stored}) == 1
    assert stored._ends[-1] < 100 * 60 < len(format_record(records[0])) * 100


@pytest.mark.parametrize("nested", [{"inflation": None}, '"inflation":null'])
def test_a_nested_field_of_the_same_name_is_no_place_for_the_recipe(nested):
    record = Record({"id": "a", "match": {"y": nested}, "inflation": RECIPE})
    stored = StoredRecords([record])
    assert stored[0] == record
    assert list(stored.lines()) == [format_record(record)]


@pytest.mark.parametrize("rows", [range(100, 140), [5, 3, 3, 4, 9], [0, 2999], [], range(0, 3000, 7)])
def test_rows_together_and_far_apart_are_read_in_the_order_asked_for(rows):
    records = StoredRecords(Record({"id": f"{row:x}" * (row % 5 + 1)}, line=row) for row in range(3000))
    found = records.many(rows)
    assert [(one["id"], one.line) for one in found] == [(f"{row:x}" * (row % 5 + 1), row) for row in rows]
    assert [one.line for one in records] == list(range(3000))


def test_weights_are_a_column():
    stored = StoredRecords([Record({"id": "a", "weight": 2}), Record({"id": "b"}), Record({"id": "c", "weight": 0.5})])
    np.testing.assert_array_equal(stored.weights, [2.0, np.nan, 0.5])
    assert len(StoredRecords().weights) == len(StoredRecords().ids) == 0


def test_many_threads_read_single_records():
    stored = StoredRecords(Record({"id": str(number), "text": "x" * (number % 97)}) for number in range(500))
    wrong = []

    def read(seed):
        for row in np.random.default_rng(seed).integers(0, 500, 300).tolist():
            if stored[row]["id"] != str(row) or len(stored[row]["text"]) != row % 97:
                wrong.append(row)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_record_takes_a_few_bytes_of_memory():
    tracemalloc.start()
    stored = StoredRecords(Record({"id": str(number), "inflation": dict(RECIPE)}) for number in range(5000))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(stored) == 5000
    assert size / 5000 < 100
