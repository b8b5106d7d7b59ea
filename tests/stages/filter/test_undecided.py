"""Which records are undecided: near the threshold, or of a label that another class may take."""

import numpy as np
import pytest

from omnicli.data.query_labels import Queries
from omnicli.stages.filter.rules import FilterRule, QueryRule
from omnicli.stages.filter.undecided import decides_alone, is_undecided
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import Record

QUERIES = Queries(ClassIndex(("a", "b", "c")))


@pytest.mark.parametrize(
    ("rule", "scores", "expected"),
    [
        (FilterRule(threshold=0.5), [0.52, 0.4, 0.08], True),
        (FilterRule(threshold=0.5), [0.8, 0.1, 0.1], False),
        (FilterRule(threshold=0.5), [0.3, 0.29, 0.41], False),
        (FilterRule(threshold=0.2), [0.44, 0.45, 0.11], True),  # kept, but of which class?
        (FilterRule(threshold=0.2, label_by="query"), [0.44, 0.45, 0.11], False),
        (FilterRule(threshold=0.2, label_by="query", agree=True), [0.44, 0.45, 0.11], True),
        (FilterRule(threshold=0.2, label_by="query", agree=True), [0.7, 0.2, 0.1], False),
        (FilterRule(threshold=0.2, label_by="query"), [0.21, 0.7, 0.09], True),
    ],
)
def test_undecided_is_what_an_error_of_the_scores_could_turn(rule, scores, expected):
    record = Record({"id": "1", "query": "a"})
    assert is_undecided(record, np.array(scores), 0.1, rule=rule, queries=QUERIES) is expected


def test_only_a_threshold_decides_a_record_by_itself():
    assert decides_alone(FilterRule(threshold=0.5, agree=True))
    for rule in (
        FilterRule(threshold=None, keep_fraction=0.5), FilterRule(threshold=None, top=3),
        FilterRule(threshold=None, score_only=True), FilterRule(threshold=None, by_query=QueryRule(accuracy=0.5)),
    ):  # fmt: skip
        assert not decides_alone(rule)
