"""Copies leave and nothing else does, however the stream is cut."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_frames import frames_of, reader, target_records

from omnicli.errors import InputError
from omnicli.stages.dedup import stage as dedup
from omnicli.stages.dedup.stage import DedupRule, decide_again, dedup_records
from omnicli.stages.dedup.target import learn_target
from omnicli.stages.dedup.whitening import cosines
from omnicli.streams.record import Record, format_record, parse_record
from omnicli.streams.verdicts import Verdict, Verdicts

REPOSITORY = Path(__file__).resolve().parents[3]
ACTIONS6 = REPOSITORY.parent / "shared" / "data" / "actions6"


def learn(records=None, *, precision=torch.float32, threshold=None):
    return learn_target(
        target_records() if records is None else records, reader=reader(), threshold=threshold, needs_threshold=True,
        whiten_dim=256, seed=0, device=torch.device("cpu"), precision=precision, unreadable=[],
    )  # fmt: skip


TARGETS = {precision: learn(precision=precision) for precision in (torch.float32, torch.bfloat16)}
web_records = st.lists(
    st.fixed_dictionaries(
        {"frames": st.lists(st.integers(176, 190), min_size=1, max_size=3)},  # up to 179 the target's
        optional={"noise": st.sampled_from([0.2, 0.8]), "broken": st.sampled_from([False, True])},
    ),
    max_size=12,
)


def run(records, target=None, **rule):
    """(kept, left) as lists; left as (record, reason). Positions are settled once each, in order."""
    left, settled = [], []
    numbered = [Record({"id": str(i), **record}, position=i) for i, record in enumerate(records)]
    kept = []

    def on_drop(record, reason):
        settled.append(record.position)
        left.append((record, reason))

    for record in dedup_records(
        numbered, target=target or TARGETS[torch.float32], reader=reader(), rule=DedupRule(**rule), on_drop=on_drop
    ):
        settled.append(record.position)
        kept.append(record)
    assert settled == list(range(len(records)))
    return kept, left


def verdicts(records, target=None, **rule):
    kept, left = run(records, target, **rule)
    return {record["id"]: (record, None) for record in kept} | {record["id"]: (record, why) for record, why in left}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(records=web_records, block=st.integers(1, 9), precision=st.sampled_from(list(TARGETS)), within=st.booleans())
def test_block_and_precision_change_no_verdict(monkeypatch, records, block, precision, within):
    expected = verdicts(records, within=within)
    monkeypatch.setattr(dedup, "BLOCK_FRAMES", block)
    assert verdicts(records, TARGETS[precision], within=within) == expected


@settings(max_examples=30)
@given(records=web_records, data=st.data())
def test_order_and_shards_change_no_verdict(records, data):
    """Each record is judged alone."""
    named = [{**record, "id": f"w{i}"} for i, record in enumerate(records)]
    expected = verdicts(named)
    mixed = data.draw(st.permutations(named))
    shard = data.draw(st.integers(0, 1))
    assert verdicts(mixed) == expected
    part = named[shard::2]
    assert verdicts(part) == {record["id"]: expected[record["id"]] for record in part}


@settings(max_examples=30)
@given(records=web_records)
def test_the_verdicts_are_those_of_a_loop(records):
    """Slow and obvious: the best of all pairs, kept below the threshold, each position once and in order."""
    target = TARGETS[torch.float32]
    units = target.whitening.unit_vectors
    guarded = np.concatenate([units(frames_of(record).astype(np.float16)) for record in target_records()])
    kept, left = run(records)
    for i, record in enumerate(records):
        mine = units(frames_of(record).astype(np.float16))
        pairs = cosines(mine, guarded)
        frame, row = np.unravel_index(pairs.argmax(), pairs.shape)  # the first of equal ones
        found = [(one, why) for one, why in left if one["id"] == str(i)]
        if record.get("broken"):
            assert found[0][1] == "unreadable: truncated JPEG"
        elif pairs.max() >= target.threshold:
            [(one, why)] = found
            assert why == "duplicate"
            assert (one["match"]["id"], one["match"]["target_time_sec"]) == (f"t{row // 3}.mp4", row % 3)
            assert (one["match"]["time_sec"], one["match"]["cosine"]) == (frame, pairs.max())
        else:
            assert not found
    assert [record["id"] for record in kept] == sorted((record["id"] for record in kept), key=int)
    assert len(kept) + len(left) == len(records)
    assert all(set(record) == set(records[int(record["id"])]) | {"id"} for record in kept)  # nothing was added


def test_a_match_names_the_target_both_times_and_the_cosine():
    _, [(record, why)] = run([{"frames": [300, 301, 14], "label": 2}])
    assert why == "duplicate"
    assert record["match"] == {
        "id": "t4.mp4", "path": "t4.mp4", "time_sec": 2.0, "target_time_sec": 2.0, "cosine": 1.0
    }  # fmt: skip


DEGENERATE = {
    "one frame": [[7]],
    "one frame many times": [[7] * 50] * 3,
    "two frames": [[7, 8]],
    "fewer than dimensions": [[i] for i in range(40)],
    "just enough to whiten": [[i] for i in range(33)],
}


@pytest.mark.parametrize("frames", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("precision", list(TARGETS), ids=str)
def test_an_exact_copy_is_always_found(frames, precision):
    """Also where the target is too poor to whiten, and at the highest threshold there is."""
    records = [Record({"id": f"t{i}", "path": f"t{i}", "frames": one}) for i, one in enumerate(frames)]
    for threshold in (None, 1.0):
        target = learn(records, precision=precision, threshold=threshold)
        kept, left = run([{"frames": one} for one in frames] + [{"frames": [999]}], target)
        assert [record["match"]["cosine"] for record, _ in left] == [1.0] * len(frames)
        assert [record["frames"] for record in kept] == [[999]]


def test_black_frames_are_copies_of_black_frames_only(monkeypatch):
    """Features that are all zero have no direction."""
    monkeypatch.setattr("made_frames.frames_of", lambda record: np.full((1, 48), record["frames"][0], "f4"))
    target = learn([Record({"id": "black", "frames": [0]}), Record({"id": "grey", "frames": [1]})], threshold=0.5)
    kept, left = run([{"frames": [0]}, {"frames": [1]}, {"frames": [-1]}], target)
    assert [(record["match"]["id"], record["match"]["cosine"]) for record, _ in left] == [("black", 1.0), ("grey", 1.0)]
    assert [record["frames"] for record in kept] == [[-1]]


def test_within_the_first_of_a_group_stays():
    records = [{"frames": [500]}, {"frames": [501, 500]}, {"frames": [501]}, {"frames": [3]}, {"frames": [501]}]
    kept, left = run(records, within=True)
    assert [record["id"] for record in kept] == ["0", "2"]  # 1 left, so 2 repeats nothing that stays
    assert [(record["id"], why, record["match"]["id"]) for record, why in left] == [
        ("1", "repeat", "0"), ("3", "duplicate", "t1.mp4"), ("4", "repeat", "2")
    ]  # fmt: skip
    assert left[0][0]["match"]["time_sec"] == 1.0 and left[0][0]["match"]["target_time_sec"] == 0.0


def test_within_names_the_same_record_in_whatever_block_it_stands(monkeypatch):
    records = [{"frames": [frame]} for frame in (500, 501, 502, 502, 500, 503, 501, 503, 502)]
    for block in (1, 2, 3, 4, 100):
        monkeypatch.setattr(dedup, "BLOCK_FRAMES", block)
        _, left = run(records, within=True)
        assert [(record["id"], record["match"]["id"]) for record, _ in left] == [
            ("3", "2"), ("4", "0"), ("6", "1"), ("7", "5"), ("8", "2")
        ]  # fmt: skip


@settings(max_examples=30)
@given(records=web_records)
def test_within_is_what_a_loop_over_all_that_stayed_finds(records):
    target = TARGETS[torch.float32]
    expected, stayed = [], []
    for i, record in enumerate(records):
        units = target.whitening.unit_vectors(frames_of(record).astype(np.float16))
        is_copy = verdicts([record])["0"][1] is not None
        if not is_copy and not any(cosines(units, other).max() >= target.threshold for other in stayed):
            stayed.append(units)
            expected.append(str(i))
    assert [record["id"] for record in run(records, within=True)[0]] == expected


@settings(max_examples=20)
@given(records=web_records)
def test_deciding_again_from_written_scores_gives_the_same(records):
    target = TARGETS[torch.float32]
    kept, left = run(records)
    scored, unreadable = run(records, score_only=True)
    assert all(why.startswith("unreadable") for _, why in unreadable)
    lines = [
        parse_record(format_record(record), origin="scored.jsonl", line_number=1, position=record.position)
        for record in scored
    ]
    again = []
    stayed = list(decide_again(lines, threshold=target.threshold, on_drop=lambda *leaving: again.append(leaving)))
    assert [record["id"] for record in stayed] == [record["id"] for record in kept]
    assert [(record["id"], record["match"]) for record, _ in again] == [
        (record["id"], record["match"]) for record, why in left if why == "duplicate"
    ]


def test_people_overrule_similarity_now_and_when_deciding_again():
    """Frame 100 is the target's, 900 is nobody's."""
    crawled = [Record({"id": name, "frames": [frame]}, position=place)
               for place, (name, frame) in enumerate([("a", 100), ("b", 100), ("c", 900), ("d", 900)])]  # fmt: skip
    lines = [Verdict(id="a", verdict="accept"), Verdict(id="c", verdict="reject"),
             Verdict(id="b", verdict="accept", about="record")]  # fmt: skip
    verdicts, target = Verdicts(lines, "duplicate"), TARGETS[torch.float32]
    left = []

    def on_drop(record, reason):
        left.append((record["id"], reason, "match" in record))

    kept = list(
        dedup_records(crawled, target=target, reader=reader(), rule=DedupRule(), verdicts=verdicts, on_drop=on_drop)
    )
    assert ([record["id"] for record in kept], left) == (
        ["a", "d"], [("b", "duplicate", True), ("c", "verdict", False)]
    )  # fmt: skip
    left.clear()
    stored = [Record({"id": name, "similarity": value, "nearest": {"id": "t"}})
              for name, value in (("a", 0.9), ("b", 0.9), ("c", 0.1), ("d", 0.1))]  # fmt: skip
    kept = list(decide_again(stored, threshold=0.5, verdicts=verdicts, on_drop=on_drop))
    assert ([record["id"] for record in kept], left) == (
        ["a", "d"], [("b", "duplicate", True), ("c", "verdict", False)]
    )  # fmt: skip


def test_deciding_again_needs_scores():
    with pytest.raises(InputError, match="no field 'similarity'; has id"):
        list(decide_again([Record({"id": "a"})], threshold=0.5, on_drop=None))


def test_what_could_not_be_read_leaves_again_for_the_same_reason():
    broken, dropped = Record({"id": "a"}), []
    broken.verdict = {"reason": "unreadable: empty file"}
    assert list(decide_again([broken], threshold=0.5, on_drop=lambda *leaving: dropped.append(leaving))) == []
    assert dropped == [(broken, "unreadable: empty file")]


def test_features_made_now_stay_with_the_record_when_asked():
    [record], _ = run([{"frames": [900, 901]}], keep_features=True)
    assert record.arrays["features"].shape == (2, 48) and record.arrays["features"].dtype == np.float16
    np.testing.assert_array_equal(record.arrays["times"], [0, 1])
    assert "features" not in json.loads(format_record(record))


def test_an_empty_stream_is_legal():
    assert run([]) == ([], [])


@pytest.mark.slow
@pytest.mark.skipif(not ACTIONS6.is_dir(), reason="no ../shared/data/actions6")
def test_real_copies_are_found_and_hardly_anything_else():
    """JPEG quality 40, half size, 5 % crop, brighter; against 834 images that are no copies."""
    bench = [sys.executable, "benchmarks/bench_dedup_actions6.py"]
    done = subprocess.run(bench, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True, timeout=600)
    found = json.loads(done.stdout)
    assert found["web_images"] > 800
    assert found["web_flagged"] <= found["bars"]["web_flagged"] == 0.005
    assert found["copies_found"] >= found["bars"]["copies_found"] == 0.97
