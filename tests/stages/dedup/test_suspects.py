"""Records that coarse features do not decide have the verdict and the match of exact ones."""

import math

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from made_frames import coarsely, extract, reader, stored, target_records

from omnicli.inference.rescoring import MULTIPLE
from omnicli.stages.dedup import suspects
from omnicli.stages.dedup.stage import DedupRule, dedup_records
from omnicli.stages.dedup.suspects import measure_margin
from omnicli.stages.dedup.target import learn_target
from omnicli.streams.record import Record

EXACT = reader()


def learn(reader, threshold=None, records=None):
    return learn_target(
        records or target_records(), reader=reader, threshold=threshold, needs_threshold=True, whiten_dim=256, seed=0,
        device=torch.device("cpu"), precision=torch.float32, unreadable=[],
    )  # fmt: skip


def decided(records, target, reader, **rule):
    """(reason or None, the record) of each position, in order."""
    settled = []
    web = [Record({"id": str(number), **record}, position=number) for number, record in enumerate(records)]
    for record in dedup_records(
        iter(web), target=target, reader=reader, rule=DedupRule(**rule),
        on_drop=lambda record, reason: settled.append((reason, record)),
    ):  # fmt: skip
        settled.append((None, record))
    assert [record.position for _, record in settled] == list(range(len(records)))
    return settled


def counting(calls):
    """``extract`` that notes the ids it reads."""

    def counted(records, **options):
        return extract((calls.append(record["id"]) or record for record in records), **options)

    return counted


web_records = st.lists(
    st.fixed_dictionaries(
        {"frames": st.lists(st.integers(176, 190), min_size=1, max_size=3)},  # up to 179 the target's
        optional={"noise": st.sampled_from([0.5, 0.8, 1.0]), "broken": st.sampled_from([False, True])},
    ),
    min_size=1, max_size=12,
)  # fmt: skip


def similarities(records):
    """What an exact run finds, of the records that it can read."""
    scored = decided(records, learn(EXACT), EXACT, score_only=True)
    return [record["similarity"] for reason, record in scored if reason is None]


@settings(max_examples=15, phases=[Phase.explicit, Phase.generate])  # shrinking would take minutes
@given(records=web_records, at=st.integers(0, 11), block=st.integers(1, 9))
def test_verdicts_and_matches_are_those_of_exact_features(records, at, block):
    """Also at a threshold that is the very similarity of a record, and however the stream is cut."""
    found = similarities(records) or [0.5]
    for threshold in (None, found[at % len(found)]):
        expected = decided(records, learn(EXACT, threshold), EXACT)
        both = reader(coarsely, extract)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("omnicli.stages.dedup.stage.BLOCK_FRAMES", block)
            assert decided(records, learn(both, threshold), both) == expected


CLOSE = [{"frames": [number], "noise": 0.5 + number / 200} for number in range(180)]


def test_coarse_features_alone_decide_otherwise():
    """Else the property above would hold without reading anything again."""
    coarse = reader(coarsely, coarsely)
    threshold = float(np.median(similarities(CLOSE)))
    reasons = [[reason for reason, _ in decided(CLOSE, learn(one, threshold), one)] for one in (EXACT, coarse)]
    assert reasons[0] != reasons[1]


def test_only_what_comes_near_the_threshold_is_read_again():
    calls = []
    both = reader(coarsely, counting(calls))
    threshold = float(np.quantile(similarities(CLOSE), 0.9))
    target = learn(both, threshold)
    assert 0.01 < target.margin < 0.2
    calls.clear()
    settled = decided(CLOSE, target, both)
    left = {record["id"] for reason, record in settled if reason}
    assert left <= set(calls)
    assert len(left) < len(calls) < len(CLOSE) / 2
    assert {record["id"] for _, record in settled if record.rescored} == set(calls)


def test_the_margin_is_more_than_the_largest_error_of_the_target_frames():
    target, both = learn(EXACT), reader(coarsely, extract)
    units = target.whitening.unit_vectors
    coarse, exact = (
        units(np.concatenate([features for _, features, _ in read(target_records(), on_drop=None)]).astype(np.float16))
        for read in (coarsely, extract)
    )
    drawn = target_records(), lambda record: [0.0, 1.0, 2.0]
    options = {"rows": exact, "whitening": target.whitening}
    margin = measure_margin(*drawn, reader=both, **options)
    assert margin == pytest.approx(MULTIPLE * np.abs((coarse - exact) @ exact.T).max())
    assert measure_margin(*drawn, reader=reader(extract, extract), **options) == suspects.MIN_MARGIN


def test_without_media_of_the_target_all_is_read_again(tmp_path):
    gone = [record.derive(broken=True) for record in target_records()]
    rows, calls = stored(tmp_path, gone), []
    both = reader(coarsely, counting(calls))
    target = learn(both, 0.5, rows)
    expected = decided(CLOSE[:20], learn(EXACT, 0.5, rows), EXACT)
    assert decided(CLOSE[:20], target, both) == expected
    assert target.margin == math.inf
    assert calls[-20:] == [str(number) for number in range(20)]


def test_rows_of_shards_are_taken_as_they_are_and_need_no_margin(tmp_path):
    def forbidden(*arguments, **options):
        raise AssertionError

    made = [Record({"id": f"w{number}", "path": f"w{number}", **one}) for number, one in enumerate(CLOSE[::5])]
    rows = [dict(row) for row in stored(tmp_path, made)]
    threshold = float(np.median(similarities(rows)))
    expected = decided(rows, learn(EXACT, threshold), EXACT)
    assert {reason for reason, _ in expected} == {None, "duplicate"}
    assert decided(rows, learn(EXACT, threshold), reader(forbidden, forbidden)) == expected
    mixed = [*CLOSE[1::6], *rows]
    both = reader(coarsely, extract)
    settled = decided(mixed, learn(both, threshold), both)
    assert settled == decided(mixed, learn(EXACT, threshold), EXACT)
    again = {record.position for _, record in settled if record.rescored}
    assert again and max(again) < len(mixed) - len(rows)


def test_a_suspect_whose_medium_is_gone_is_unreadable():
    def gone(records, **options):
        return extract((record.derive(broken=True) for record in records), **options)

    target = learn(reader(coarsely, extract), 0.5)
    target.margin  # noqa: B018  measured while there were media
    settled = decided([{"frames": [999]}, {"frames": [7]}, {"frames": [998]}], target, reader(coarsely, gone))
    assert [reason for reason, _ in settled] == [None, "unreadable: truncated JPEG", None]


def test_a_block_of_which_nothing_can_be_read_again_is_settled(monkeypatch):
    def gone(records, **options):
        return extract((record.derive(broken=record["id"] == "0") for record in records), **options)

    monkeypatch.setattr("omnicli.stages.dedup.stage.BLOCK_FRAMES", 1)
    settled = decided([{"frames": [0]}, {"frames": [0]}], learn(EXACT, 0.5), reader(coarsely, gone))
    assert [reason for reason, _ in settled] == ["unreadable: truncated JPEG", "duplicate"]
