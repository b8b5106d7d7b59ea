"""Records: the type that stages read and write, and its line of JSON."""

import json
import math
import posixpath
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self

import msgspec

from omnicli.errors import InputError
from omnicli.reasons import INTERNAL_ERROR, UNREADABLE, category_of


class Fields(msgspec.Struct):
    """The known fields of a record with their types; other fields are passed through."""

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
    positive_clips: list[int | tuple[float, float]] | None = None
    labelled_sec: tuple[float, float] | None = None
    similarity: float | None = None
    nearest: dict[str, Any] | None = None
    frame_scores: list[float] | None = None
    other_scores: dict[str, Any] | None = None
    inflation: dict[str, Any] | None = None
    weight: float | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    source_fps: float | None = None
    num_frames: int | None = None
    duration_sec: float | None = None
    reason: str | None = None
    match: dict[str, Any] | None = None


JSON_KINDS = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
MEDIA_KINDS = ("image", "video", "frames", "clip", "clips", "flow", "features")
MAX_LEVELS = 200  # Ours: of nested objects and arrays; far below the limit of any JSON parser
MAX_VALUES = 1 << 22  # Ours: of a line, which take up to 80 bytes each
LONG_LINE = 1 << 20  # bytes; a shorter line has fewer values than is worth counting
NO_VERDICT: Mapping[str, Any] = MappingProxyType({})
REJECT_FIELDS = ("reason", "match")  # written by --rejects, removed by readers


class Record(dict[str, Any]):
    """One JSON object of a stream, and where it was read.

    Unknown fields are kept. The attributes are not part of the output:

    Attributes:
        origin: file or stream that the record was read from, for messages; "" for other records.
        line: 1-based line (or row) in ``origin``; 0 if it has no lines.
        position: 0-based index in the command's whole input. A stage yields (once or more) or drops each position, in
            ascending order. Derived records inherit it.
        arrays: what a stage computed and ``--shards`` stores with the line, e.g. ``{"features": (F, D) float16}``;
            names and shapes as in ``streams.shards``.
        verdict: ``reason`` and ``match`` of an earlier ``--rejects``, which are not fields of the record any more;
            empty for other records and for derived ones.
        missing_frames: of its video that do not decode, as far as a command noticed (``media.tolerance``).
        rescored: how many of its scores bfloat16 could not decide, and float32 did (``inference.rescoring``).
        scored: the scores that a stage decided by, where the fields do not hold all of them.
    """

    __slots__ = ("arrays", "line", "missing_frames", "origin", "position", "rescored", "scored", "verdict")

    def __init__(
        self, fields: Mapping[str, Any] | None = None, *, origin: str = "", line: int = 0, position: int = 0
    ) -> None:
        super().__init__(fields or {})
        self.origin = origin
        self.line = line
        self.position = position
        self.arrays: dict[str, Any] | None = None
        self.verdict: Mapping[str, Any] = NO_VERDICT
        self.missing_frames = 0
        self.rescored = 0
        self.scored: Sequence[float] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        # records are pickled for other processes of a training, which need neither arrays nor verdict
        return _rebuilt, (type(self), dict(self), self.origin, self.line, self.position)

    @property
    def where(self) -> str:
        """``FILE:LINE`` for messages, or the ID of a record that was not read from a file.

        >>> Record({"id": "a.jpg"}, origin="web.jsonl", line=31).where
        'web.jsonl:31'
        """
        if not self.origin:
            return str(self.get("id", "record"))
        return f"{self.origin}:{self.line}" if self.line else self.origin

    @property
    def why_unreadable(self) -> str:
        """The reason of an earlier ``--rejects`` if the media could not be read, or reading failed, else "".

        >>> parse_record(b'{"id": "a", "reason": "unreadable: empty file"}', origin="x", line_number=1).why_unreadable
        'unreadable: empty file'
        """
        reason = self.verdict.get("reason") or ""
        return reason if category_of(reason) in (UNREADABLE, INTERNAL_ERROR) else ""

    def derive(self, **fields: Any) -> Self:
        """A copy with some fields replaced, at the same position. Stages never change their input records."""
        made = type(self)(self, origin=self.origin, line=self.line, position=self.position)
        made.arrays, made.missing_frames = self.arrays, self.missing_frames
        made.rescored, made.scored = self.rescored, self.scored
        made.update(fields)
        return made

    def require(self, field: str) -> Any:
        """The value of a required field.

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
"""Rejects a record: ``on_drop(record, reason)`` with a reason "category" or "category: detail".

