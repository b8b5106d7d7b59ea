"""Fields of a record that is made from a file: its ID and its path below ``--root``; and unreadable files."""

import os
from collections.abc import Mapping
from typing import Any

from omnicli.reasons import unreadable
from omnicli.streams.files.urls import path_below, url_of
from omnicli.streams.record import Record, normalise_id


class Rejected(Record):
    """A reject of the reader, which no stage receives.

    Attributes:
        reason: for ``on_drop``.
    """

    __slots__ = ("reason",)
    reason: str


def unreadable_file(why: str, fields: Mapping[str, Any], *, origin: str = "", line: int = 0) -> Rejected:
    """A reject for media that cannot be read."""
    rejected = Rejected(fields, origin=origin, line=line)
    rejected.reason = unreadable(why)
    return rejected


def unreadable_before(record: Record) -> Rejected:
    """A reject for media that an earlier run could not read, with the same reason."""
    rejected = Rejected(record, origin=record.origin, line=record.line)
    rejected.reason = record.why_unreadable
    return rejected


def escaped_name(name: str | bytes) -> str | None:
    r"""The name with invalid bytes as ``\xff``, for messages and IDs; None if the name is UTF-8."""
    raw = os.fsencode(name)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace")
    return None


def record_path(path: str, root: str | None) -> str:
    """The ``path`` of a file's record: relative to ``root``, absolute if it is not below it, as given without a root.

    >>> record_path("crawl/web/a.jpg", "crawl")
    'web/a.jpg'
    >>> record_path("./a.jpg", None)
    'a.jpg'
    """
    if url := url_of(path):
        below = path_below(url, url_of(root) or "") if root else None
        return url if below is None else below
    if root is None:
        while path.startswith("./") and path.lstrip("./"):
            path = path[2:].lstrip("/")
        return path
    whole, top = os.path.abspath(path), os.path.abspath(root)  # noqa: PTH100 (links are not followed)
    below = os.path.join(top, "")  # noqa: PTH118 (keeps the last slash)
    return whole[len(below) :] if whole.startswith(below) else whole


def file_fields(path: str, root: str | None) -> dict[str, Any]:
    """``id`` and ``path`` of a file's record."""
    path = record_path(path, root)
    return {"id": normalise_id(path), "path": path}
