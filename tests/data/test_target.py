"""The target's classes: labels, or queries of which one is drawn per visit."""

import pytest

from omnicli.data.target import TargetReader
from omnicli.errors import InputError
from omnicli.streams.record import Record

RECORDS = [
    Record({"id": "a", "queries": ["Ice_Skating", "tai chi"]}, origin="t.jsonl", line=1),
    Record({"id": "b", "query": "tai-chi"}, origin="t.jsonl", line=2),
    Record({"id": "c", "query": "sunset"}, origin="t.jsonl", line=3),
]


def read(reader, records, classes):
    left = []
    examples = reader.read(records, classes, lambda record, reason: left.append((record["id"], reason)))
    return [(one.id, one.label, one.others) for one in examples], left


def test_without_a_list_every_query_is_a_class_in_one_spelling():
    reader = TargetReader(by="query")
    names = reader.class_names(RECORDS)
    assert names == ["ice skating", "sunset", "tai chi"]
    assert read(reader, RECORDS, names) == ([("a", 0, (2,)), ("b", 2, ()), ("c", 1, ())], [])


def test_queries_are_mapped_and_those_that_are_no_class_are_rejected():
    reader = TargetReader(by="query", classes=["skating", "taichi"], query_map={"ice skating": "skating"})
    names = reader.class_names(RECORDS)
    assert names == ["skating", "taichi"]
    kept, left = read(reader, RECORDS, names)
    assert kept == [("a", 0, ())]
    assert left == [("b", "no class"), ("c", "no class")]


def test_a_target_of_which_no_query_is_a_class_stops_with_what_to_do():
    with pytest.raises(InputError, match=r"none of the queries is one of the 1 classes; .* give --query-map FILE"):
        read(TargetReader(by="query"), RECORDS, ["surfing"])


def test_a_record_without_a_query_is_named_with_the_option():
    with pytest.raises(InputError, match=r"^t\.jsonl:4: no field 'query'; .*--target-label label; has id, label$"):
        read(TargetReader(by="query"), [Record({"id": "d", "label": 1}, origin="t.jsonl", line=4)], ["surfing"])


def test_labels_are_read_as_before():
    records = [Record({"id": name, "class_name": name}) for name in ("b", "a")]
    reader = TargetReader()
    assert reader.class_names(records) == ["a", "b"]
    assert read(reader, records, ["a", "b"]) == ([("b", 1, ()), ("a", 0, ())], [])
