"""Lines about what is about to go wrong."""

from collections import Counter

from omnicli.commands.run.advice import NO_QUERY, count_without_query, lines_without_query, scarce_queries
from omnicli.streams.record import Record


def test_only_media_files_without_query_and_class_count():
    counters = Counter()
    for fields in ({"id": "a"}, {"query": "x"}, {"queries": ["x"]}, {"class_name": "x"}, {"label": 0}):
        count_without_query(Record(fields), counters)
    count_without_query(Record({"id": "b"}, origin="web.jsonl", line=1), counters)
    assert counters[NO_QUERY] == 1


def test_the_line_says_how_many_and_what_to_give():
    (line,) = lines_without_query(Counter({"in": 3, NO_QUERY: 2}), inputs=["."], labels=False)
    assert line.startswith("2 of 3 records have no query, ")
    assert line.endswith(" omni index ../")
    assert lines_without_query(Counter({"in": 3}), inputs=["."], labels=False) == []
    (line,) = lines_without_query(Counter({"in": 3, "rejected: no class": 1}), inputs=["-"], labels=True)
    assert line.endswith(" omni index --labels FOLDER")


def test_queries_of_which_hardly_anything_was_kept_are_named():
    counters = Counter({"in": 165, "query: golf": 100, "kept query: golf": 5, "query: tennis": 30, "query: rare": 9,
                        "query: surf": 20, "kept query: surf": 2})  # fmt: skip
    (line,) = scarce_queries(counters)
    assert line.startswith("hardly anything was kept of 2 of 4 queries: tennis 0/30, golf 5/100; look at ")
    assert scarce_queries(Counter({"in": 20, "query: surf": 20, "kept query: surf": 2})) == []


def test_records_without_a_query_are_named_where_a_rule_rejects_them():
    counters = Counter({"in": 9, "without query": 2})
    assert scarce_queries(counters) == []
    (line,) = scarce_queries(counters | Counter({"rejected: no class": 2}))
    assert line.startswith("2 of 9 records have no query, which the rule needs: omni index ")
