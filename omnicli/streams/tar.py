"""Tar files read in place: a table of members by offset, no unpacking.

Understands what GNU tar, BSD tar, Python and img2dataset write: ustar prefixes, GNU long names, PAX headers, sizes in
base 256. Sparse members are left to the caller to refuse. The standard ``tarfile`` ends silently at a damaged header;
here nothing ends silently.
"""

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from omnicli.errors import InputError, MediaError

BLOCK = 512
TABLES_KEPT = 16  # tars whose members are remembered in this process
CUT = "truncated tar member"
EXTENSIONS = (b"g", b"x", b"X", b"L", b"K")  # headers that speak of the next member
MAX_HEADER_BYTES = 1 << 20  # a long name or PAX header above this is damage, not a name


class Member(NamedTuple):
    """One regular file in a tar.

    Attributes:
        name: path inside the tar; bytes that are not UTF-8 as surrogates.
        offset: first byte of its content.
        size: bytes of content.
        problem: why it cannot be read ("truncated tar member", "sparse tar member"), or "".
    """

    name: str
    offset: int
    size: int
    problem: str = ""


def is_tar(head: bytes) -> bool:
    """True if the first block is a tar header with a right checksum (or a whole empty tar of zero blocks)."""
    return len(head) >= BLOCK and (_has_good_checksum(head[:BLOCK]) or (head[257:262] == b"ustar"))


def walk_members(path: str) -> Iterator[Member]:
    """Regular files of the tar in stored order; a table is never built, so memory is flat.

    A cut tar ends with its last member marked ``problem="truncated tar member"``; when even the name is lost, the
    member's name is "".

    Raises:
        InputError: not a tar, or a damaged header; names file and byte.
        OSError: it cannot be opened or read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield from _Headers(handle, path).members()
    finally:
        os.close(handle)


class _Headers:
    """The chain of 512-byte headers of one open tar."""

    def __init__(self, handle: int, path: str) -> None:
        self._handle = handle
        self._path = path
        self._end = os.fstat(handle).st_size
        self._global_pax: dict[str, bytes] = {}
        self._pax: dict[str, bytes] = {}  # of the next member, like the name below
        self._long_name = b""

    def members(self) -> Iterator[Member]:
        at = 0
        while at < self._end:
            header = os.pread(self._handle, BLOCK, at)
            if len(header) < BLOCK:
                yield Member("", at, 0, CUT)
                return
            if not header.strip(b"\0"):
                return  # end of archive; what follows it is padding
            if not _has_good_checksum(header):
                raise InputError(f"{self._path}: damaged tar: no member header at byte {at:,}; re-create the file")
            try:
                kind, size = header[156:157], _number(header[124:136])
                if kind in EXTENSIONS:
                    if not self._read_extension(kind, size, at + BLOCK):
                        yield Member("", at, 0, CUT)
                        return
                    at += BLOCK + _padded(size)
                    continue
                member, at = self._read_member(header, kind, size, at + BLOCK)
            except ValueError:
                raise InputError(f"{self._path}: damaged tar: bad header at byte {at:,}; re-create the file") from None
            if member is not None:
                yield member

    def _read_extension(self, kind: bytes, size: int, content: int) -> bool:
        """Note what a long name or PAX header says of the next member; False if it is cut."""
        if content + size > self._end or size > MAX_HEADER_BYTES:
            return False
        payload = os.pread(self._handle, size, content)
        if kind == b"L":
            self._long_name = payload.rstrip(b"\0")
        elif kind == b"g":
            self._global_pax |= _pax_fields(payload)
        elif kind in (b"x", b"X"):
            self._pax = _pax_fields(payload)
        return True

    def _read_member(self, header: bytes, kind: bytes, size: int, content: int) -> tuple[Member | None, int]:
        """The member (None for folders and devices) and where the next header begins."""
        fields = self._global_pax | self._pax
        name = fields.get("GNU.sparse.name") or fields.get("path") or self._long_name or _ustar_name(header)
        self._pax, self._long_name = {}, b""
        if kind in (b"1", b"2"):  # their size field counts nothing that is stored
            return Member(os.fsdecode(name), content, 0, "link in a tar"), content
        if kind in (b"3", b"4", b"5", b"6") or name.endswith(b"/"):
            return None, content
        size = int(fields.get("size", size))
        following = content + _padded(size)
        if kind == b"S":
            following += self._sparse_extension(header, content)
        return self._member(name, content, size, is_sparse=kind == b"S" or _is_pax_sparse(fields)), following

    def _member(self, name: bytes, content: int, size: int, *, is_sparse: bool) -> Member:
        problem = "sparse tar member" if is_sparse else ""
        if content + size > self._end:
            problem = CUT
        return Member(os.fsdecode(name), content, size, problem)

    def _sparse_extension(self, header: bytes, content: int) -> int:
        """Bytes of the extra header blocks of an old GNU sparse member."""
        extra = 0
        more = header[482:483] not in (b"\0", b"")
        while more:
            block = os.pread(self._handle, BLOCK, content + extra)
            extra += BLOCK
            more = block[504:505] not in (b"\0", b"")
        return extra


def _has_good_checksum(header: bytes) -> bool:
    """The sum of all bytes with the checksum field as spaces; some old writers summed signed bytes."""
    try:
        stored = _number(header[148:156])
    except ValueError:
        return False
    unsigned = sum(header) - sum(header[148:156]) + 8 * 32
    if stored == unsigned:
        return stored != 8 * 32  # an all-zero block is no header
    high = sum(byte > 127 for byte in header[:148]) + sum(byte > 127 for byte in header[156:])
    return stored == unsigned - 256 * high


def _number(field: bytes) -> int:
    """Octal digits, or base 256 where the top bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
    return int(field.split(b"\0")[0].strip() or b"0", 8)


