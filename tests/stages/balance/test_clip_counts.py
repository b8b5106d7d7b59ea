"""Clips of one video share the weight of one record."""

import json
from collections import defaultdict
from functools import partial

import numpy as np
import pytest

from omnicli.stages.balance.stage import balance_records
from omnicli.stages.balance.weights import BalanceRule
from omnicli.streams.multipass.passes import MultipassInput
from omnicli.streams.read.reader import find_records

PIECES = {("a", 0): 4, ("b", 0): 1, ("c", 1): 2}  # of each video of a class


def videos():
    for (name, label), count in PIECES.items():
        yield from ({"id": f"{name}#{i}", "parent": name, "pseudo_label": label} for i in range(count))
    yield from ({"id": f"whole{i}", "pseudo_label": 1} for i in range(3))


def weights(folder, records, **rule):
    web = folder / "web.jsonl"
    web.write_text("".join(json.dumps(record) + "\n" for record in records))
    stream = MultipassInput(partial(find_records, [str(web)]), spooled=False)
    made = balance_records(
        stream, rule=BalanceRule(per_parent=True, **rule), by="pseudo_label", on_balance=lambda balances: None
    )
    return {record["id"]: record["weight"] for record in (json.loads(line) for line, _, _ in made)}


@pytest.mark.parametrize("power", [0.0, 0.2, 1.0])
def test_a_long_video_counts_as_one_record(tmp_path, power):
    found = weights(tmp_path, videos(), power=power)
    mass = defaultdict(float)
    for name, weight in found.items():
        mass[name.split("#")[0]] += weight
    assert sum(found.values()) == pytest.approx(len(found)), "mean 1"
    sizes = {0: 2.0, 1: 4.0}  # whole videos of the classes
    expected = {name: sizes[label] ** (power - 1) for (name, label) in PIECES} | {
        f"whole{i}": 4.0 ** (power - 1) for i in range(3)
    }
    scale = sum(mass.values()) / sum(expected.values())
    assert mass == pytest.approx({name: scale * weight for name, weight in expected.items()}, rel=1e-6)
    assert len({weight for name, weight in found.items() if name.startswith("a")}) == 1


def test_small_classes_are_counted_in_videos(tmp_path):
    records = list(videos())
    web = tmp_path / "web.jsonl"
    web.write_text("".join(json.dumps(record) + "\n" for record in records))
    stream = MultipassInput(partial(find_records, [str(web)]), spooled=False)
    rule = BalanceRule(per_parent=True, min_per_class=3)
    made = list(balance_records(stream, rule=rule, by="pseudo_label", on_balance=lambda balances: None))
    assert [reason for _, _, reason in made] == ["small class"] * 5 + [""] * 5, "5 clips of 2 videos are 2"
    kept = [json.loads(line)["weight"] for line, copies, _ in made if copies]
    assert np.mean(kept) == pytest.approx(1.0)


def test_sources_are_separate_and_records_without_a_parent_change_nothing(tmp_path):
    whole = [{"id": str(i), "pseudo_label": i % 3 % 2, "source": "ab"[i % 2]} for i in range(12)]
    web = tmp_path / "web.jsonl"
    web.write_text("".join(json.dumps(record) + "\n" for record in whole))
    outputs = []
    for per_parent in (False, True):
        stream = MultipassInput(partial(find_records, [str(web)]), spooled=False)
        rule = BalanceRule(per_parent=per_parent)
        outputs.append(list(balance_records(stream, rule=rule, by="pseudo_label", on_balance=lambda balances: None)))
    assert outputs[0] == outputs[1]
    both = [
        {"id": f"{source}{i}", "parent": "v", "source": source, "pseudo_label": 0} for source in "ab" for i in range(2)
    ]
    assert weights(tmp_path, both) == {"a0": 1.0, "a1": 1.0, "b0": 1.0, "b1": 1.0}
