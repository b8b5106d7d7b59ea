"""Testing: every record judged, one summary that a loop agrees with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.engine.metrics import top_k_acc
from omnicli.errors import InputError
from omnicli.stages.eval import evaluate
from omnicli.streams.records import Record, format_record

CLASSES = ("archery", "bowling", "climbing", "diving", "eating", "fencing")


def fake_score(records, *, on_drop):
    """The model's scores are the record's ``scores``; "bad" cannot be read."""
    for record in records:
        if record.get("bad"):
            on_drop(record, "unreadable: empty file")
        else:
            scores = np.array(record["scores"], dtype=np.float64)
            yield record, scores / scores.sum()


def listed(rows):
    return [Record({"id": str(n), **row}, origin="v.jsonl", line=n + 1, position=n) for n, row in enumerate(rows)]


def judge(rows, **options):
    left = []
    made = list(
        evaluate(listed(rows), score=fake_score, classes=CLASSES, on_drop=lambda *drop: left.append(drop), **options)
    )
    return made[:-1], made[-1], left


ROWS = st.lists(
    st.tuples(st.lists(st.integers(1, 1000), min_size=6, max_size=6, unique=True), st.integers(0, 5)),
    min_size=1,
    max_size=9,
)


@given(ROWS)
def test_the_summary_is_that_of_a_loop(rows):
    records, summary, _ = judge([{"scores": scores, "label": label} for scores, label in rows])
    scores, labels = np.array([row[0] for row in rows], dtype=float), np.array([row[1] for row in rows])
    assert summary["top1_acc"] == pytest.approx(top_k_acc(scores, labels, 1))
    assert summary["top5_acc"] == pytest.approx(top_k_acc(scores, labels, 5))
    recalls = [np.mean(scores[labels == k].argmax(axis=1) == k) for k in set(labels.tolist())]
    assert summary["mean_class_acc"] == pytest.approx(np.mean(recalls))
    assert summary["num_videos"] == len(records) == len(rows)
    assert np.sum(summary["confusion"]) == len(rows)
    assert np.trace(summary["confusion"]) == pytest.approx(summary["top1_acc"] * len(rows))


def test_each_record_says_what_it_was_taken_for_and_keeps_what_it_had():
    [record], _, _ = judge([{"scores": [1, 2, 3, 4, 5, 85], "class_name": "Bowling", "colour": "red"}])
    assert record["pseudo_label"] == 5
    assert record["pseudo_class"] == "fencing"
    assert record["confidence"] == 0.85
    assert record["top_scores"] == [[5, 0.85], [4, 0.05], [3, 0.04], [2, 0.03], [1, 0.02]]
    assert (record["label"], record["class_name"], record["colour"]) == (1, "Bowling", "red")
    assert record.arrays["scores"].dtype == np.float32
    format_record(record)


def test_unreadable_media_are_counted_and_not_judged():
    records, summary, left = judge([{"bad": 1, "label": 0}, {"scores": [9, 1, 1, 1, 1, 1], "label": 0}])
    assert (len(records), summary["num_videos"], summary["top1_acc"]) == (1, 1, 1.0)
    assert [(record["id"], why) for record, why in left] == [("0", "unreadable: empty file")]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no readable record"),
        ([{"bad": 1, "label": 0}], "no readable record"),
        ([{"scores": [1] * 6}], "v.jsonl:1: no field 'class_name' or 'label'"),
        ([{"scores": [1] * 6, "class_name": "swimming"}], "v.jsonl:1: class 'swimming'"),
        ([{"scores": [1] * 6, "label": 6}], "outside"),
        ([{"id": "a", "scores": [1] * 6, "label": 0}] * 2, "v.jsonl:2: id 'a' is already at v.jsonl:1"),
    ],
)
def test_what_cannot_be_judged_stops_with_file_and_line(rows, says):
    with pytest.raises(InputError, match=says):
        judge(rows)


def test_many_classes_are_not_shown_as_a_matrix():
    rows = listed([{"scores": [1.0] + [0.1] * 50, "label": 0}])
    names = [f"class {k}" for k in range(51)]
    summary = list(evaluate(rows, score=fake_score, classes=names, on_drop=lambda *_: None))[-1]
    assert "confusion" not in summary
    assert summary["top1_acc"] == 1.0
