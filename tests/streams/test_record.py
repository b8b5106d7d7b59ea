"""A record and its line of JSON."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import InputError
from omnicli.streams.multipass.class_fields import choose_parser
from omnicli.streams.record import MAX_VALUES, Record, format_record, normalise_id, parse_record, partition_key

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=10)


def parse(line: str | bytes, number: int = 3) -> Record:
    return parse_record(line.encode() if isinstance(line, str) else line, origin="web.jsonl", line_number=number)


@given(st.dictionaries(TEXT.map("x".__add__), VALUES))
def test_unknown_keys_survive_a_round_trip_whatever_they_hold(fields):
    line = format_record(fields)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    record = parse(line)
    assert record == fields
    assert list(record) == list(fields), "the order of keys is kept"
    assert format_record(record) == line


@given(st.dictionaries(TEXT.map("x".__add__), VALUES))
def test_lines_are_what_the_standard_library_reads(fields):
    assert json.loads(format_record(fields)) == fields


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [1, [v]], lambda v: {"a": {"b": v}}, lambda v: (v,)])
def test_what_json_cannot_hold_is_refused_on_output(value, wrap):
    with pytest.raises(ValueError, match=r"a\.jpg: field 'extra' is not finite"):
        format_record({"id": "a.jpg", "extra": wrap(value)})


def test_integers_of_any_size_stay_exact():
    big = 2**200 + 1
    record = parse(f'{{"id": "a", "tweet": {big}, "label": {2**53 + 1}}}')
    assert record["tweet"] == big
    assert record["label"] == 2**53 + 1
    assert str(big).encode() in format_record(record)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "web.jsonl:3: not JSON (input data was truncated): '{'; expected one object per line"),
        ("[1]", "web.jsonl:3: expected a JSON object, got an array: '[1]'"),
        ("7", "web.jsonl:3: expected a JSON object, got a number: '7'"),
        ("null", "web.jsonl:3: expected a JSON object, got null: 'None'"),
        ('{"confidence": "high"}', "web.jsonl:3: field 'confidence': expected float | null, got str"),
        ('{"top_scores": [[1, "a"]]}', "web.jsonl:3: field 'top_scores[0][1]': expected float, got str"),
    ],
)
def test_messages_name_file_line_and_what_was_expected(line, message):
    with pytest.raises(InputError) as caught:
        parse(line)
    assert str(caught.value) == message


@pytest.mark.parametrize("line", ['{"a": NaN}', '{"a": Infinity}', '{"a": 1e999}', '{"a": NaN, "b": "\\ud800"}'])
def test_nan_and_infinity_are_no_json_on_input(line):
    with pytest.raises(InputError, match="not JSON"):
        parse(line)


def test_bytes_that_are_not_utf8_and_bottomless_nesting_are_messages_not_tracebacks():
    with pytest.raises(InputError, match=r"web\.jsonl:3: not JSON"):
        parse(b'{"caption": "\xff"}')
    with pytest.raises(InputError, match="nested too deeply"):
        parse("[" * 100_000)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_two_hundred_levels_come_back_and_more_are_refused_whatever_their_number(opening, closing):
    deepest = f'{{"id":"a","x":{opening * 199}1{closing * 199}}}'
    assert format_record(parse(deepest)) == deepest.encode() + b"\n"
    for levels in (200, 600, 900, 100_000):
        with pytest.raises(InputError, match=r"^web\.jsonl:3: nested too deeply: .*; expected at most 200 levels$"):
            parse(f'{{"id":"a","x":{opening * levels}1{closing * levels}}}')


def test_many_brackets_side_by_side_are_no_nesting():
    line = json.dumps({"id": "a", "scores": [[1, {"a": []}]] * 300})
    assert parse(line)["scores"][299] == [1, {"a": []}]


def test_half_an_emoji_becomes_a_replacement_character_and_whole_ones_stay():
    record = parse(r'{"caption": "\ud83d\ude00 cut \ud83d"}')
    assert record == {"caption": "😀 cut �"}
    assert format_record(record) == '{"caption":"😀 cut �"}\n'.encode()


def test_the_verdict_of_an_earlier_run_leaves_the_record():
    record = parse('{"id": "a", "reason": "low confidence", "match": {"id": "b"}, "confidence": 0.2}')
    assert record == {"id": "a", "confidence": 0.2}
    assert record.verdict == {"reason": "low confidence", "match": {"id": "b"}}


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("unreadable: empty file", "unreadable: empty file"), ("unreadable", "unreadable"),
        ("internal error: IndexError", "internal error: IndexError"),
        ("unreadable names", ""), ("no class", ""), (None, ""),
    ],
)  # fmt: skip
def test_only_what_could_not_be_read_says_why(reason, why):
    assert parse(json.dumps({"id": "a", "reason": reason})).why_unreadable == why
    assert parse('{"id": "a"}').why_unreadable == ""


def test_derive_copies_and_keeps_the_place():
    record = Record({"id": "a", "weight": 1.0}, origin="web.jsonl", line=4, position=3)
    record.arrays = {"scores": "array"}
    made = record.derive(weight=2.0, label=1)
    assert (made, record) == ({"id": "a", "weight": 2.0, "label": 1}, {"id": "a", "weight": 1.0})
    assert (made.where, made.position, made.arrays) == ("web.jsonl:4", 3, {"scores": "array"})


def test_a_missing_field_is_named_with_those_there_are():
    with pytest.raises(InputError, match=r"^web.jsonl:31: no field 'path'; has id, query$"):
        parse('{"query": "x", "id": "a"}', 31).require("path")
    assert parse('{"path": "a.jpg"}').require("path") == "a.jpg"


def test_where_falls_back_to_file_and_id():
    assert Record({"id": "a.jpg"}).where == "a.jpg"
    assert Record({"id": "x.tar#a.jpg"}, origin="x.tar").where == "x.tar"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_normalising_an_id_twice_changes_nothing(path):
    assert normalise_id(normalise_id(path)) == normalise_id(path)


def test_shards_follow_the_parent_then_the_id():
    assert partition_key({"parent": "p", "id": "i", "path": "x"}) == "p"
    assert partition_key({"parent": None, "id": "i"}) == "i"
    assert partition_key({"path": "x"}) == "x"
    assert partition_key({}) == ""


def test_utf16_is_named():
    line = '{"id": "a"}'.encode("utf-16")
    with pytest.raises(InputError, match=r"^a\.jsonl:1: UTF-16 text; expected UTF-8"):
        parse_record(line, origin="a.jsonl", line_number=1)


@pytest.mark.parametrize("unit", [b"[],", b"0,", b"{},"])
def test_a_line_of_too_many_values_is_refused_before_it_is_decoded(unit):
    line = b'{"id": "a", "x": [' + unit * (MAX_VALUES + 1) + b"0]}"
    with pytest.raises(InputError, match=r"^a\.jsonl:7: more than 4,194,304 values: "):
        parse_record(line, origin="a.jsonl", line_number=7)
    with pytest.raises(RecursionError):
        choose_parser([line])(line)
