"""Verdicts of people: what a file may hold, and what is said of those that do not fit."""

import json
from collections import Counter

import pytest

from omnicli.errors import InputError
from omnicli.streams.record import Record
from omnicli.streams.verdicts import FILES_NOT_READ, Verdicts, read_verdicts


def written(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def line(name, verdict="accept", **fields):
    return {"id": name, "verdict": verdict, **fields}


def test_files_are_read_with_what_was_seen_and_repetitions_count_once(tmp_path):
    sample = {"rank": 3, "stratum": 1, "size": 250}
    one = written(tmp_path / "1.jsonl", line("a"), line("a"), line("é/b.jpg", "reject", sample=sample, more="kept"))
    two = written(tmp_path / "2.jsonl", line("a"), line("c", about="duplicate", target="t.mp4"))
    found = read_verdicts([one, two])
    assert [(verdict.id, verdict.verdict, verdict.about) for verdict in found] == [
        ("a", "accept", None), ("é/b.jpg", "reject", None), ("c", "accept", "duplicate")
    ]  # fmt: skip
    assert (found[1].sample.rank, found[1].sample.size) == (3, 250)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "a", "verdict": "maybe"}', "Invalid enum value 'maybe'"),
        ('{"verdict": "accept"}', "missing required field `id`"),
        ('{"id": "a"', "truncated"),
        ('["a"]', "Expected `object`, got `array`"),
    ],
)
def test_a_line_that_is_no_verdict_is_named(tmp_path, text, message):
    (tmp_path / "v.jsonl").write_text('{"id": "b", "verdict": "accept"}\n\n' + text + "\n")
    with pytest.raises(InputError) as caught:
        read_verdicts([tmp_path / "v.jsonl"])
    assert str(caught.value).startswith(f"{tmp_path}/v.jsonl:3: ") and message in str(caught.value)
    assert "expected a verdict such as" in str(caught.value)


def test_lines_that_contradict_each_other_are_both_named(tmp_path):
    one = written(tmp_path / "1.jsonl", line("b"), line("a", about="record"))
    two = written(tmp_path / "2.jsonl", line("a", "reject"))
    with pytest.raises(InputError, match=rf"2.jsonl:1: 'a' is rejected here and accepted in {one}:2; remove one"):
        read_verdicts([one, two])
    other_question = written(tmp_path / "3.jsonl", line("a", "reject", about="duplicate"))
    assert len(read_verdicts([one, other_question])) == 3


def test_two_classes_of_one_record_are_two_questions(tmp_path):
    path = written(tmp_path / "v.jsonl", line("a", "reject", **{"class": "golf"}), line("a", **{"class": "Tai_Chi"}))
    verdicts = Verdicts(read_verdicts([path]))
    assert verdicts.accepts(Record({"id": "a", "pseudo_class": "tai chi"}))
    assert verdicts.rejects(Record({"id": "a", "pseudo_class": "Golf"}))
    other = Record({"id": "a", "pseudo_class": "archery"})
    assert not verdicts.accepts(other) and not verdicts.rejects(other)


def test_what_was_applied_adds_up_and_what_was_not_is_said(tmp_path):
    path = written(
        tmp_path / "v.jsonl", line("a"), line("b", "reject"), line("c", **{"class": "golf"}), line("gone"),
        line("d", about="duplicate"),
    )  # fmt: skip
    verdicts, counters = Verdicts(read_verdicts([path])), Counter({"in": 5})
    for name in "abcda":
        verdicts.count(Record({"id": name, "pseudo_class": "archery"}), counters)
    assert verdicts.closing(counters) == [
        "verdicts: 2 records accepted, 1 rejected",
        "1 records have another class than their verdicts are about, so the rule decided",
        "1 of 4 verdicts name no readable record of the input: gone",
        "1 verdicts are for omni dedup --verdicts and had no effect",
    ]
    assert len(verdicts.closing(counters, is_whole=False)) == 3
    assert len(verdicts.closing(counters | {FILES_NOT_READ: 1})) == 3
    assert Verdicts().closing(counters) == []
