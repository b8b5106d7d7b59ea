"""One stage over one output, without the command around it."""

import json

import pytest

from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.counters import RecordAccountant
from omnicli.commands.run.one_output import OneOutput, StageSpec, stopping_when
from omnicli.console import Console
from omnicli.errors import Interrupted

NAMES = [f"r{number}" for number in range(6)]


def keep_even(records, on_drop):
    for record in records:
        if int(record["id"][1:]) % 2:
            on_drop(record, "odd")
        else:
            yield record


def run(tmp_path, *, should_stop=None, **spec):
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": name}) + "\n" for name in NAMES))
    streams = StreamOptions(inputs=[str(tmp_path / "in.jsonl")], output=str(tmp_path / "out.jsonl"))
    accountant = RecordAccountant(None)
    stage = StageSpec(name="halve", make=lambda: keep_even, options={}, **spec)
    output = OneOutput(stage, streams, {}, accountant, Console("halve", quiet=True), should_stop=should_stop)
    return output.run(stage.make()), accountant


def kept(tmp_path):
    return [json.loads(line)["id"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]


def test_its_counters_are_those_of_the_accountant_and_the_output_is_published(tmp_path):
    counters, accountant = run(tmp_path)
    assert (counters["in"], counters["kept"], counters["rejected: odd"]) == (6, 3, 3)
    assert {name: accountant.counters[name] for name in counters} == dict(counters)
    assert kept(tmp_path) == ["r0", "r2", "r4"]


def test_a_run_told_to_stop_leaves_no_output_and_the_next_one_goes_on_from_there(tmp_path):
    asked = iter([False, False, False, True])
    with pytest.raises(Interrupted, match="run the same job again to continue"):
        run(tmp_path, should_stop=lambda: next(asked))
    assert not (tmp_path / "out.jsonl").exists()
    counters, _ = run(tmp_path)
    assert counters["in"] == 6
    assert kept(tmp_path) == ["r0", "r2", "r4"]


def test_it_is_asked_before_each_record_whether_to_stop():
    answers = iter([False, False, True])
    records = stopping_when(lambda: next(answers), iter(NAMES))
    assert [next(records), next(records)] == NAMES[:2]
    with pytest.raises(Interrupted):
        next(records)
    assert list(stopping_when(lambda: False, iter(NAMES))) == NAMES
