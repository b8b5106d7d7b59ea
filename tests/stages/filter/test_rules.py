"""Ranks and quotas within groups."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from omnicli.data.query_labels import Queries
from omnicli.stages.filter.rules import FilterRule, QueryRule, best_of_groups, group_of, quota
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import Record


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 3), st.integers(0, 5)), max_size=30),
    st.one_of(st.integers(0, 5), st.floats(0, 1)),
)
def test_the_best_of_each_group_equal_a_plain_loop(rows, quota):
    confidences, groups, ties = (np.array([row[i] for row in rows]) for i in range(3))
    rule = FilterRule(threshold=None, **({"top": quota} if isinstance(quota, int) else {"keep_fraction": quota}))
    kept = best_of_groups(confidences, groups.astype(np.int64), ties.astype(np.uint64), rule)
    for group in set(groups.tolist()):
        members = sorted((-c, t, i) for i, (c, g, t) in enumerate(rows) if g == group)
        count = quota if isinstance(quota, int) else int(len(members) * Fraction(repr(quota)) + Fraction(1, 2))
        assert {i for _, _, i in members[:count]} == {i for _, _, i in members if kept[i]}


def test_a_share_is_the_decimal_number_that_is_typed():
    assert quota(np.array([50, 100, 0]), 0.29).tolist() == [15, 29, 0]
    assert quota(np.array([45, 50]), np.array([0.7, 0.57])).tolist() == [32, 29]
    assert quota(np.empty(0, np.int64), 0.5).tolist() == []


def test_the_rule_for_weak_teachers_needs_queries_only_where_nothing_else_decides():
    assert FilterRule(by_query=QueryRule(accuracy=None)).needs_query
    assert not FilterRule(by_query=QueryRule(accuracy=None, threshold=0.5)).needs_query
    assert FilterRule(by_query=QueryRule(accuracy=None)).needs_whole_stream
    assert not FilterRule().needs_whole_stream


def test_a_query_is_one_group_in_any_spelling_and_of_several_that_which_labels():
    rule, queries = FilterRule(threshold=None, top=1, per="query"), Queries(ClassIndex(("Tai Chi", "Surfing")))
    assert {group_of(Record({"query": query}), queries, rule) for query in ("Tai_Chi", "tai chi")} == {"tai chi"}
    several = [Record({"id": str(number), "queries": ["wave", "surfing", "tai-chi"]}) for number in range(20)]
    groups = [group_of(record, queries, rule) for record in several]
    assert groups == [queries.find(record)[1].replace("-", " ") for record in several]
    assert set(groups) == {"surfing", "tai chi"}
    assert group_of(Record({"query": "x", "queries": ["Chess", "wave"]}), queries, rule) == "chess"
    assert group_of(Record({}), queries, rule) == ""
