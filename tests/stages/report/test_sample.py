"""The sample is random within its strata, the same for the same records, and ends where one wants."""

from collections import Counter

import numpy as np
import pytest

from omnicli.stages.report.sample import RecordSample, describe_precision, with_verdicts
from omnicli.streams.record import Record
from omnicli.streams.verdicts import Verdict, Verdicts


def sampled(num, confidences, cut=0.5, order=None):
    sample = RecordSample(num)
    for index in order if order is not None else range(len(confidences)):
        confidence = float(confidences[index])
        record = Record({"id": f"{index}.jpg", "confidence": confidence})
        sample.add(record, "kept" if confidence >= cut else "rejected", "low confidence")
    return sample


SCORES = np.random.default_rng(0).beta(0.5, 1.0, 4000).round(6)


def test_every_stratum_gives_the_same_number_and_its_size_is_right():
    drawn = sampled(50, SCORES).drawn()
    assert [one.drawn.rank for one in drawn] == list(range(50))
    assert set(Counter(one.drawn.stratum for one in drawn).values()) == {5}
    assert sum({one.drawn.stratum: one.drawn.size for one in drawn}.values()) == 4000
    assert Counter(one.outcome for one in drawn) == {"kept": 25, "rejected": 25}
    assert all((one.record["confidence"] >= 0.5) == (one.outcome == "kept") for one in drawn)


def test_order_changes_nothing_and_a_larger_sample_begins_with_the_smaller():
    names = [one.record["id"] for one in sampled(30, SCORES).drawn()]
    mixed = sampled(30, SCORES, order=np.random.default_rng(1).permutation(4000))
    assert [one.record["id"] for one in mixed.drawn()] == names
    assert [one.record["id"] for one in sampled(60, SCORES).drawn()][:30] == names


def test_thresholds_are_round_numbers_with_the_records_above_them():
    thresholds = sampled(50, SCORES).thresholds()
    assert [one.at for one in thresholds] == sorted(one.at for one in thresholds)
    assert 0.5 in [one.at for one in thresholds] and len(thresholds) == 10
    assert all(one.num_records == (one.at <= SCORES).sum() for one in thresholds)


def test_few_records_are_all_drawn_and_equal_scores_share_a_stratum():
    drawn = sampled(50, np.array([0.1, 0.1, 0.1, 0.7, 0.9])).drawn()
    assert sorted(one.record["id"] for one in drawn) == [f"{n}.jpg" for n in range(5)]
    assert sorted({(one.drawn.stratum, one.drawn.size) for one in drawn}) == [(0, 1), (1, 1), (2, 3)]
    assert RecordSample(50).drawn() == [] and RecordSample(50).thresholds() == []


def test_what_no_score_decided_about_is_not_drawn():
    sample = RecordSample(50)
    sample.add(Record({"id": "a"}), "kept")
    sample.add(Record({"confidence": 0.5}), "kept")
    for reason in ("duplicate", "teacher disagrees", "low rank", "verdict"):
        sample.add(Record({"id": reason, "confidence": 0.1}), "rejected", reason)
    assert sorted(one.record["id"] for one in sample.drawn()) == ["low rank", "verdict"]


def test_verdicts_about_the_sample_make_the_precision_and_gaps_are_said():
    sample = sampled(50, SCORES)
    drawn = sample.drawn()
    lines = [Verdict(id=one.record["id"], verdict="accept" if one.outcome == "kept" else "reject") for one in drawn]
    chosen = [Verdict(id="3999.jpg", verdict="accept", about="record")]
    said = describe_precision(sample, Verdicts([*lines, *chosen]))
    assert said[0] == (
        "precision from 50 of 50 records of the random sample, with 95 % intervals: kept now 100 % (87 to 100)"
    )
    assert f"0.5 and above, {(SCORES >= 0.5).sum():,} records: 100 % (87 to 100)" in said
    seen, num_skipped = with_verdicts(drawn, Verdicts(lines[5:20]))
    assert (len(seen), num_skipped) == (15, 5)
    assert describe_precision(sample, Verdicts(lines[5:20]))[-1] == (
        "5 records of the sample were passed over, which can bias the precision"
    )
    assert describe_precision(sample, Verdicts([])) == ["precision: no record of the random sample has a verdict"]


@pytest.mark.parametrize("seed", range(3))
def test_records_of_a_stratum_are_drawn_alike(seed):
    """A hash of the id is no score: the mean score of the drawn is that of their stratum."""
    scores = np.random.default_rng(seed).random(20_000).round(6)
    drawn = sampled(500, scores).drawn()
    kept = [one.record["confidence"] for one in drawn if one.outcome == "kept"]
    assert np.mean(kept) == pytest.approx(scores[scores >= 0.5].mean(), abs=0.01)
