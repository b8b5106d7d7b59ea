"""Lines about what is about to go wrong."""

from collections import Counter

from omnicli.commands.run.advice import NO_QUERY, count_without_query, lines_without_query
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