"unreadable: DETAIL" is reserved for media that cannot be read; it is counted apart and limited by ``--max-bad``."""


_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def parse_record(line: bytes, *, origin: str, line_number: int, position: int = 0) -> Record:
    r"""Parse one line of JSON; ``reason`` and ``match`` of an earlier ``--rejects`` become the record's verdict.

    Ours: half of a surrogate pair (an emoji that a crawler cut), which UTF-8 cannot encode, becomes U+FFFD.

    Raises:
        InputError: not JSON, not an object, nested deeper than ``MAX_LEVELS``, of more than ``MAX_VALUES`` values, or a
            known field of the wrong type; names file, line and the expected form.

    >>> parse_record(b'{"id": "a", "reason": "low confidence"}', origin="web.jsonl", line_number=1)
    {'id': 'a'}
    """
    if has_too_many_values(line):
        raise InputError(f"{origin}:{line_number}: more than {MAX_VALUES:,} values: {_beginning(line)!r}")
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
    r"""One line of JSON in UTF-8, with its newline.

    Raises:
        ValueError: a value is NaN or infinite, which JSON cannot represent; names the field.

    >>> format_record({"id": "é.jpg", "confidence": 0.5})
    b'{"id":"\xc3\xa9.jpg","confidence":0.5}\n'
    """
    for key, value in record.items():
        if not _is_finite(value):
            raise ValueError(f"{record.get('id', 'record')}: field '{key}' is not finite: {value!r}")
    return _encode(record) + b"\n"


def normalise_id(path: str) -> str:
    """The ID of a file: its path with ``.`` and ``..`` resolved in the text; links are not followed.

    >>> normalise_id("./web//a/../b.jpg")
    'web/b.jpg'
    """
    return posixpath.normpath(path)


def partition_key(record: Mapping[str, Any]) -> str:
    """The text that decides the part of a record: its ``parent``, so that clips of a video stay together, or its ID."""
    return str(record.get("parent") or record.get("id") or record.get("path") or "")


def is_too_deep(fields: Mapping[str, Any], line: bytes) -> bool:
    """True for more than ``MAX_LEVELS`` levels of nested objects and arrays.

    Args:
        fields: the decoded line.
        line: the line; if it has few brackets, ``fields`` are not searched.
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


def has_too_many_values(line: bytes) -> bool:
    """True for a line that may have more than ``MAX_VALUES`` values, which would take far more memory than the line."""
    return len(line) > LONG_LINE and sum(map(line.count, (b",", b"[", b"{"))) > MAX_VALUES


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
    r"""Decode a line with half of a surrogate pair (``\ud83d``), which the fast decoder refuses."""
    if b"\\ud" in line.lower():
        try:
            decoded = json.loads(line, parse_constant=_refuse_constant)
            return _decode(
                json.dumps(decoded, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            )
        except (ValueError, RecursionError):
            pass
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{where}: UTF-16 text; expected UTF-8: iconv -f UTF-16 -t UTF-8") from None
    why = _lower_first(str(error).removeprefix("JSON is "))
    raise InputError(f"{where}: not JSON ({why}): {_beginning(line)!r}; expected one object per line") from None


def _too_deep(line: bytes, where: str) -> InputError:
    return InputError(f"{where}: nested too deeply: {_beginning(line)!r}; expected at most {MAX_LEVELS} levels")


def _beginning(line: bytes) -> str:
    return line[:60].decode("utf-8", "backslashreplace").strip()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _field_message(message: str) -> str:
    """``Expected `float`, got `str` - at `$.confidence``` → ``field 'confidence': expected float, got str``."""
    text, _, json_path = message.partition(" - at ")
    name = json_path.strip("`").removeprefix("$.").removeprefix("$")
    text = _lower_first(text.replace("`", ""))
    return f"field '{name}': {text}" if name else text


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
