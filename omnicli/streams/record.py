"""Record: the one type that flows between stages, and its line of JSON."""

import json
import math
import posixpath
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Self

import msgspec

from omnicli.errors import InputError
from omnicli.reasons import UNREADABLE


class Fields(msgspec.Struct):
    """The fields that stages agree on, with their types; everything else in a record travels unread."""

    id: str | None = None
    parent: str | None = None
    path: str | None = None
    row: int | None = None
    media: str | None = None
    source: str | None = None
    query: str | None = None
    queries: list[str] | None = None
    label: int | list[int] | None = None
    class_name: str | list[str] | None = None
    pseudo_label: int | None = None
    pseudo_class: str | None = None
    confidence: float | None = None
    top_scores: list[tuple[int, float]] | None = None
    query_score: float | None = None
    start_sec: float | None = None
    end_sec: float | None = None
    positive_sec: list[float] | None = None
    negative_sec: list[float] | None = None
    similarity: float | None = None
    nearest: dict[str, Any] | None = None
    frame_scores: list[float] | None = None
    inflation: dict[str, Any] | None = None
    weight: float | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    num_frames: int | None = None
    duration_sec: float | None = None
    reason: str | None = None
    match: dict[str, Any] | None = None


JSON_KINDS = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
MEDIA_KINDS = ("image", "video", "frames", "clip", "features")
MAX_LEVELS = 200  # Ours: objects and arrays in one another; well below what any reader of JSON stands
NO_VERDICT: Mapping[str, Any] = MappingProxyType({})
REJECT_FIELDS = ("reason", "match")  # written by --rejects, dropped again by readers


class Record(dict[str, Any]):
    """One JSON object of a stream, with where it came from.

    Unknown keys are kept, whatever they hold. The attributes never reach the output:

    Attributes:
        origin: file or stream it was read from, for messages; "" for made records.
        line: 1-based line (or row) in ``origin``; 0 where lines mean nothing.
        position: 0-based place in the command's whole input. Stages resolve positions in ascending order: each position
            is yielded (once or more) or dropped, never neither. Derived records inherit it.
        arrays: what a stage computed and ``--shards`` stores beside the line, e.g. ``{"features": (F, D) float16}``;
            names and shapes are those of ``streams.shards``.
        verdict: the ``reason`` and ``match`` an earlier ``--rejects`` wrote, which the record itself has lost again;
            empty for all others, and for derived records.
    """

    __slots__ = ("arrays", "line", "origin", "position", "verdict")

    def __init__(
        self, fields: Mapping[str, Any] | None = None, *, origin: str = "", line: int = 0, position: int = 0
    ) -> None:
        super().__init__(fields or {})
        self.origin = origin
        self.line = line
        self.position = position
        self.arrays: dict[str, Any] | None = None
        self.verdict: Mapping[str, Any] = NO_VERDICT

    def __reduce__(self) -> tuple[Any, ...]:
        # to another process of a training: arrays and an earlier verdict stay here
        return _rebuilt, (type(self), dict(self), self.origin, self.line, self.position)

    @property
    def where(self) -> str:
        """``FILE:LINE`` for messages, or the id of a record that was never read from a file.

        >>> Record({"id": "a.jpg"}, origin="web.jsonl", line=31).where
        'web.jsonl:31'
        """
        if not self.origin:
            return str(self.get("id", "record"))
        return f"{self.origin}:{self.line}" if self.line else self.origin

    @property
    def why_unreadable(self) -> str:
        """The reason of an earlier ``--rejects``, if it was that the media cannot be read; "" for all others.

        >>> parse_record(b'{"id": "a", "reason": "unreadable: empty file"}', origin="x", line_number=1).why_unreadable
        'unreadable: empty file'
        """
        reason = self.verdict.get("reason") or ""
        return reason if reason.partition(":")[0] == UNREADABLE else ""

    def derive(self, **fields: Any) -> Self:
        """A copy with ``fields`` set over it, at the same position: stages never change the record they were given."""
        made = type(self)(self, origin=self.origin, line=self.line, position=self.position)
        made.arrays = self.arrays
        made.update(fields)
        return made

    def require(self, field: str) -> Any:
        """The value of a field the stage cannot do without.

        Raises:
            InputError: "web.jsonl:31: no field 'path'; has id, query".
        """
        value = self.get(field)
        if value is None:
            has = ", ".join(sorted(self)) or "nothing"
            raise InputError(f"{self.where}: no field '{field}'; has {has}")
        return value


def _rebuilt(kind: type[Record], fields: dict[str, Any], origin: str, line: int, position: int) -> Record:
    return kind(fields, origin=origin, line=line, position=position)


OnDrop = Callable[[Record, str], None]
"""How a record leaves a stage: ``on_drop(record, reason)``, the reason being "category" or "category: detail".

"unreadable: <why>" is kept for media that cannot be read; it is counted apart and limited by ``--max-bad``."""


