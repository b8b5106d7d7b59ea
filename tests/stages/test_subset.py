"""Subsets of a stream: by length, within a budget, of the labels of each class."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import InputError
from omnicli.stages.subset import Subset, duration_of, subset_stage
from omnicli.streams.record import Record


def stream(*fields: dict) -> list[Record]:
    return [Record({"id": str(i)} | row, origin="w.jsonl", line=i + 1, position=i) for i, row in enumerate(fields)]


def passes(records, on_drop):
    """A stage that rejects what is "bad"."""
    for record in records:
        if record.get("bad"):
            on_drop(record, "unreadable: bad")
        else:
            yield record


def run(records, **options) -> tuple[list[str], dict[str, str]]:
    """(kept ids, reason by id); each position is settled once and in order."""
    dropped, settled = {}, []

    def on_drop(record, reason):
        dropped[record["id"]] = reason
        settled.append(record.position)

    kept = []
    for record in subset_stage(passes, Subset(**options))(iter(records), on_drop):
        kept.append(record["id"])
        settled.append(record.position)
    assert settled == list(range(len(records)))
    return kept, dropped


def test_videos_of_a_range_of_lengths():
    records = stream(*({"duration_sec": float(s)} for s in (0.5, 1, 5, 5.1, 60)), {"media": "image"}, {"bad": True})
    assert run(records, min_sec=1.0, max_sec=5.0) == (
        ["1", "2", "5"], {"0": "too short", "3": "too long", "4": "too long", "6": "unreadable: bad"}
    )  # fmt: skip
    assert run(records)[0] == ["0", "1", "2", "3", "4", "5"]


def test_the_centre_of_long_videos():
    """IG-65M Sec. 4.3.1: long-center-N has 4 seconds of videos of 55 to 60."""
    records = stream(
        {"duration_sec": 58.0}, {"duration_sec": 3.0}, {"media": "image"}, {"start_sec": 10.0, "end_sec": 20.0}
    )
    made = list(subset_stage(passes, Subset(centre_sec=4.0))(iter(records), pytest.fail))
    assert [(record.get("start_sec"), record.get("end_sec")) for record in made] == [
        (27.0, 31.0), (None, None), (None, None), (13.0, 17.0)
    ]  # fmt: skip
    budget = Subset(centre_sec=4.0, minutes=0.1)
    assert len(list(subset_stage(passes, budget)(iter(records[:1]), pytest.fail))) == 1, "4 s count, not 58"


def test_the_length_of_a_clip_is_its_own():
    assert duration_of(Record({"start_sec": 10.0, "end_sec": 14.0, "duration_sec": 99.0})) == 4.0
    assert duration_of(Record({"media": "image"})) is None
    with pytest.raises(InputError, match=r"w\.jsonl:1: no field 'duration_sec'.*omni index --probe"):
        run(stream({"media": "video"}), max_sec=3.0)


@given(st.lists(st.floats(1, 60), min_size=1, max_size=60), st.integers(0, 5))
def test_a_budget_holds_and_a_smaller_one_is_part_of_a_larger(seconds, seed):
    records = stream(*({"duration_sec": length} for length in seconds), {"media": "image"})
    total = sum(seconds) / 60
    sets = [run(records, minutes=share * total, seed=seed)[0] for share in (0.0, 0.2, 0.5, 1.1)]
    for smaller, larger in pairwise(sets):
        assert set(smaller) <= set(larger)
    for share, kept in zip((0.0, 0.2, 0.5), sets, strict=False):
        assert sum(seconds[int(name)] for name in kept if int(name) < len(seconds)) <= share * total * 60 + 1e-6
    assert len(sets[-1]) == len(records)
    assert str(len(seconds)) in sets[0], "an image counts for nothing"


def test_a_budget_is_used_to_the_last_second():
    records = stream(*({"duration_sec": 1.0} for _ in range(100)))
    assert len(run(records, minutes=0.5)[0]) == 30
    assert len(run(records, minutes=0.51)[0]) == 30
    assert len(run(stream(*({"duration_sec": 2.2} for _ in range(100))), minutes=1.1)[0]) == 30
    assert len(run(stream(*({"class_name": "a"} for _ in range(50))), label_share=0.29)[0]) == 15


def test_a_share_of_the_labels_of_each_class():
    """OmniSource Fig. 7: 3 %, 10 % and 30 % of the labels."""
    sizes = {"a": 100, "b": 40, "c": 3}
    rows = [{"class_name": name, "id": f"{name}{i}"} for name, size in sizes.items() for i in range(size)]
    records = stream(*rows, {"label": None})
    sets = {share: run(records, label_share=share) for share in (0.03, 0.1, 0.3, 1.0)}
    counts = {share: Counter(name[0] for name in kept) for share, (kept, _) in sets.items()}
    assert counts[0.03] == {"a": 3, "b": 1, "c": 1}, "every class keeps one"
    assert counts[0.1] == {"a": 10, "b": 4, "c": 1}
    assert counts[0.3] == {"a": 30, "b": 12, "c": 1}
    assert counts[1.0] == sizes
    assert set(sets[0.03][0]) < set(sets[0.1][0]) < set(sets[0.3][0])
    assert set(sets[0.1][1].values()) == {"not drawn", "no class"}
    assert run(records, label_share=0.1, seed=1)[0] != sets[0.1][0]
    reversed_records = [record.derive() for record in records[::-1]]
    for position, record in enumerate(reversed_records):
        record.position = position
    assert set(run(reversed_records, label_share=0.1)[0]) == set(sets[0.1][0]), "whatever the order"
    assert run([], label_share=0.1, minutes=3.0) == ([], {})
