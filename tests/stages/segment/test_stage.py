"""Which frames and clips are positive, what a video becomes, and that nobody is lost."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.data.query_labels import Queries
from omnicli.errors import InputError
from omnicli.stages.segment.closing import count_scored, score_curve
from omnicli.stages.segment.stage import SegmentRule, is_untouched, segment_records, undecided_frames
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import Record, format_record, parse_record

CLASSES = ("Archery", "Horse Race", "Playing_Piano")
QUERIES = Queries(ClassIndex(CLASSES))


def fake_score(records, *, skip, on_drop, undecided=None):
    """A moment a second; its scores are a row of the record's ``scores``. "bad" cannot be read."""
    for record in records:
        if skip(record):
            yield record, None
        elif record.get("bad"):
            on_drop(record, "unreadable: empty file")
        else:
            scores = np.array(record["scores"], np.float64).reshape(-1, len(CLASSES))
            yield record, (np.arange(len(scores), dtype=np.float64), scores)


def in_clips(records, **options):
    """The same for clips of 10 seconds."""
    for record, scored in fake_score(records, **options):
        yield record, scored and (np.stack([scored[0] * 10, scored[0] * 10 + 10], axis=1), scored[1])


def crawl(*rows):
    return [Record({"id": str(i), **row}, origin="web.jsonl", line=i + 1, position=i) for i, row in enumerate(rows)]


def run(records, *, score=fake_score, queries=QUERIES, **rule):
    """(kept records, [(dropped record, reason)])"""
    dropped = []
    kept = segment_records(
        records,
        score=score,
        queries=queries,
        rule=SegmentRule(**rule),
        on_drop=lambda *leaving: dropped.append(leaving),
    )
    return list(kept), dropped


ARCHERY = [[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2]]


def test_frames_at_or_above_the_threshold_are_positive_and_the_others_negative():
    [made], dropped = run(crawl({"scores": ARCHERY, "query": "archery", "extra": {"a": 1}}))
    assert dropped == []
    assert (made["pseudo_label"], made["pseudo_class"], made["confidence"]) == (0, "Archery", 0.7)
    assert (made["positive_sec"], made["negative_sec"]) == ([0.0, 2.0], [1.0])
    assert made["frame_scores"] == [0.9, 0.1, 0.5]
    assert (made["id"], made["extra"]) == ("0", {"a": 1})


def test_a_video_without_a_positive_frame_leaves_with_its_best_score():
    kept, [(left, reason)] = run(crawl({"scores": ARCHERY, "query": "playing piano"}))
    assert (kept, reason) == ([], "no positive")
    assert (left["pseudo_class"], left["confidence"], left["positive_sec"]) == ("Playing_Piano", 0.2, [])
    [stays], dropped = run(crawl({"scores": ARCHERY, "query": "playing piano"}), score_only=True)
    assert (stays, dropped) == (left, [])


@pytest.mark.parametrize(
    ("fields", "label_by", "label"),
    [
        ({"class_name": "horse_race", "query": "archery"}, "known", 1),
        ({"label": 2, "query": "archery"}, "query", 2),
        ({"query": "archery"}, "known", 0),
        ({"queries": ["nothing", "horse race"]}, "query", 1),
        ({"query": "nothing"}, "known", 1),
        ({}, "known", 1),
        ({}, "query", None),
        ({"query": "nothing"}, "query", None),
        ({"class_name": "archery", "query": "archery"}, "teacher", 1),
    ],
)
def test_the_class_is_the_label_else_the_query_else_the_best_mean(fields, label_by, label):
    """The best single frame is Archery's, the best mean that of Horse Race."""
    scores = [[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.0, 0.9, 0.1]]
    kept, dropped = run(crawl({"scores": scores, **fields}), label_by=label_by, threshold=0.0)
    assert [record["pseudo_label"] for record in kept] == ([] if label is None else [label])
    assert [reason for _, reason in dropped] == (["no class"] if label is None else [])


def test_a_label_that_is_not_the_teachers_stops_at_file_and_line():
    with pytest.raises(InputError, match=r"web.jsonl:1: class 'chess' is not among the 3 classes"):
        run(crawl({"scores": ARCHERY, "class_name": "chess"}))
    with pytest.raises(InputError, match=r"web.jsonl:1: label 3 is outside \[0, 3\)"):
        run(crawl({"scores": ARCHERY, "label": 3}))


