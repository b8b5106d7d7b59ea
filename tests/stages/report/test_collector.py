import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.stages.report.collector import NUM_BINS, RecordCollector
from omnicli.streams.record import Record


def scored(index, confidence, **more):
    return Record({"id": f"{index}.jpg", "path": f"{index}.jpg", "confidence": confidence, **more})


def ids(records):
    return [record["id"] for record in records]


def test_memory_does_not_grow_with_the_stream():
    collected = RecordCollector(size=3)
    for index in range(5000):
        collected.add(scored(index, index / 5000, query=f"q{index % 4}"), None if index % 2 else "low confidence")
    held = [
        heap
        for group in collected.groups.values()
        for heap in (group.most_confident, group.least_confident, group.top_rejected)
    ]
    assert all(len(heap.records()) <= 3 for heap in held)
    assert len(collected.groups) == 4
    assert len(collected.just_kept.records()) == 6


def test_every_record_is_counted_once_under_its_fate():
    collected = RecordCollector()
    collected.add(scored(1, 0.9, query="rain"))
    collected.add(scored(2, 0.2, query="rain"), "low confidence")
    collected.add(Record({"id": "3.jpg", "query": "Rain"}), "unreadable: truncated JPEG")
    collected.add(Record({"id": "4.jpg", "query": "fan"}), "duplicate: 0.93")
    assert collected.counts == {"kept": 1, "rejected": 2, "unreadable": 1}
    assert collected.reasons == {"low confidence": 1, "duplicate": 1}
    assert collected.bad == {"truncated JPEG": 1}
    assert {group.name: dict(group.counts) for group in collected.groups.values()} == {
        "rain": {"kept": 1, "rejected": 1, "unreadable": 1},
        "fan": {"rejected": 1},
    }


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=200), st.integers(1, 9))
def test_the_share_at_a_threshold_is_the_share_of_records_at_or_above_it(thousandths, tenth):
    collected = RecordCollector()
    for index, value in enumerate(thousandths):
        collected.add(scored(index, value / 1000), None if value >= 500 else "low confidence")
    expected = sum(value >= tenth * 100 for value in thousandths) / len(thousandths)
    assert collected.shares()[tenth * 5] == pytest.approx(expected)
    assert sum(collected.histogram("kept")) + sum(collected.histogram("rejected")) == len(thousandths)
    assert NUM_BINS % len(collected.histogram("kept")) == 0


@given(st.integers(1, 99), st.integers(0, 10**6))
def test_a_threshold_is_read_off_the_records(hundredths, seed):
    cut, rng = hundredths / 100, random.Random(seed)
    values = [cut, cut - 0.0001, *(round(rng.random(), 6) for _ in range(50))]
    collected = RecordCollector()
    for index, value in enumerate(values):
        collected.add(scored(index, value), None if value >= cut else "low confidence")
    assert collected.threshold() == cut


def test_no_threshold_is_claimed_where_kept_and_rejected_overlap_or_lie_far_apart():
    overlap, apart = RecordCollector(), RecordCollector()
    for collected, low, high in ((overlap, 0.7, 0.6), (apart, 0.2, 0.9)):
        collected.add(scored(1, high))
        collected.add(scored(2, low), "low confidence")
    assert overlap.threshold() is None and apart.threshold() is None


def test_a_rejected_record_was_below_the_threshold_never_at_it():
    collected = RecordCollector()
    collected.add(scored(1, 0.45))
    collected.add(scored(2, 0.4), "low confidence")
    assert collected.threshold() == 0.45


def test_duplicates_do_not_move_the_threshold():
    collected = RecordCollector()
    collected.add(scored(1, 0.5))
    collected.add(scored(2, 0.49), "low confidence")
    collected.add(scored(3, 0.99), "duplicate")
    assert collected.threshold() == 0.5


def test_records_group_by_query_or_by_class():
    record = scored(1, 0.9, query="rain", pseudo_class="fan")
    by_query, by_class = RecordCollector(group_by="query"), RecordCollector(group_by="class")
    by_query.add(record)
    by_class.add(record)
    assert list(by_query.groups) == ["rain"] and list(by_class.groups) == ["fan"]
    assert by_query.pairs == {("rain", "fan"): 1}


def test_lines_of_training_and_evaluation_are_no_media():
    collected = RecordCollector()
    collected.add(Record({"epoch": 1, "train_loss": 0.5}))
    collected.add(Record({"top1_acc": 0.8, "confusion": [[1]]}))
    collected.add(Record({"mean_ap": 0.8, "num_videos": 3}))
    assert collected.counts.total() == 0
    assert (len(collected.metrics), len(collected.summaries)) == (1, 2)


def test_a_labelled_and_scored_stream_is_num_labelled():
    collected = RecordCollector()
    collected.add(scored(1, 0.9, label=0, class_name="rain", pseudo_label=0, pseudo_class="rain"))
    collected.add(scored(2, 0.8, label=1, class_name="fan", pseudo_label=0, pseudo_class="rain"))
    assert (collected.right, collected.num_labelled) == (1, 2)
    assert ids(collected.mistakes.records()) == ["2.jpg"]
    assert collected.names == {0: "rain", 1: "fan"}
