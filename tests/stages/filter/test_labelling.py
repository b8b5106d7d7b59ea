"""Who names the class of a record."""

import pytest

from omnicli.data.query_labels import Queries
from omnicli.errors import InputError
from omnicli.stages.filter.labelling import TeacherScores, agrees, pseudo_label, stored_query_score, with_scores
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import Record

QUERIES = Queries(ClassIndex(("Archery", "Surfing")))


def test_the_teacher_or_the_query_names_the_class():
    record = with_scores(Record({"query": "surfing"}), TeacherScores([[0, 0.7], [1, 0.3]], 0.3), QUERIES)
    assert record["query_score"] == 0.3
    by = {who: pseudo_label(record, QUERIES, who) for who in ("teacher", "query")}
    assert (by["teacher"]["pseudo_class"], by["teacher"]["confidence"]) == ("Archery", 0.7)
    assert (by["query"]["pseudo_label"], by["query"]["confidence"]) == (1, 0.3)
    assert not agrees(record, QUERIES)


def test_a_query_that_names_no_class_leaves_the_label_to_the_teacher():
    record = with_scores(Record({"query": "chess"}), TeacherScores([[0, 0.7]], None), QUERIES)
    assert "query_score" not in record
    assert pseudo_label(record, QUERIES, "query")["pseudo_class"] == "Archery"
    assert not agrees(record, QUERIES)


def test_a_missing_score_of_the_query_names_the_line():
    record = Record({"query": "surfing", "top_scores": [[0, 0.7]]}, origin="web.jsonl", line=3)
    with pytest.raises(InputError, match=r"web.jsonl:3: no field 'query_score'"):
        pseudo_label(record, QUERIES, "query")


def test_a_stored_score_is_that_of_the_class_that_the_query_names_now():
    queries = Queries(ClassIndex(("Archery", "Surfing", "Diving")), {"bow": "Surfing"})
    fields = {"query": "bow", "top_scores": [[0, 0.7], [1, 0.2]], "query_score": 0.7}
    record = Record(fields, origin="web.jsonl", line=3)
    assert stored_query_score(record, queries) == 0.2
    assert stored_query_score(record, Queries(queries.classes)) == 0.7  # no class: nobody asks
    other = Queries(queries.classes, {"bow": "Diving"})
    assert stored_query_score(record.derive(query_score=0.1), other) == 0.1
    with pytest.raises(InputError, match=r"web.jsonl:3: query_score 0.7 is not that of 'Diving', the class of the que"):
        stored_query_score(record, other)
