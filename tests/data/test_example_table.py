"""Examples in columns: the same examples as a list of them, in a few bytes of memory each."""

import pickle
import tracemalloc

import numpy as np
import pytest

from omnicli.data.dataloader import Example
from omnicli.data.example_table import RecordsOf, ids_of, label_bytes, lines_of, table_of, take, weights_of
from omnicli.streams.record import Record
from omnicli.streams.stored_records import StoredRecords

RECORDS = [Record({"id": name, "weight": float(row)}, origin="x", line=row + 1) for row, name in enumerate("abcab")]
LABELS = [(0,), (2, 1), (), (1,), (2, 1)]


@pytest.fixture
def table():
    return table_of(RECORDS, lambda record: LABELS[record.line - 1])


@pytest.fixture
def examples():
    return [Example(record, labels[0], labels[1:]) for record, labels in zip(RECORDS, LABELS, strict=True) if labels]


def contents(examples):
    return [(one.record, one.record.where, one.id, one.label, one.others, one.scores) for one in examples]


def test_a_table_is_the_list_of_its_examples(table, examples):
    assert contents(table) == contents(examples)
    assert contents(table[1:]) == contents(examples[1:])
    assert contents(table[1::2]) == contents(examples[1::2])
    assert contents(take(table, [3, 0])) == contents(take(examples, [3, 0])) == contents([examples[3], examples[0]])
    assert contents(take(take(table, [3, 0, 1]), [2, 0])) == contents([examples[1], examples[3]])
    assert contents([table[-1]]) == contents([examples[-1]])


def test_columns_of_a_table_are_those_of_the_list(table, examples):
    for rows in ([0, 1, 2, 3], [1, 3], []):
        some, others = take(table, rows), take(examples, rows)
        assert ids_of(some).tolist() == ids_of(others).tolist()
        assert weights_of(some).tolist() == weights_of(others).tolist()
        assert list(lines_of(some)) == list(lines_of(others))
    with pytest.raises(ValueError, match="do not ascend"):
        list(lines_of(take(table, [3, 0])))
    assert ids_of(table)[0] == ids_of(table)[2] != ids_of(table)[1]


@pytest.mark.parametrize("make", [take, lambda own, rows: [own[row] for row in rows]])
def test_other_labels_have_other_bytes(table, make):
    found = [b"".join(label_bytes(make(table, rows))) for rows in ([0, 1, 2, 3], [0, 1, 2], [0, 2, 1, 3], [0, 1, 1, 3])]
    others = table_of(RECORDS, lambda record: LABELS[record.line - 1][:1])
    assert len({*found, b"".join(label_bytes(make(others, [0, 1, 2, 3])))}) == 5


def test_stored_records_are_not_stored_again(examples):
    stored = StoredRecords(RECORDS)
    table = table_of(stored, lambda record: LABELS[record.line - 1])
    assert table.records is stored
    assert contents(table) == contents(examples)


def test_a_label_for_one_visit_leaves_the_example_as_it_is(table):
    drawn = table[1].with_label(1)
    assert (drawn.label, drawn.others, drawn.record) == (1, (), table[1].record)
    assert (table[1].label, table[1].others) == (2, (1,))
    assert drawn.number == table[1].number != table[0].number


def test_an_example_goes_to_another_process_with_its_record(table, examples):
    assert contents([pickle.loads(pickle.dumps(table[1]))]) == contents([examples[1]])


def test_soft_labels_are_computed_when_they_are_asked_for():
    asked = []

    def shares_of(record):
        asked.append(record["id"])
        return ((0, 1.0),)

    table = table_of(RECORDS[:2], lambda record: (0,), shares_of)
    assert asked == ["a", "b"]
    assert table[1].scores == ((0, 1.0),)
    assert asked == ["a", "b", "b"]


def test_records_of_several_sets_follow_one_another(table, examples):
    records = RecordsOf([], examples, table, [])
    expected = [one.record for one in [*examples, *examples]]
    assert len(records) == 8
    assert list(records) == records[:] == [records[row] for row in range(8)] == expected
    assert records[-1] == expected[-1]
    mixed = [7, 0, 4, 4, 3, 1]  # over both sets, in any order
    assert records.many(mixed) == [expected[row] for row in mixed]
    assert list(RecordsOf()) == RecordsOf().many([]) == []


def test_an_example_takes_a_few_bytes_of_memory():
    tracemalloc.start()
    table = table_of((Record({"id": str(row), "weight": 1.0}) for row in range(5000)), lambda record: (1, 2))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == 5000
    assert size / 5000 < 150
    assert np.asarray(table.weights).sum() == 5000
