"""The ``.json`` of a sample in a tar: metadata that another program wrote, with its own ideas of what a field is."""

import json
import re
from typing import Any

import msgspec

from omnicli.streams.record import REJECT_FIELDS, Fields, parse_record

OTHER_FIELDS = "sidecar"  # of the record: what the file holds under a name of ours with another type
_OF_THE_READER = ("row", *REJECT_FIELDS)  # say where media are, or what became of a record: never metadata
_NAN = re.compile(rb"NaN|Infinity|[0-9][eE]\+?[0-9]{3}")


def parse_sidecar(content: bytes, *, origin: str) -> dict[str, Any]:
    """The fields of a sidecar.

    Ours: NaN and infinity, which Python and pandas write for missing values, become null. A field that is named as one
    of ours and has another type (a ``label`` of text, an ``id`` that is a number) is kept inside the field ``sidecar``,
    where no stage takes it for ours; so is all of a file that is no object.

    Raises:
        InputError: not JSON, or nested too deeply.

    >>> parse_sidecar(b'{"label": "cat", "fps": 25, "score": NaN}', origin="a.json")
    {'fps': 25, 'score': None, 'sidecar': {'label': 'cat'}}
    """
    wrapped = b'{"sidecar":' + _without_nan(content.removeprefix(b"\xef\xbb\xbf")) + b"}"
    found = parse_record(wrapped, origin=origin, line_number=1)[OTHER_FIELDS]
    if type(found) is not dict:
        return {OTHER_FIELDS: found}
    other = {name: found.pop(name) for name in list(found) if name in _OF_THE_READER or not _is_ours(name, found[name])}
    return found | {OTHER_FIELDS: other} if other else found


def _is_ours(name: str, value: Any) -> bool:
    """False for a field of ours with another type."""
    try:
        msgspec.convert({name: value}, Fields)
    except msgspec.ValidationError:
        return False
    return True


def _without_nan(content: bytes) -> bytes:
    """The JSON with null for NaN and infinity; unchanged if it has none, or is not JSON."""
    if not _NAN.search(content):
        return content
    try:
        fields = json.loads(content, parse_constant=lambda name: None, parse_float=_finite)
        return json.dumps(fields).encode()
    except (ValueError, RecursionError):
        return content


def _finite(text: str) -> float | None:
    number = float(text)
    return None if number in (float("inf"), float("-inf")) else number
