"""What readers know of a file beyond its bytes: its id, its path under ``--root``, and why it may not be a record."""

import os
from collections.abc import Mapping
from typing import Any

from omnicli.reasons import unreadable
from omnicli.streams.record import Record, normalise_id


class Rejected(Record):
    """A record that leaves before any stage sees it, in its place in the stream.

    Attributes:
        why: the reason for ``on_drop``.
    """

    __slots__ = ("why",)
    why: str


def unreadable_file(why: str, fields: Mapping[str, Any], *, origin: str = "", line: int = 0) -> Rejected:
    """A record whose media cannot be read, as a counted reject."""
    rejected = Rejected(fields, origin=origin, line=line)
    rejected.why = unreadable(why)
    return rejected


def unreadable_before(record: Record) -> Rejected:
    """What an earlier run could not read, as a counted reject with the same reason."""
    rejected = Rejected(record, origin=record.origin, line=record.line)
    rejected.why = record.why_unreadable
    return rejected


def shown_name(name: str | bytes) -> str | None:
    r"""None for a name in UTF-8; else the name with its odd bytes as ``\xff``, fit for a message or an id."""
    raw = os.fsencode(name)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace")
    return None


def place(path: str, root: str | None) -> str:
    """The ``path`` a record gets: as given, or from ``root`` on; an absolute path where it does not lie below ``root``.

    >>> place("crawl/web/a.jpg", "crawl")
    'web/a.jpg'
    >>> place("./a.jpg", None)
    'a.jpg'
    """
    if root is None:
        while path.startswith("./") and path.lstrip("./"):
            path = path[2:].lstrip("/")
        return path
    whole, top = os.path.abspath(path), os.path.abspath(root)  # noqa: PTH100 (links are not to be followed)
    below = os.path.join(top, "")  # noqa: PTH118 (with its last slash)
    return whole[len(below) :] if whole.startswith(below) else whole


def placed_fields(path: str, root: str | None) -> dict[str, Any]:
    """``id`` and ``path`` of a file that was found or named."""
    placed = place(path, root)
    return {"id": normalise_id(placed), "path": placed}
