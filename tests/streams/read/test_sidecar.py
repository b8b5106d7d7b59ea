"""Sidecars of tars: fields of other programs are never taken for ours."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import InputError
from omnicli.streams.read.sidecar import parse_sidecar
from omnicli.streams.record import format_record


def parse(content: bytes) -> dict:
    return parse_sidecar(content, origin="1.json")


def test_fields_of_our_types_are_ours_and_unknown_fields_are_kept():
    assert parse(b'{"label": 3, "url": "u", "n": [1]}') == {"label": 3, "url": "u", "n": [1]}
    assert parse(b'\xef\xbb\xbf{"label": 3}') == {"label": 3}


@pytest.mark.parametrize("field", ["id", "label", "weight", "fps", "num_frames", "queries", "inflation"])
def test_a_field_of_another_type_is_kept_apart(field):
    value = 1.5 if field in ("id", "num_frames", "queries", "inflation") else "text"
    assert parse(json.dumps({field: value, "url": "u"}).encode()) == {"url": "u", "sidecar": {field: value}}


def test_a_row_or_a_reason_of_others_is_not_ours():
    assert parse(b'{"row": 3, "reason": "r", "match": {}}') == {"sidecar": {"row": 3, "reason": "r", "match": {}}}


@pytest.mark.parametrize("content", [b"[1, 2]", b'"text"', b"null", b"7"])
def test_what_is_no_object_is_kept_apart(content):
    assert parse(content) == {"sidecar": json.loads(content)}


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
def test_numbers_that_json_does_not_have_are_null(number):
    found = parse(b'{"a": %s, "b": [%s, 1], "label": %s, "text": "NaN"}' % (number, number, number))
    assert found == {"a": None, "b": [None, 1], "label": None, "text": "NaN"}


@pytest.mark.parametrize("content", [b"", b"{", b"NaN,", b'{"a":NaN', b"[" * 300 + b"]" * 300, b"{}, {}", b"1}{2"])
def test_what_is_not_json_is_an_error(content):
    with pytest.raises(InputError, match=r"^1\.json:1: n"):
        parse(content)


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(_values | st.dictionaries(st.sampled_from(["id", "label", "row", "fps", "x", "sidecar"]), _values))
def test_whatever_python_writes_becomes_a_line_of_json(value):
    format_record(parse(json.dumps(value).encode("utf-8")))