_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def parse_record(line: bytes, *, origin: str, line_number: int, position: int = 0) -> Record:
    r"""One line of JSON as a record; ``reason`` and ``match`` of an earlier ``--rejects`` become its verdict.

    Ours: half a surrogate pair (an emoji that a crawler cut in two), which UTF-8 cannot hold, becomes U+FFFD.

    Raises:
        InputError: not JSON, not an object, nested beyond ``MAX_LEVELS``, or a known field of the wrong type; names
            file, line and what was expected.

    >>> parse_record(b'{"id": "a", "reason": "low confidence"}', origin="web.jsonl", line_number=1)
    {'id': 'a'}
    """
    try:
        fields = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fields = _decode_surrogates(line, error, f"{origin}:{line_number}")
    except RecursionError:
        raise _too_deep(line, f"{origin}:{line_number}") from None
    if type(fields) is not dict:
        kind = JSON_KINDS.get(type(fields), "a number")
        raise InputError(f"{origin}:{line_number}: expected a JSON object, got {kind}: {str(fields)[:60]!r}")
    if is_too_deep(fields, line):
        raise _too_deep(line, f"{origin}:{line_number}")
    try:
        msgspec.convert(fields, Fields)
    except msgspec.ValidationError as error:
        raise InputError(f"{origin}:{line_number}: {_field_message(str(error))}") from None
    if "reason" not in fields and "match" not in fields:
        return Record(fields, origin=origin, line=line_number, position=position)
    verdict = {field: fields.pop(field) for field in REJECT_FIELDS if field in fields}
    record = Record(fields, origin=origin, line=line_number, position=position)
    record.verdict = verdict
    return record


def format_record(record: Mapping[str, Any]) -> bytes:
    r"""One line of JSON, UTF-8, ending in a newline.

    Raises:
        ValueError: a value is NaN or infinite, which JSON cannot hold; names the field.

    >>> format_record({"id": "é.jpg", "confidence": 0.5})
    b'{"id":"\xc3\xa9.jpg","confidence":0.5}\n'
    """
    for key, value in record.items():
        if not _is_finite(value):
            raise ValueError(f"{record.get('id', 'record')}: field '{key}' is not finite: {value!r}")
    return _encode(record) + b"\n"


def normalise_id(path: str) -> str:
    """The id of a file: its path as given, POSIX slashes, ``.`` and ``..`` resolved in the text, links not followed.

    >>> normalise_id("./web//a/../b.jpg")
    'web/b.jpg'
    """
    return posixpath.normpath(path)


def partition_key(record: Mapping[str, Any]) -> str:
    """What sharding follows: the first ancestor, so that the pieces of a video stay together; else the id."""
    return str(record.get("parent") or record.get("id") or record.get("path") or "")


def is_too_deep(fields: Mapping[str, Any], line: bytes) -> bool:
    """True for more than ``MAX_LEVELS`` objects and arrays in one another.

    Args:
        fields: of the line.
        line: one with too few brackets is not looked into.
    """
    if len(line) <= 2 * MAX_LEVELS or line.count(b"[") + line.count(b"{") <= MAX_LEVELS:
        return False
    level: list[Any] = [fields]
    for _ in range(MAX_LEVELS):
        parts = (part for whole in level for part in (whole.values() if type(whole) is dict else whole))
        level = [part for part in parts if type(part) in (dict, list)]
        if not level:
            return False
    return True


def _is_finite(value: Any) -> bool:
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind is list or kind is tuple:
        return all(_is_finite(item) for item in value)
    if kind is dict:
        return all(_is_finite(item) for item in value.values())
    return True


def _decode_surrogates(line: bytes, error: Exception, where: str) -> Any:
    r"""The line read once more if what stopped the fast decoder may be half of a surrogate pair (``\ud83d``)."""
    if b"\\ud" in line.lower():
        try:
            decoded = json.loads(line, parse_constant=_refuse_constant)
            return _decode(
                json.dumps(decoded, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            )
        except (ValueError, RecursionError):
            pass
    why = _lower_first(str(error).removeprefix("JSON is "))
    raise InputError(f"{where}: not JSON ({why}): {_beginning(line)!r}; expected one object a line") from None


def _too_deep(line: bytes, where: str) -> InputError:
    return InputError(f"{where}: nested too deeply: {_beginning(line)!r}; expected at most {MAX_LEVELS} levels")


def _beginning(line: bytes) -> str:
    return line[:60].decode("utf-8", "backslashreplace").strip()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _field_message(message: str) -> str:
    """``Expected `float`, got `str` - at `$.confidence``` → ``field 'confidence': expected float, got str``."""
    text, _, place = message.partition(" - at ")
    name = place.strip("`").removeprefix("$.").removeprefix("$")
    text = _lower_first(text.replace("`", ""))
    return f"field '{name}': {text}" if name else text


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
