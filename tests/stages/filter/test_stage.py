"""Who is kept, why the others leave, and that nobody is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.data.query_labels import Queries
from omnicli.errors import InputError
from omnicli.stages.filter.rules import FilterRule, QueryRule
from omnicli.stages.filter.stage import filter_records
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import Record
from omnicli.streams.verdicts import Verdict, Verdicts

CLASSES = ("Archery", "Horse Race", "Playing_Piano", "Surfing", "Dancing", "Diving")
QUERIES = Queries(ClassIndex(CLASSES))


def fake_score(records, *, skip, on_drop, undecided=None):
    """The teacher's scores are the record's ``scores``; "bad" cannot be read."""
    for record in records:
        if skip(record):
            yield record, None
        elif record.get("bad"):
            on_drop(record, "unreadable: empty file")
        else:
            yield record, np.array(record["scores"])


def crawl(rows):
    return [Record({"id": str(i), **row}, origin="web.jsonl", line=i + 1, position=i) for i, row in enumerate(rows)]


def run(records, rule, *, score=fake_score, queries=QUERIES):
    """(kept records, [(dropped record, reason)])"""
    dropped = []
    kept = list(
        filter_records(
            iter(records), score=score, queries=queries, rule=rule, on_drop=lambda *leaving: dropped.append(leaving)
        )
    )
    return kept, dropped


def peaked(label, height=0.9):
    scores = np.full(len(CLASSES), (1 - height) / (len(CLASSES) - 1))
    scores[label] = height
    return scores.tolist()


scored = st.builds(
    lambda raw, query: {"scores": (np.array(raw) / sum(raw)).tolist(), "query": query},
    st.lists(st.floats(0.01, 1), min_size=6, max_size=6),
    st.sampled_from([*CLASSES, "horse-race", "something else"]),
)
streams = st.lists(st.one_of(scored, st.just({"bad": True, "query": "Archery"})), max_size=15)


def test_the_papers_rule_labels_by_argmax_and_keeps_what_reaches_the_threshold():
    kept, dropped = run(crawl([{"scores": peaked(3)}, {"scores": peaked(1, 0.4)}]), FilterRule(threshold=0.5))
    assert [(r["pseudo_label"], r["pseudo_class"], r["confidence"]) for r in kept] == [(3, "Surfing", 0.9)]
    assert [(r["id"], reason, r["pseudo_class"]) for r, reason in dropped] == [("1", "low confidence", "Horse Race")]
    assert kept[0]["top_scores"][0] == [3, 0.9]
    assert len(kept[0]["top_scores"]) == 5
    assert "query_score" not in kept[0]


def test_a_record_that_is_not_wanted_is_not_scored():
    crawled = crawl([{"scores": peaked(3), "duration_sec": 9.0}, {"duration_sec": 70.0}])
    dropped = []
    kept = filter_records(
        iter(crawled), score=fake_score, queries=QUERIES, rule=FilterRule(),
        why_not=lambda record: "too long" if record["duration_sec"] > 60 else "",
        on_drop=lambda record, reason: dropped.append((record["id"], reason)),
    )  # fmt: skip
    assert [record["id"] for record in kept] == ["0"]
    assert dropped == [("1", "too long")]


def test_a_threshold_is_inclusive():
    kept, _ = run(crawl([{"scores": peaked(0, 0.5)}]), FilterRule(threshold=0.5))
    assert len(kept) == 1


def test_by_query_the_teacher_only_ranks_what_was_searched_for():
    kept, dropped = run(
        crawl([{"scores": peaked(3, 0.6), "query": "archery"}, {"scores": peaked(3), "query": "chess"}]),
        FilterRule(label_by="query", threshold=0.05),
    )
    assert [(r["pseudo_class"], r["confidence"], r["query_score"]) for r in kept] == [("Archery", 0.08, 0.08)]
    assert [reason for _, reason in dropped] == ["no class"]


def test_agree_wants_the_best_class_to_be_the_one_searched_for():
    rows = [{"scores": peaked(3), "query": "surfing"}, {"scores": peaked(2), "query": "surfing"}]
    kept, dropped = run(crawl(rows), FilterRule(agree=True))
    assert [r["id"] for r in kept] == ["0"]
    assert [(r["id"], reason) for r, reason in dropped] == [("1", "teacher disagrees")]


def test_the_advice_about_queries_is_about_those_of_this_job():
    queries = Queries(QUERIES.classes)
    for name in ("chess", "knitting"):
        run(crawl([{"scores": peaked(0), "query": name}]), FilterRule(label_by="query"), queries=queries)
    assert "the queries are knitting; the classes are" in queries.advice()


def test_one_of_several_queries_is_drawn_by_the_id_alone():
    rows = [{"scores": peaked(0), "queries": ["archery", "surfing", "chess"]} for _ in range(60)]
    rule = FilterRule(label_by="query", threshold=0.0)
    kept, _ = run(crawl(rows), rule)
    backwards, _ = run(crawl(rows)[::-1], rule)
    drawn = {r["id"]: r["pseudo_class"] for r in kept}
    assert drawn == {r["id"]: r["pseudo_class"] for r in backwards}
    assert 15 < sum(name == "Archery" for name in drawn.values()) < 45
    assert set(drawn.values()) == {"Archery", "Surfing"}


@given(streams, st.floats(0, 1))
def test_the_output_is_an_ordered_subsequence_and_nobody_is_lost(rows, threshold):
    records = crawl(rows)
    for rule in (
        FilterRule(threshold=threshold),
        FilterRule(threshold=None, keep_fraction=0.5, per="query"),
        FilterRule(agree=True),
    ):
        kept, dropped = run(records, rule)
        assert sorted(r.position for r in kept) == [r.position for r in kept]
        assert sorted([r.position for r in kept] + [r.position for r, _ in dropped]) == list(range(len(records)))


@given(streams, st.floats(0, 1), st.floats(0, 1))
def test_raising_the_threshold_never_keeps_more(rows, one, other):
    low, high = sorted([one, other])
    ids = [{r["id"] for r in run(crawl(rows), FilterRule(threshold=threshold))[0]} for threshold in (low, high)]
    assert ids[1] <= ids[0]


@given(streams, st.sampled_from(["teacher", "query"]), st.booleans(), st.floats(0, 1))
def test_deciding_again_from_the_written_scores_gives_the_same_verdicts(rows, label_by, agree, threshold):
    rows = [row for row in rows if not row.get("bad")]
    rule = FilterRule(label_by=label_by, agree=agree, threshold=threshold)
    direct, _ = run(crawl(rows), rule)
    scored_only, _ = run(crawl(rows), FilterRule(threshold=None, score_only=True))
    again, _ = run([r.derive() for r in scored_only], rule, score=None)
    assert [(r["id"], r["pseudo_label"], r["confidence"]) for r in again] == [
        (r["id"], r["pseudo_label"], r["confidence"]) for r in direct
    ]


def test_without_stored_scores_the_line_is_named():
    with pytest.raises(InputError, match=r"web.jsonl:1: no field 'top_scores'"):
        run(crawl([{}]), FilterRule(), score=None)


def rejected_before(record, reason):
    """As a reader gives what an earlier ``--rejects`` wrote."""
    record.verdict = {"reason": reason}
    return record


@pytest.mark.parametrize(
    "rule",
    [
        FilterRule(agree=True),
        FilterRule(label_by="query"),
        FilterRule(label_by="stored"),
        FilterRule(threshold=None, top=9),
    ],
)
def test_what_could_not_be_read_leaves_again_for_the_same_reason(rule):
    rows = [{"scores": peaked(0), "query": "Archery"}, {"bad": True, "query": "Archery"}, {"bad": True}]
    kept, dropped = run(crawl(rows), FilterRule())
    kept, again = run([*kept, *(rejected_before(*leaving) for leaving in dropped)], rule, score=None)
    assert [record["id"] for record in kept] == ["0"]
    assert [(record["id"], reason) for record, reason in again] == [
        ("1", "unreadable: empty file"), ("2", "unreadable: empty file")
    ]  # fmt: skip


def test_scores_decide_whatever_became_of_the_file_and_other_reasons_do_not_excuse_their_lack():
    [kept], _ = run(crawl([{"scores": peaked(0)}]), FilterRule())
    gone = rejected_before(kept, "unreadable: no such file")
    assert run([gone], FilterRule(), score=None)[0] == [gone]
    for label_by, field in (("teacher", "top_scores"), ("stored", "confidence")):
        with pytest.raises(InputError, match=f"web.jsonl:1: no field '{field}'"):
            run([rejected_before(crawl([{}])[0], "duplicate")], FilterRule(label_by=label_by), score=None)


STALE = {"pseudo_label": 1, "pseudo_class": "Horse Race", "confidence": 0.99, "top_scores": [[1, 0.99]]}


@pytest.mark.parametrize("label_by", ["teacher", "stored"])
def test_what_was_rejected_unscored_leaves_again_and_carries_no_scores_of_another_teacher(label_by):
    rows = [{"scores": peaked(0), "query": "Archery", **STALE}, {"scores": peaked(0), "query": "chess", **STALE}]
    kept, [(left, reason)] = run(crawl(rows), FilterRule(agree=True))
    assert reason == "no class" and not STALE.keys() & left.keys()
    kept, again = run([*kept, rejected_before(left, reason)], FilterRule(label_by=label_by), score=None)
    assert [record["id"] for record in kept] == ["0"]
    assert [(record["id"], reason) for record, reason in again] == [("1", "no class")]


@pytest.mark.parametrize(
    ("rule", "score"),
    [
        (FilterRule(label_by="query"), None),
        (FilterRule(threshold=None, by_query=QueryRule(accuracy=None)), None),
        (FilterRule(threshold=None, by_query=QueryRule(accuracy=None, threshold=0.5)), fake_score),
    ],
)
def test_a_scored_record_without_a_class_keeps_its_scores_but_no_confidence(rule, score):
    named = {"scores": peaked(1), "query": "Surfing", "query_score": 0.002, **STALE}
    dropped = {
        record["id"]: (record, reason)
        for record, reason in run(crawl([named, {**named, "query": "chess"}]), rule, score=score)[1]
    }
    left, reason = dropped["1"]
    assert reason == "no class"
    assert left["top_scores"][0][0] == 1 and "confidence" not in left


def test_stored_scores_of_another_class_list_are_refused():
    with pytest.raises(InputError, match=r"web.jsonl:1: top_scores names class 6, but --classes has 6 names"):
        run(crawl([{"top_scores": [[6, 0.9]]}]), FilterRule(), score=None)


def test_keep_fraction_keeps_the_best_of_each_query_whatever_is_unreadable():
    rows = [{"scores": peaked(0, 0.2 + 0.05 * i), "query": CLASSES[i % 2]} for i in range(12)]
    rows.insert(3, {"bad": True, "query": "Archery"})
    kept, dropped = run(crawl(rows), FilterRule(threshold=None, keep_fraction=0.5, per="query"))
    best = sorted((r for r in crawl(rows) if "scores" in r), key=lambda r: -r["scores"][0])
    expected = {r["id"] for query in CLASSES[:2] for r in [r for r in best if r["query"] == query][:3]}
    assert {r["id"] for r in kept} == expected
    assert sorted({reason for _, reason in dropped}) == ["low rank", "unreadable: empty file"]
    assert [r.position for r, _ in dropped] == sorted(r.position for r, _ in dropped)


def of_people(**about):
    """Verdicts: ``accept`` and ``reject`` name IDs."""
    return Verdicts([Verdict(id=name, verdict=verdict) for verdict, names in about.items() for name in names])


@pytest.mark.parametrize(
    ("rule", "kept", "reasons"),
    [
        (FilterRule(threshold=0.5), "124", {"0": "verdict", "3": "low confidence"}),
        (FilterRule(threshold=None, top=1), "14", {"0": "verdict", "2": "low rank", "3": "low rank"}),
        (FilterRule(threshold=0.5, agree=True), "4", {"0": "verdict", "1": "teacher disagrees",
                                                      "2": "teacher disagrees", "3": "teacher disagrees"}),
        (FilterRule(threshold=None, by_query=QueryRule(accuracy=None)), "1234", {"0": "verdict"}),
    ],
)  # fmt: skip
def test_people_overrule_the_scores_and_what_they_reject_takes_no_rank(rule, kept, reasons):
    heights = (0.9, 0.8, 0.7, 0.3, 0.2)
    crawled = crawl([{"scores": peaked(3, height), "query": "Surfing"} for height in heights])
    for record in crawled if rule.agree else []:
        record["query"] = "Archery"
    dropped = []
    records = filter_records(
        iter(crawled), score=fake_score, queries=QUERIES, rule=rule, verdicts=of_people(accept=["4"], reject=["0"]),
        on_drop=lambda record, reason: dropped.append((record["id"], reason)),
    )  # fmt: skip
    assert "".join(record["id"] for record in records) == kept
    assert dict(dropped) == reasons


def test_what_people_accept_needs_a_class_and_must_be_readable():
    crawled = crawl([{"scores": peaked(3), "query": "chess"}, {"bad": True, "query": "Surfing"}])
    rule = FilterRule(label_by="query", threshold=0.5)
    dropped = []
    records = filter_records(
        iter(crawled), score=fake_score, queries=QUERIES, rule=rule, verdicts=of_people(accept=["0", "1"]),
        on_drop=lambda record, reason: dropped.append(reason),
    )  # fmt: skip
    assert list(records) == [] and dropped == ["no class", "unreadable: empty file"]