def test_clips_refer_to_the_video_by_milliseconds():
    record = {"path": "v.mp4", "media": "video", "duration_sec": 34.0, "num_frames": 850, "scores": ARCHERY}
    kept, dropped = run(crawl({**record, "query": "archery"}), score=in_clips)
    assert dropped == []
    assert [clip["id"] for clip in kept] == ["0#0-10000", "0#20000-30000"]
    assert [(clip["start_sec"], clip["end_sec"]) for clip in kept] == [(0.0, 10.0), (20.0, 30.0)]
    assert [clip["confidence"] for clip in kept] == [0.9, 0.5]
    for clip in kept:
        assert (clip["parent"], clip["path"], clip["duration_sec"], clip["pseudo_label"]) == ("0", "v.mp4", 10.0, 0)
        assert "num_frames" not in clip  # it was the whole video's


def test_the_parent_is_the_first_ancestor_and_a_folder_still_says_how_many_frames_it_holds():
    clip = {"parent": "v", "media": "frames", "num_frames": 850, "scores": [[1, 0, 0]], "query": "archery"}
    [made], _ = run(crawl(clip), score=in_clips)
    assert (made["parent"], made["id"], made["num_frames"]) == ("v", "0#0-10000", 850)


def test_clips_without_a_positive_one_leave_as_one_video():
    kept, [(left, reason)] = run(crawl({"scores": ARCHERY, "query": "playing piano"}), score=in_clips)
    assert (kept, reason, left["id"], left["confidence"]) == ([], "no positive", "0", 0.2)
    kept, dropped = run(crawl({"scores": ARCHERY, "query": "playing piano"}), score=in_clips, score_only=True)
    assert (len(kept), dropped) == (3, [])


def test_a_video_too_short_for_a_piece_leaves():
    kept, [(_, reason)] = run(crawl({"scores": []}), score=in_clips)
    assert (kept, reason) == ([], "too short")


def test_features_that_no_teacher_has_looked_at_are_not_taken_for_segmented():
    with pytest.raises(InputError, match=r"no field 'frame_scores' of an earlier run; give --teacher"):
        run(crawl({"media": "features"}), score=None, queries=None)


def test_other_media_pass_untouched():
    rows = [
        {"media": "image", "query": "archery"}, {"media": "clip", "inflation": {"seed": 1}},
    ]  # fmt: skip
    kept, dropped = run(crawl(*rows))
    assert kept == crawl(*rows)
    assert run(crawl(*rows), score=None, queries=None)[0] == crawl(*rows)
    assert dropped == []
    assert not any(is_untouched(Record({"media": media})) for media in ("video", "frames", "clip", "features", None))


rows = st.fixed_dictionaries(
    {
        "scores": st.lists(st.sampled_from([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0], [0.1, 0.1, 0.8]]), max_size=5),
        "query": st.sampled_from(["archery", "playing piano", "nothing"]),
        "media": st.sampled_from(["video", "image"]),
        "bad": st.booleans(),
    }
)


@given(st.lists(rows, max_size=8), st.sampled_from([fake_score, in_clips]), st.floats(0, 1), st.booleans())
def test_every_video_is_yielded_or_dropped_once_in_order(made, score, threshold, score_only):
    kept, dropped = run(crawl(*made), score=score, threshold=threshold, score_only=score_only)
    settled = sorted({record.position for record in kept} | {record.position for record, _ in dropped})
    assert settled == list(range(len(made)))
    assert not {record.position for record in kept} & {record.position for record, _ in dropped}
    assert [record.position for record in kept] == sorted(record.position for record in kept)
    assert len({record.position for record, _ in dropped}) == len(dropped)


frame_rows = rows.map(lambda row: {**row, "bad": False, "scores": row["scores"] or ARCHERY})


