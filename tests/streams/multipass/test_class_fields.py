"""The parsers of class fields refuse the lines that ``parse_record`` refuses."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import InputError
from omnicli.streams.multipass.class_fields import ClassFields, choose_parser, parse_class_fields
from omnicli.streams.record import parse_record

digits = st.text("0123456789", min_size=1, max_size=3) | st.integers(190, 320).map(lambda length: "1" * length)
numbers = st.builds(
    lambda sign, whole, part, power: sign + whole + part + power,
    st.sampled_from(["", "-"]), digits.map(lambda text: text.lstrip("0") or "0"),
    st.just("") | digits.map(".{}".format),
    st.just("") | st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), digits),
)  # fmt: skip
raw = numbers | st.sampled_from(['"1e999"', '"\xff"', '"é"', '"a"', "[" * 250 + "]" * 250, "[" * 150 + "]" * 150])


def is_accepted(parse, line):
    try:
        parse(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InputError):
        return False
    return True


@given(
    st.lists(raw, min_size=1, max_size=4), st.sampled_from(['{{"id":"a","x":{}}}', '{{"id":"a","x":[1,{{"y":{}}}]}}'])
)
def test_lines_are_accepted_if_they_are_records(values, shape):
    lines = [shape.format(value).encode("latin-1" if "\xff" in value else "utf-8") for value in values]
    parse = choose_parser(lines)
    for line in lines:
        is_record = is_accepted(lambda line: parse_record(line, origin="x", line_number=1), line)
        assert is_accepted(parse, line) == is_record


def test_all_parsers_return_the_same_fields():
    fields = {"id": "a", "label": [1, 2], "queries": ["x", "y"], "weight": 2, "extra": {"a": None}}
    line = json.dumps(fields).encode()
    fast = parse_class_fields(line)
    assert fast == ClassFields("a", label=(1, 2), queries=("x", "y"), weight=2.0)
    for lines in ([line], [line, b'{"id":"b","x":1e100}']):
        closer = choose_parser(lines)(line)
        assert {name: getattr(closer, name) for name in ClassFields.__struct_fields__} == msgspec.structs.asdict(fast)


@pytest.mark.parametrize("x", ["1e308", "1e-999", "0e999", "-1E+10", "1" * 400, '"1e999"'])
def test_numbers_that_fit_pass_in_any_spelling(x):
    line = f'{{"id":"a","x":{x}}}'.encode()
    assert choose_parser([line])(line).id == "a"
