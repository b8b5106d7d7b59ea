"""Whole-stream decisions: what stays of each query, and that nobody is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.data.query_labels import Queries
from omnicli.stages.filter.ranking import keep_by_query
from omnicli.stages.filter.rules import FilterRule, QueryRule
from omnicli.stages.filter.stage import filter_records
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import Record

CLASSES = ("Archery", "Horse Race", "Surfing", "Diving")
QUERIES = Queries(ClassIndex(CLASSES))


def scored(rows):
    """Records with stored scores; row = (class of the best score, its score, query)."""
    records = []
    for number, (best, height, query) in enumerate(rows):
        rest = round((1 - height) / (len(CLASSES) - 1), 6)
        order = [best, *(label for label in range(len(CLASSES)) if label != best)]
        fields = {"top_scores": [[label, height if label == best else rest] for label in order]}
        if query in CLASSES:
            fields["query_score"] = height if CLASSES.index(query) == best else rest
        records.append(Record({"id": str(number), "media": "image", "query": query, **fields}, position=number))
    return records


def decide(records, rule):
    dropped, facts = [], {}
    kept = list(
        keep_by_query(lambda on_drop: iter(records), QUERIES, rule, lambda *leaving: dropped.append(leaving), facts)
    )
    return kept, dropped, facts


def crawl(num_fitting, num_misfits):
    rows = []
    for label, name in enumerate(CLASSES):
        rows += [(label, 0.5 + 0.4 * number / num_fitting, name) for number in range(num_fitting)]
        rows += [((label + 1 + number) % len(CLASSES), 0.6, name) for number in range(num_misfits)]
    return scored(rows)


def test_as_many_of_each_query_stay_as_fit_and_are_labelled_by_it():
    kept, dropped, facts = decide(crawl(10, 20), QueryRule(accuracy=1.0))
    assert facts["rule"] == "query"
    assert facts["shares"]["images"]["fit"] == pytest.approx(1 / 3, abs=0.15)
    assert len({record["query"]: 0 for record in kept}) == len(CLASSES)
    assert all(record["pseudo_class"] == record["query"] for record in kept)
    assert min(record["confidence"] for record in kept) >= max(record["confidence"] for record, _ in dropped)
    assert {reason for _, reason in dropped} == {"low rank"}


def test_queries_of_which_less_is_kept_are_counted():
    kept, _, facts = decide(crawl(0, 20), QueryRule(accuracy=None))
    assert facts["shares"]["images"] == {"fit": None, "kept": 0.7, "queries_with_less": len(CLASSES)}
    assert len(kept) < 0.7 * 20 * len(CLASSES)
    assert "queries_with_less" not in decide(crawl(20, 20), QueryRule(accuracy=None))[2]["shares"]["images"]


def test_records_without_a_class_leave_or_call_for_the_papers_rule():
    named, unnamed = crawl(10, 10), [Record({**r, "query": "chess"}, position=1000) for r in crawl(10, 0)]
    _, dropped, facts = decide([*named, *unnamed], QueryRule(accuracy=0.9, threshold=0.5))
    assert facts["rule"] == "query"
    assert sum(reason == "no class" for _, reason in dropped) == len(unnamed)
    kept, dropped, facts = decide([*named[:10], *unnamed], QueryRule(accuracy=0.9, threshold=0.7))
    assert facts == {"rule": "paper"}
    assert all(record["confidence"] >= 0.7 for record in kept)
    assert {reason for _, reason in dropped} == {"low confidence"}
    _, dropped, facts = decide([*named[:10], *unnamed], QueryRule(accuracy=0.9))
    assert facts["rule"] == "query"
    assert sum(reason == "no class" for _, reason in dropped) == len(unnamed)


def test_an_empty_stream_decides_nothing():
    assert decide([], QueryRule(accuracy=None, threshold=0.5))[:2] == ([], [])


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0.3, 0.6, 0.9]), st.sampled_from([*CLASSES, "chess"])),
        max_size=40,
    ),
    st.one_of(st.none(), st.floats(0, 1)),
)
def test_the_order_stays_nobody_is_lost_and_stored_scores_decide_the_same(rows, accuracy):
    rule = FilterRule(threshold=None, by_query=QueryRule(accuracy=accuracy, threshold=0.5))
    dropped = []
    kept = list(
        filter_records(
            iter(scored(rows)), score=None, queries=QUERIES, rule=rule, on_drop=lambda *leaving: dropped.append(leaving)
        )
    )
    positions = [record.position for record in kept]
    assert positions == sorted(positions)
    assert sorted([*positions, *(record.position for record, _ in dropped)]) == list(range(len(rows)))
    direct, _, _ = decide(scored(rows), rule.by_query)
    assert [(r["id"], r["pseudo_label"], r["confidence"]) for r in direct] == [
        (r["id"], r["pseudo_label"], r["confidence"]) for r in kept
    ]
    assert np.isfinite([record["confidence"] for record in kept]).all()


def test_a_query_may_have_images_alone_or_videos_alone():
    images = scored([(0, 0.9, "Archery"), (1, 0.8, "Horse Race"), (2, 0.7, "Surfing")])
    video = scored([(0, 0.6, "Archery")])[0].derive(id="v", media="video")
    video.position = 3
    kept, _, facts = decide([*images, video], QueryRule(accuracy=None))
    assert [record["id"] for record in kept] == ["0", "1", "2", "v"]
    assert facts["shares"].keys() == {"images", "videos"}
