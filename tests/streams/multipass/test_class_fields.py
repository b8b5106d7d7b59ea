"""A glance refuses what a record would."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import InputError
from omnicli.streams.multipass.class_fields import ClassFields, class_fields_reader, glance
from omnicli.streams.record import parse_record

digits = st.text("0123456789", min_size=1, max_size=3) | st.integers(190, 320).map(lambda length: "1" * length)
numbers = st.builds(
    lambda sign, whole, part, power: sign + whole + part + power,
    st.sampled_from(["", "-"]), digits.map(lambda text: text.lstrip("0") or "0"),
    st.just("") | digits.map(".{}".format),
    st.just("") | st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), digits),
)  # fmt: skip
raw = numbers | st.sampled_from(['"1e999"', '"\xff"', '"é"', '"a"', "[" * 250 + "]" * 250, "[" * 150 + "]" * 150])


def is_taken(look, line):
    try:
        look(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InputError):
        return False
    return True


@given(
    st.lists(raw, min_size=1, max_size=4), st.sampled_from(['{{"id":"a","x":{}}}', '{{"id":"a","x":[1,{{"y":{}}}]}}'])
)
def test_lines_are_taken_if_a_record_can_be_made_of_them(values, shape):
    lines = [shape.format(value).encode("latin-1" if "\xff" in value else "utf-8") for value in values]
    look = class_fields_reader(lines)
    for line in lines:
        is_record = is_taken(lambda line: parse_record(line, origin="x", line_number=1), line)
        assert is_taken(look, line) == is_record


def test_a_glance_sees_the_fields_that_decide_however_close_it_looks():
    fields = {"id": "a", "label": [1, 2], "queries": ["x", "y"], "weight": 2, "extra": {"a": None}}
    line = json.dumps(fields).encode()
    seen = glance(line)
    assert seen == ClassFields("a", label=(1, 2), queries=("x", "y"), weight=2.0)
    for lines in ([line], [line, b'{"id":"b","x":1e100}']):
        closer = class_fields_reader(lines)(line)
        assert {name: getattr(closer, name) for name in ClassFields.__struct_fields__} == msgspec.structs.asdict(seen)


@pytest.mark.parametrize("x", ["1e308", "1e-999", "0e999", "-1E+10", "1" * 400, '"1e999"'])
def test_numbers_that_fit_pass_in_any_spelling(x):
    line = f'{{"id":"a","x":{x}}}'.encode()
    assert class_fields_reader([line])(line).id == "a"
