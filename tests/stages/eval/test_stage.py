"""Testing: every record judged, one summary that a loop agrees with."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicli.errors import InputError
from omnicli.inference.metrics import classification_metrics, mean_average_precision, top_k_acc
from omnicli.stages.eval.fusion import CLASS_NAMES, open_scores
from omnicli.stages.eval.stage import evaluate
from omnicli.streams.record import Record, format_record
from omnicli.streams.shards.writer import ShardWriter

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
    rows.append(Record({"id": "wrong", "scores": [1.0] + [0.1] * 50, "label": 50}, position=1))
    summary = list(evaluate(rows, score=fake_score, classes=names, on_drop=lambda *_: None))[-1]
    assert "confusion" not in summary
    assert summary["top1_acc"] == 0.5
    assert [pair["classes"] for pair in summary["confused"]] == [["class 0", "class 50"]]


def stored(folder, records):
    """What ``--shards`` leaves of judged records."""
    writer = ShardWriter(folder, stage="eval", kind="scores", provenance={CLASS_NAMES: list(CLASSES)})
    for record in records:
        writer.add(record)
    writer.close()
    return open_scores(folder)


def drawn(seed, count, *, skill):
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(0).integers(0, 6, count)
    scores = rng.dirichlet(np.ones(6), count) + skill * np.eye(6)[labels]
    return [{"scores": row.tolist(), "label": int(label)} for row, label in zip(scores, labels, strict=True)]


def test_confused_classes_are_listed_with_their_names_and_counts():
    taken = [(0, 1), (0, 1), (1, 0), (1, 1), (0, 0), (0, 0), (2, 3), (4, 4)]
    _, summary, _ = judge([{"label": true, "scores": (np.eye(6)[seen] + 0.1).tolist()} for true, seen in taken])
    assert summary["confused"] == [
        {"classes": ["climbing", "diving"], "score": 1.0, "confused": [1, 0], "right": [0, 0]},
        {"classes": ["archery", "bowling"], "score": 0.5, "confused": [2, 1], "right": [2, 1]},
    ]
    format_record(summary)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(2, 25))
def test_the_comparison_is_that_of_a_loop_over_both(tmp_path_factory, seed, count):
    old, new = drawn(seed, count, skill=0.1), drawn(seed + 1, count, skill=0.4)
    before, earlier, _ = judge(old)
    after, summary, _ = judge(new, baseline=stored(tmp_path_factory.mktemp("old"), before))
    compared = summary["baseline"]
    right = [[record["pseudo_label"] == record["label"] for record in records] for records in (before, after)]
    assert compared["became_right"] == sum(now and not was for was, now in zip(*right, strict=True))
    assert compared["became_wrong"] == sum(was and not now for was, now in zip(*right, strict=True))
    for name in ("top1_acc", "top5_acc", "mean_class_acc", "mean_ap"):
        assert compared[name] == earlier[name]
        assert compared["change"][name] == summary[name] - earlier[name]
    labels = np.array([row["label"] for row in old])
    scores = [np.array([record.arrays["scores"] for record in records]) for records in (before, after)]
    for metrics, table in ((earlier, scores[0]), (summary, scores[1])):
        expected = {
            **classification_metrics(table, labels),
            "mean_ap": mean_average_precision(table, np.eye(6)[labels]),
        }
        assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    recalls = [
        {CLASSES[k]: np.mean([ok for ok, label in zip(rights, labels, strict=True) if label == k]) for k in set(labels)}
        for rights in right
    ]
    changes = {name: recalls[1][name] - recalls[0][name] for name in recalls[0]}
    assert compared["class_acc_change"] == pytest.approx(changes)
    assert compared["num_left_out"] == 0


def test_improved_and_worsened_change_places_with_the_models(tmp_path):
    old, new = drawn(1, 60, skill=0.1), drawn(2, 60, skill=0.3)
    sets = {name: stored(tmp_path / name, judge(rows)[0]) for name, rows in (("old", old), ("new", new))}
    forth = judge(new, baseline=sets["old"])[1]["baseline"]
    back = judge(old, baseline=sets["new"])[1]["baseline"]
    for listed_here, listed_there in (("improved", "worsened"), ("worsened", "improved")):
        turned = [{**pair, "before": pair["after"], "after": pair["before"]} for pair in back[listed_there]]
        assert forth[listed_here] == turned
    assert forth["improved"] and forth["worsened"]
    assert all(pair["after"] < pair["before"] for pair in forth["improved"])
    assert (forth["became_right"], forth["p_value"]) == (back["became_wrong"], back["p_value"])
    falls = [pair["before"] - pair["after"] for pair in forth["improved"]]
    assert falls == sorted(falls, reverse=True)


def test_a_model_against_itself_changes_nothing(tmp_path):
    rows = drawn(3, 20, skill=0.1)
    compared = judge(rows, baseline=stored(tmp_path, judge(rows)[0]))[1]["baseline"]
    assert set(compared["change"].values()) == {0.0} == set(compared["class_acc_change"].values())
    assert (compared["became_right"], compared["became_wrong"], compared["p_value"]) == (0, 0, 1.0)
    assert compared["improved"] == compared["worsened"] == []


@given(st.permutations(range(12)))
@settings(max_examples=10)
def test_the_order_of_records_changes_no_bit_of_the_summary(tmp_path_factory, order):
    rows = [{"id": str(n), **row} for n, row in enumerate(drawn(4, 12, skill=0.2))]
    before, _, _ = judge([{"id": str(n), **row} for n, row in enumerate(drawn(5, 12, skill=0.1))])
    baseline = stored(tmp_path_factory.mktemp("old"), before)
    assert judge([rows[n] for n in order], baseline=baseline)[1] == judge(rows, baseline=baseline)[1]


def test_records_that_cannot_be_read_now_are_left_out_of_both_sides(tmp_path):
    rows = drawn(6, 8, skill=0.1)
    baseline = stored(tmp_path, judge(rows)[0])
    new = [{**row, "bad": n < 3} for n, row in enumerate(drawn(7, 8, skill=0.3))]
    _, summary, left = judge(new, baseline=baseline)
    alone = judge([{"id": str(n), **row} for n, row in enumerate(rows)][3:])[1]
    assert len(left) == summary["baseline"]["num_left_out"] == 3
    assert all(summary["baseline"][name] == alone[name] for name in ("top1_acc", "mean_ap"))


def test_a_record_that_the_baseline_lacks_stops_unless_it_is_unreadable_too(tmp_path):
    rows = drawn(8, 3, skill=0.1)
    baseline = stored(tmp_path, judge(rows)[0])
    with pytest.raises(
        InputError, match=rf"^{tmp_path}: no scores for id '3' of v\.jsonl:4; a baseline needs the same records"
    ):
        judge([*rows, rows[0]], baseline=baseline)
    assert judge([*rows, {"label": 0, "bad": 1}], baseline=baseline)[1]["baseline"]["num_left_out"] == 0


def test_records_of_several_labels_are_judged_by_map_alone(tmp_path):
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    there = rng.random((9, 6)) < 0.4
    there[:, 5], there[:, 0] = False, True
    scores = rng.dirichlet(np.ones(6), (2, 9)).astype(np.float32)
    old, new = (
        [{"label": np.flatnonzero(own).tolist(), "scores": row.tolist()} for own, row in zip(there, table, strict=True)]
        for table in scores
    )
    before, earlier, _ = judge(old)
    records, summary, _ = judge(new, baseline=stored(tmp_path, before))
    expected = [average_precision_score(there[:, :5], table[:, :5]) for table in scores]
    assert earlier == {"mean_ap": pytest.approx(expected[0]), "num_videos": 9}
    assert summary["mean_ap"] == pytest.approx(expected[1])
    assert summary["baseline"] == {
        "mean_ap": earlier["mean_ap"],
        "change": {"mean_ap": summary["mean_ap"] - earlier["mean_ap"]},
        "num_left_out": 0,
    }
    assert [record["label"] for record in records] == [row["label"] for row in new]
    several = next(record for record in records if len(record["label"]) > 1)
    assert several["class_name"] == [CLASSES[label] for label in several["label"]]


@pytest.mark.parametrize(
    ("given_as", "made"),
    [
        ({"label": [1], "class_name": ["Bowling"]}, ([1], ["Bowling"])),
        ({"class_name": ["Bowling"]}, ([1], ["Bowling"])),
        ({"class_name": ["Bowling", "bowling"]}, ([1], ["bowling"])),
        ({"class_name": "Bowling", "label": [1]}, ([1], ["bowling"])),
        ({"label": [1]}, ([1], ["bowling"])),
        ({"label": 1}, (1, "bowling")),
    ],
)
def test_one_label_in_a_list_is_one_label_and_stays_in_its_list(given_as, made):
    [record], summary, _ = judge([{**given_as, "scores": [1, 9, 1, 1, 1, 1]}])
    assert (record["label"], record["class_name"], summary["top1_acc"]) == (*made, 1.0)
    assert judge([record | {"scores": [1, 9, 1, 1, 1, 1]}])[0] == [record]  # and is read again


def test_what_is_stored_gets_the_verdict_of_what_was_scored():
    """Two scores that float32 cannot tell apart tie, as they will when they are read from a shard."""
    rows = [{"label": 1, "scores": [0.5, 0.5 + 1e-12, 0, 0, 0, 0]}]
    [record], summary, _ = judge(rows)
    assert summary["top1_acc"] == 0.0 and record["pseudo_label"] == 0
