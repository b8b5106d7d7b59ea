"""The closing lines of filter."""

from collections import Counter

import pytest

from omnicli.errors import InputError
from omnicli.models.strength import Strength
from omnicli.stages.filter.closing import advice, check_queries, count_confidence, keep_curve, rule_line
from omnicli.stages.filter.rules import FilterRule, QueryRule
from omnicli.streams.record import Record


def test_a_stream_in_which_no_query_names_a_class_is_an_error():
    check_queries({"in": 3, "rejected: no class": 2})
    check_queries({"in": 2, "unreadable": 2})
    with pytest.raises(InputError, match="none of 3 records has a query that names a class"):
        check_queries({"in": 4, "unreadable": 1, "rejected: no class": 3})


def test_the_keep_curve_counts_all_that_was_scored():
    counters = Counter()
    for confidence in (0.95, 0.5, 0.3, None):
        count_confidence(Record({"confidence": confidence}), counters)
    line = keep_curve(counters)[0]
    assert line.endswith(
        "100% at 0.1, 100% at 0.2, 100% at 0.3, 67% at 0.4, 67% at 0.5, 33% at 0.6, 33% at 0.7, 33% at 0.8, 33% at 0.9"
    )
    assert keep_curve({}) == []


def test_the_rule_is_said_with_its_reason():
    shares = {"images": {"fit": 0.241, "kept": 0.31}, "videos": {"fit": None, "kept": 0.5}}
    line = rule_line({"rule": "query", "shares": shares}, "learnt from 2 labelled clips per class")
    assert line == (
        "by query (the teacher learnt from 2 labelled clips per class): 24 % of the images seem to fit their query, "
        "the best 31 % of each query are kept; videos: the best 50 % of each query are kept"
    )
    everything = rule_line({"rule": "query", "shares": {"images": {"fit": 0.83, "kept": 1.0}}}, None)
    assert "83 % of the images seem to fit their query, all of each query are kept (--keep-fraction 0.5" in everything
    noise = {"images": {"fit": None, "kept": 0.7, "queries_with_less": 3}}
    assert rule_line({"rule": "query", "shares": noise}, None) == (
        "by query: images: the best 70 % of each query are kept, fewer of 3 queries whose results score hardly higher "
        "than those of others"
    )
    assert rule_line({"rule": "paper"}, None) == "by --threshold: most records have no query that names a class"
    assert rule_line({"rule": "query"}, None) == "by query: no record has a query that names a class"


def test_a_weak_teacher_whose_threshold_decides_is_advised_to_rank_each_class():
    """Not a strong one, nor where the query has a say or each class is ranked already."""
    by_query = FilterRule(threshold=None, by_query=QueryRule(accuracy=0.8, threshold=0.5))
    [said] = advice(FilterRule(threshold=0.5), {}, lambda: Strength(2))
    assert "--keep-fraction 0.3 --per class" in said
    assert advice(by_query, {"rule": "paper"}, lambda: Strength(2)) == [said]  # records without queries
    assert not advice(by_query, {"rule": "query"}, lambda: Strength(2))
    assert not advice(FilterRule(threshold=0.5), {}, lambda: Strength(50))
    for rule in (FilterRule(agree=True), FilterRule(label_by="query"), FilterRule(threshold=None, keep_fraction=0.3)):
        assert not advice(rule, {}, lambda: Strength(2))
