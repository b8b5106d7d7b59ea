"""Members of tars, read by name without unpacking: a table of their offsets."""

import errno
import io
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from omnicli.errors import MediaError
from omnicli.streams.files.stored import close_file, pread
from omnicli.streams.files.tar_headers import Member, open_tar, walk_members
from omnicli.streams.files.urls import RemoteError, url_of

if TYPE_CHECKING:
    from omnicli.streams.files.remote_file import RemoteFile
    from omnicli.streams.files.spool import Spool

TABLES_KEPT = 16  # tars that stay open in this process


@dataclass
class _Table:
    """An open tar and the offsets of its members; closed when it is not used any more."""

    handle: "int | RemoteFile"
    stamp: "tuple[int, ...] | Spool"
    members: dict[str, Member]
    url: str | None = None

    def __del__(self) -> None:
        close_file(self.handle)


_tables: OrderedDict[str, _Table] = OrderedDict()
_tables_lock = threading.Lock()


def split_member(path: str) -> tuple[str, str] | None:
    """Split ``x.tar#member`` into (tar, member); None if no text before a ``#`` is a file.

    The caller tries the whole path first, since an image may be named ``a.tar#1.jpg``.
    """
    at = path.find("#")
    if at > 0 and url_of(path):
        end = path.find(".tar#")
        return (path[: end + 4], path[end + 5 :]) if end > 0 else None
    while at > 0:
        if os.path.isfile(path[:at]):  # noqa: PTH113 (Path refuses NUL)
            return path[:at], path[at + 1 :]
        at = path.find("#", at + 1)
    return None


def open_member(path: str) -> bytes:
    """The content of ``x.tar#member``; can be called from many threads.

    If a name occurs twice, the later member is read, as when unpacking.

    Raises:
        MediaError: no such tar or member, or it is truncated, sparse or a link.
    """
    table, member = _find(path)
    try:
        content = _member_file(table, member).read() if table.url else pread(table.handle, member.size, member.offset)
    except RemoteError as error:
        raise MediaError(error.strerror or "cannot be read") from None
    if len(content) < member.size:
        raise MediaError("truncated tar member")
    return content


def open_member_stream(path: str) -> BinaryIO:
    """Open ``x.tar#member`` as a seekable file that is read on demand.

    Raises:
        MediaError: no such tar or member, or it is truncated, sparse or a link.
    """
    table, member = _find(path)
    return cast(BinaryIO, _member_file(table, member))


def _member_file(table: _Table, member: Member) -> io.RawIOBase | io.BufferedReader:
    if table.url:  # each with blocks of its own, for many threads
        from omnicli.streams.files.remote_file import RemoteFile  # noqa: PLC0415 (most files are local)

        spool = None if isinstance(table.stamp, tuple) else table.stamp
        return RemoteFile(table.url, offset=member.offset, size=member.size, spool=spool)
    return io.BufferedReader(_MemberFile(table, member), buffer_size=1 << 16)


class _MemberFile(io.RawIOBase):
    """A member as a raw file with its own position, independent of other members."""

    def __init__(self, table: _Table, member: Member) -> None:
        self._table = table
        self._member = member
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._member.size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._at = start + offset
        return self._at

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        length = min(len(buffer), max(0, self._member.size - self._at))
        chunk = pread(self._table.handle, length, self._member.offset + self._at)
        buffer[: len(chunk)] = chunk
        self._at += len(chunk)
        return len(chunk)


def _find(path: str) -> tuple[_Table, Member]:
    parts = split_member(path)
    if parts is None:
        raise MediaError("no such file")
    table = _table(parts[0])
    member = table.members.get(parts[1]) or table.members.get("")  # the rest of a damaged tar
    if member is None:
        raise MediaError(f"no such member in the tar: {parts[1]}")
    if member.problem:
        raise MediaError(member.problem)
    return table, member


def _stamp(tar: str) -> "tuple[int, ...] | Spool":
    """What differs between a tar and one that replaces it. Raises OSError."""
    if url := url_of(tar):
        from omnicli.streams.files.spool import spool_of  # noqa: PLC0415

        return spool_of(url)
    status = Path(tar).stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _table(tar: str) -> _Table:
    """The table of the tar, cached until the file changes."""
    try:
        stamp = _stamp(tar)
        with _tables_lock:  # also while reading the headers, so that threads do not read the same tar twice
            known = _tables.get(tar)
            if known is None or known.stamp != stamp:
                handle = open_tar(tar)
                opened = None if isinstance(handle, int) else handle
                members = {member.name: member for member in walk_members(tar, opened)}
                if opened is not None:
                    opened.close()  # its blocks: members have readers of their own
                _tables[tar] = known = _Table(handle, stamp, members, url_of(tar))
            _tables.move_to_end(tar)
            while len(_tables) > TABLES_KEPT:
                _tables.popitem(last=False)
            return known
    except OSError as error:
        raise MediaError(f"tar cannot be read: {(error.strerror or str(error)).lower()}") from None
