"""A glance at a line of JSON: the few fields that say which class a record counts for, without a ``Record`` a line.

Of all other fields a glance sees that they are JSON and no more. What they may hide, and every other stage refuses, is
looked for in many lines at once: numbers beyond float64, text that is not UTF-8, bottomless nesting. Only lines among
which it may be are decoded in full, which costs as much again.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast, get_type_hints

import msgspec
from msgspec import UNSET

from omnicli.streams.record import MAX_LEVELS, Fields, is_too_deep


class ClassFields(msgspec.Struct, gc=False):
    """The fields of a record that say which class it counts for. Lists are tuples, so that they can be keys."""

    id: str | None = None
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
Checked = cast(type[ClassFields], msgspec.defstruct("Checked", _others, bases=(ClassFields,), gc=False))
"""A glance that looks at the types of all known fields: that of the first pass."""

_decode = msgspec.json.Decoder().decode
_glance_checked = msgspec.json.Decoder(Checked).decode
_SHAPE = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS = b"0" * 200  # fewer, with an exponent of two digits, stay below the largest float64

glance = msgspec.json.Decoder(ClassFields).decode
"""The glance of a line that an earlier pass has checked."""


def class_fields_reader(lines: Sequence[bytes]) -> Callable[[bytes], ClassFields]:
    """How to look at lines that nobody has checked: the cheapest way to refuse what ``parse_record`` refuses."""
    return _read_class_fields if _may_hide_something(lines) else _glance_checked


def _read_class_fields(line: bytes) -> ClassFields:
    """The glance of a line whose every field was looked at; RecursionError for one nested too deeply."""
    fields = _decode(line)
    seen = msgspec.convert(fields, Checked)
    if is_too_deep(fields, line):
        raise RecursionError
    return seen


def _may_hide_something(lines: Sequence[bytes]) -> bool:
    text = b"\n".join(lines)
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return True
    is_long = max(map(len, lines), default=0) > 2 * MAX_LEVELS
    if is_long and any(line.count(b"[") + line.count(b"{") > MAX_LEVELS for line in lines):
        return True
    return _may_overflow(text)


def _may_overflow(text: bytes) -> bool:
    """False if no number has 200 digits, or an exponent of three; names that look like one cost time only.

    >>> _may_overflow(b'{"x":1e999}'), _may_overflow(b'{"x":1e99}'), _may_overflow(b'{"x":"a1e999.jpg"}')
    (True, False, True)
    """
    shape = text.translate(_SHAPE)
    return b"0e000" in shape or (b"+" in text and b"0e+000" in shape) or _MANY_DIGITS in shape