def _ustar_name(header: bytes) -> bytes:
    name, prefix = header[:100].split(b"\0")[0], header[345:500].split(b"\0")[0]
    return prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name


def _pax_fields(payload: bytes) -> dict[str, bytes]:
    """``LENGTH KEY=VALUE\\n`` entries, the length counting itself."""
    fields: dict[str, bytes] = {}
    at = 0
    while at < len(payload) and (space := payload.find(b" ", at)) > 0:
        try:
            length = int(payload[at:space])
        except ValueError:
            break
        key, _, value = payload[space + 1 : at + length - 1].partition(b"=")
        fields[key.decode("utf-8", "replace")] = value
        at += max(length, 1)
    return fields


def _is_pax_sparse(fields: dict[str, bytes]) -> bool:
    return any(key.startswith("GNU.sparse.") for key in fields)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


@dataclass
class _Table:
    """An open tar and where its members lie; the handle closes when the last reader lets go."""

    handle: int
    stamp: tuple[int, int, int]
    members: dict[str, Member]

    def __del__(self) -> None:
        os.close(self.handle)


_tables: OrderedDict[str, _Table] = OrderedDict()
_tables_lock = threading.Lock()


def split_member(path: str) -> tuple[str, str] | None:
    """``x.tar#member`` as (tar, member), or None where no part before a ``#`` is a file.

    The caller tries the literal path first: a picture may be called ``a.tar#1.jpg``.
    """
    at = path.find("#")
    while at > 0:
        if os.path.isfile(path[:at]):  # noqa: PTH113 (Path refuses NUL)
            return path[:at], path[at + 1 :]
        at = path.find("#", at + 1)
    return None


def open_member(path: str) -> bytes:
    """The content of ``x.tar#member``. Safe to call from many threads.

    Where a name occurs twice, the later one counts, as it does when unpacking.

    Raises:
        MediaError: no such tar or member, or it is cut or sparse.
    """
    table, member = _find(path)
    content = os.pread(table.handle, member.size, member.offset)
    if len(content) < member.size:
        raise MediaError("truncated tar member")
    return content


def open_member_stream(path: str) -> BinaryIO:
    """The content of ``x.tar#member`` as a seekable file that reads only what is asked for.

    Raises:
        MediaError: no such tar or member, or it is cut or sparse.
    """
    table, member = _find(path)
    return cast(BinaryIO, io.BufferedReader(_MemberFile(table, member), buffer_size=1 << 16))


class _MemberFile(io.RawIOBase):
    """A window on the tar; has its own position, so windows do not disturb each other."""

    def __init__(self, table: _Table, member: Member) -> None:
        self._table = table
        self._member = member
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._member.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        length = min(len(buffer), max(0, self._member.size - self._at))
        chunk = os.pread(self._table.handle, length, self._member.offset + self._at)
        buffer[: len(chunk)] = chunk
        self._at += len(chunk)
        return len(chunk)


def _find(path: str) -> tuple[_Table, Member]:
    parts = split_member(path)
    if parts is None:
        raise MediaError("no such file")
    table = _table(parts[0])
    member = table.members.get(parts[1])
    if member is None:
        raise MediaError(f"no such member in the tar: {parts[1]}")
    if member.problem:
        raise MediaError(member.problem)
    return table, member


def _table(tar: str) -> _Table:
    """The members of the tar, remembered until the file changes."""
    try:
        status = Path(tar).stat()
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        with _tables_lock:  # held while reading the headers: threads that want the same tar must not each scan it
            known = _tables.get(tar)
            if known is None or known.stamp != stamp:
                members = {member.name: member for member in walk_members(tar)}
                _tables[tar] = known = _Table(os.open(tar, os.O_RDONLY | os.O_CLOEXEC), stamp, members)
            _tables.move_to_end(tar)
            while len(_tables) > TABLES_KEPT:
                _tables.popitem(last=False)
            return known
    except OSError as error:
        raise MediaError(f"tar cannot be read: {(error.strerror or str(error)).lower()}") from None
    except InputError as error:
        raise MediaError(str(error)) from None