@given(st.lists(frame_rows, max_size=6), st.floats(0, 1), st.floats(0, 1))
def test_deciding_again_from_what_was_written_equals_deciding_at_once(made, first, second):
    """What was kept, and what was rejected, through JSON."""
    kept, dropped = run(crawl(*made), threshold=first)
    written = sorted([*kept, *(record for record, _ in dropped)], key=lambda record: record.position)
    lines = [
        parse_record(format_record(record), origin="x", line_number=1, position=record.position) for record in written
    ]
    again = run(lines, score=None, queries=None, threshold=second)
    assert again == run(crawl(*made), threshold=second)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"positive_sec": [1.0]}, r"web.jsonl:1: no field 'frame_scores' of an earlier run; give --teacher"),
        ({"frame_scores": [0.5], "negative_sec": []}, r"web.jsonl:1: no field 'positive_sec'"),
        (
            {"frame_scores": [0.5], "positive_sec": [], "negative_sec": [1.0, 2.0], "pseudo_label": 0},
            r"web.jsonl:1: 1 frame_scores, but 2 times",
        ),
        ({"frame_scores": [0.5], "positive_sec": [1.0], "negative_sec": []}, r"web.jsonl:1: no field 'pseudo_label'"),
    ],
)
def test_without_a_teacher_a_video_must_carry_its_scores(fields, message):
    with pytest.raises(InputError, match=message):
        run(crawl(fields), score=None, queries=None)


def test_a_video_that_was_rejected_unscored_leaves_again_for_the_same_reason():
    _, [(left, reason)] = run(crawl({"scores": ARCHERY}), label_by="query")
    line = format_record(left.derive(reason=reason))
    assert run([parse_record(line, origin="x", line_number=1)], score=None, queries=None)[1] == [(left, "no class")]


VIDEOS = [
    {"scores": ARCHERY, "query": "horse race"},
    {"scores": ARCHERY, "query": "archery"},
    {"scores": ARCHERY},
    {"scores": ARCHERY, "query": "horse race", "class_name": "Playing_Piano"},
]


@pytest.mark.parametrize("first", ["known", "query", "teacher"])
@pytest.mark.parametrize("second", ["known", "query", "teacher"])
def test_another_label_by_decides_again_as_the_teacher_would(first, second):
    kept, dropped = run(crawl(*VIDEOS), label_by=first, threshold=0.4)
    written = [record for record in kept + [record for record, _ in dropped] if record.get("frame_scores")]
    assert len(written) == 4 - (first == "query")
    lines = [parse_record(format_record(record), origin="x", line_number=1) for record in written]
    again = run(lines, score=None, label_by=second, threshold=0.4)
    at_once = run([crawl(*VIDEOS)[int(record["id"])] for record in written], label_by=second, threshold=0.4)
    assert [dict(record) for record in again[0]] == [json.loads(format_record(record)) for record in at_once[0]]
    assert [(record["id"], why) for record, why in again[1]] == [(record["id"], why) for record, why in at_once[1]]


def test_without_the_scores_of_other_classes_another_label_by_needs_the_teacher():
    [record], _ = run(crawl(VIDEOS[0]), threshold=0.0)
    without = record.derive(other_scores=None)
    assert run([without], score=None, label_by="stored", threshold=0.0)[0][0]["pseudo_class"] == "Horse Race"
    with pytest.raises(InputError, match=r"web.jsonl:1: no field 'other_scores', which --label-by needs; give --teach"):
        run([without], score=None, label_by="teacher")
    with pytest.raises(InputError, match=r"web.jsonl:1: other_scores is not what omni segment writes"):
        run([record.derive(other_scores={"teacher": {"label": 1}})], score=None, label_by="teacher")


def test_without_a_teacher_what_could_not_be_read_leaves_again_for_the_same_reason():
    [broken], [other] = crawl({"media": "video"}), crawl({"media": "video"})
    broken.verdict = {"reason": "unreadable: empty file"}
    assert run([broken], score=None, queries=None) == ([], [(broken, "unreadable: empty file")])
    other.verdict = {"reason": "duplicate"}
    with pytest.raises(InputError, match=r"web.jsonl:1: no field 'frame_scores'"):
        run([other], score=None, queries=None)


