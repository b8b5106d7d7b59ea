"""The few fields of a JSON line that decide its class, parsed without making a ``Record``.

The parser checks only that the other fields are JSON of the right types. It accepts numbers beyond float64, text that
is not UTF-8 and deep nesting, which other stages refuse. So ``choose_parser`` searches many lines at once for signs of
these, and only lines that may contain them are decoded completely, which takes twice the time.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast, get_type_hints

import msgspec
from msgspec import UNSET

from omnicli.streams.record import MAX_LEVELS, Fields, has_too_many_values, is_too_deep


class ClassFields(msgspec.Struct, gc=False):
    """The fields of a record that decide its class. Lists are tuples, which can be keys of dictionaries."""

    id: str | None = None
    parent: str | None = None
    source: str | None = None
    query: str | None = None
    queries: tuple[str, ...] | None = None
    label: int | tuple[int, ...] | None = None
    class_name: str | tuple[str, ...] | None = None
    pseudo_label: int | None = None
    pseudo_class: str | None = None
    weight: float | msgspec.UnsetType | None = UNSET
    reason: Any = UNSET
    match: Any = UNSET


_others = [
    (name, kind, None) for name, kind in get_type_hints(Fields).items() if name not in ClassFields.__struct_fields__
]
CheckedFields = cast(type[ClassFields], msgspec.defstruct("CheckedFields", _others, bases=(ClassFields,), gc=False))
"""Class fields with all other known fields, whose types are checked."""

_decode = msgspec.json.Decoder().decode
_parse_checked = msgspec.json.Decoder(CheckedFields).decode
_SHAPE = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS = b"0" * 200  # fewer digits and an exponent of two digits are below the largest float64

parse_class_fields = msgspec.json.Decoder(ClassFields).decode
"""Parse a line that has been checked before."""


def choose_parser(lines: Sequence[bytes]) -> Callable[[bytes], ClassFields]:
    """The fastest parser that refuses those of ``lines`` that ``parse_record`` refuses."""
    return _parse_completely if _may_be_refused(lines) else _parse_checked


def _parse_completely(line: bytes) -> ClassFields:
    """Parse a line after decoding all of it. Raises RecursionError if it is nested too deeply or too large."""
    if has_too_many_values(line):
        raise RecursionError
    fields = _decode(line)
    class_fields = msgspec.convert(fields, CheckedFields)
    if is_too_deep(fields, line):
        raise RecursionError
    return class_fields


def _may_be_refused(lines: Sequence[bytes]) -> bool:
    text = b"\n".join(lines)
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return True
    is_long = max(map(len, lines), default=0) > 2 * MAX_LEVELS
    if is_long and any(has_too_many_values(line) or line.count(b"[") + line.count(b"{") > MAX_LEVELS for line in lines):
        return True
    return _may_overflow(text)


def _may_overflow(text: bytes) -> bool:
    """False if no number has 200 digits or an exponent of three. Text that looks like a number only costs time.

    >>> _may_overflow(b'{"x":1e999}'), _may_overflow(b'{"x":1e99}'), _may_overflow(b'{"x":"a1e999.jpg"}')
    (True, False, True)
    """
    shape = text.translate(_SHAPE)
    return b"0e000" in shape or (b"+" in text and b"0e+000" in shape) or _MANY_DIGITS in shape
