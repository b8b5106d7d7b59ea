"""The members of a tar, from its headers.

Understands what GNU tar, BSD tar, Python and img2dataset write: ustar prefixes, GNU long names, PAX headers, sizes in
base 256. Sparse members and links are named, with a problem. The standard ``tarfile`` ends silently at a damaged
header; here nothing ends silently.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

from omnicli.errors import InputError

BLOCK = 512
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
        if self._pax or self._long_name:  # a header that spoke of a member, and no member
            yield Member("", at, 0, CUT)

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