def counted(records, **options):
    """What a run counts, of what it keeps and of what it rejects."""
    counters = Counter()
    kept, dropped = run(records, **options)
    for record in [*kept, *(record for record, _ in dropped)]:
        count_scored(record, counters)
    return counters


@pytest.mark.parametrize("score", [fake_score, in_clips])
@pytest.mark.parametrize("rule", [{}, {"score_only": True}, {"threshold": 0.95}])
def test_all_frames_and_clips_are_counted_whether_positive_or_not(score, rule):
    known = {"scores": ARCHERY, "query": "archery"}
    inflated = {"media": "image", "inflation": {}, "parent": "v", "confidence": 0.75, "frame_scores": [1.0]}
    counters = counted(crawl(known, inflated, known), score=score, **rule)
    assert counters["segment: scored"] == 6
    assert (counters["segment: score >= 0.1"], counters["segment: score >= 0.6"]) == (6, 2)


def test_videos_of_positive_clips_and_what_is_decided_again_are_counted_too():
    records = crawl({"scores": ARCHERY, "query": "archery"})
    assert counted(records, score=in_clips, per_video=True)["segment: scored"] == 3
    first, _ = run(records)
    assert counted(first, score=None, threshold=0.7)["segment: score >= 0.5"] == 2


def test_another_run_leaves_nothing_of_a_teacher_of_the_other_kind():
    [by_frames], _ = run(crawl({"scores": ARCHERY, "query": "archery"}))
    clips, _ = run([by_frames], score=in_clips)
    assert len(clips) == 2
    ours = {"frame_scores", "other_scores", "positive_sec", "negative_sec"}
    assert not any(ours & clip.keys() for clip in clips)
    [by_clips], _ = run([by_frames], score=in_clips, per_video=True)
    assert by_clips["positive_clips"] == [[0.0, 10.0], [20.0, 30.0]]
    [again], _ = run([by_clips])
    assert ours <= again.keys()
    assert "positive_clips" not in again


def test_a_video_of_clips_can_stay_one_record_with_its_positive_ones():
    [made], dropped = run(crawl({"scores": ARCHERY, "query": "archery"}), score=in_clips, per_video=True)
    assert dropped == []
    assert made["positive_clips"] == [[0.0, 10.0], [20.0, 30.0]]
    assert (made["id"], made["confidence"], made["pseudo_class"]) == ("0", 0.7, "Archery")
    assert "parent" not in made
    _, [(_, reason)] = run(crawl({"scores": [[0.1, 0.8, 0.1]], "query": "archery"}), score=in_clips, per_video=True)
    assert reason == "no positive"


def test_the_advice_about_queries_is_about_those_of_this_job():
    queries = Queries(QUERIES.classes)
    for name in ("chess", "knitting"):
        run(crawl({"scores": ARCHERY, "query": name}), queries=queries, label_by="query")
    assert "the queries are knitting; the classes are" in queries.advice()


def undecided(record, scores, **rule):
    found = undecided_frames(
        Record(record), np.array(scores), np.full(len(scores), 0.1), queries=QUERIES, rule=SegmentRule(**rule)
    )
    return found.tolist()


def test_frames_are_undecided_where_an_error_could_divide_them_otherwise():
    scores = [[0.51, 0.3, 0.19], [0.9, 0.05, 0.05], [0.45, 0.44, 0.11]]
    assert undecided({"query": "archery"}, scores) == [True, False, False]
    assert undecided({"query": "archery"}, scores, best_class=True) == [False, False, True]
    assert undecided({"query": "horse race"}, scores, threshold=0.3) == [True, False, False]


def test_all_frames_decide_about_a_video_whose_class_is_that_of_its_mean_score():
    assert undecided({}, ARCHERY) == [True] * 3
    assert undecided({"query": "archery"}, ARCHERY, label_by="teacher") == [True] * 3
    assert undecided({}, ARCHERY, label_by="query") == [False] * 3  # rejected for want of a class


def test_what_float32_decided_is_counted_once_per_video():
    records = crawl({"scores": ARCHERY, "query": "archery"})
    records[0].rescored = 2
    counters = counted(records, score=in_clips)
    assert counters["segment: scored again in float32"] == 2
    assert "2 of 3 frames or clips (67 %)" in score_curve(counters)[1]
