"""The kind of a file by its first bytes, local or remote."""

import os

from omnicli.errors import RecordError
from omnicli.streams.files.media_files import open_regular, reason_of
from omnicli.streams.files.sniff import HEAD_BYTES, sniff
from omnicli.streams.files.urls import url_of
from omnicli.streams.reading import NO_POSITION, reading
from omnicli.streams.record import Record


def identify(path: bytes) -> tuple[str | None, str, bytes]:
    """Media kind of a file or None, why it is not media or "", and its first bytes."""
    try:
        head = _head_of(path)
    except (OSError, ValueError) as error:
        return None, reason_of(error), b""
    try:
        with reading(Record({"path": os.fsdecode(path)}), NO_POSITION):
            kind, description = sniff(head)
    except RecordError as error:
        return None, str(error), b""
    if kind is not None:
        return kind, "", head
    return None, description if not head else f"not media ({description})", head


def _head_of(path: bytes) -> bytes:
    """The first bytes of a file. Raises OSError and ValueError."""
    if b":/" in path and (url := url_of(os.fsdecode(path))):
        from omnicli.streams.files.remote_file import read_remote  # noqa: PLC0415 (most files are local)

        return read_remote(url, 0, HEAD_BYTES)
    handle = open_regular(path)
    try:
        return os.read(handle, HEAD_BYTES)
    finally:
        os.close(handle)
