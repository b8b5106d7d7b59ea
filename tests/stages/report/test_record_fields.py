"""What the report reads off a record."""

import itertools

import pytest

from omnicli.stages.report.record_fields import group_name, is_metric, is_summary, rank_of, similarity_of
from omnicli.streams.record import Record


def test_records_are_grouped_by_what_they_have():
    both = Record({"query": "rain", "pseudo_class": "Fan"})
    assert (group_name(both, "query"), group_name(both, "class")) == ("rain", "Fan")
    assert group_name(Record({"label": 3}), "query") == "class 3"
    assert group_name(Record({}), "class") == "(no class)"


def test_verified_copies_come_first_and_look_alikes_last():
    """Whatever the similarity: two balls before a wall have a cosine of 0.99, and a small crop has 0.7."""
    alike = {"cosine": 0.99, "verified": False, "inliers": 6}
    ranked = [
        {"cosine": 0.70, "verified": True, "inliers": 300},
        {"cosine": 0.98, "verified": True, "inliers": 12},
        {"overlap": 1.0},
        {"cosine": 0.2, "not_compared": "no such file"},
        alike,
        alike | {"inliers": 0},
    ]
    ranks = [rank_of(match) for match in ranked]
    assert all(before > after for before, after in itertools.pairwise(ranks))


@pytest.mark.parametrize("match", [{"similarity": "high"}, {"verified": "yes", "inliers": "many"}, {}])
def test_a_match_of_another_program_does_no_harm(match):
    assert similarity_of(match) is None
    rank_of(match)


def test_lines_of_training_and_evaluation_are_no_records():
    assert is_metric(Record({"epoch": 1, "loss": 2.0})) and not is_metric(Record({"id": "a", "epoch": 1}))
    assert is_summary(Record({"top1_acc": 0.5})) and not is_summary(Record({"path": "a", "top1_acc": 0.5}))
