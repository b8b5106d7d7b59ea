"""The members of a tar, from its headers, as the standard ``tarfile`` reads them: ustar, GNU, PAX.

``tarfile`` ends silently at a damaged header, reads as many bytes as a header claims, and may walk backwards; here
nothing ends silently, and every header is small and behind the one before. Sparse members and links are named, with a
problem.
"""

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from omnicli.reasons import DAMAGED_TAR
from omnicli.streams.files.urls import url_of

if TYPE_CHECKING:
    from omnicli.streams.files.remote_file import RemoteFile

BLOCK = 512
CUT = "truncated tar member"
MAX_HEADER_BYTES = 1 << 16  # of one member; a path has 4 KiB. Python before 3.11.10 takes 10 s for one made to be slow


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
    """True if the first block is a tar header with a right checksum, or at least calls itself one."""
    return len(head) >= BLOCK and (_is_header(head[:BLOCK]) or head[257:262] == b"ustar")


def open_tar(path: str) -> "int | RemoteFile":
    """A descriptor of a local tar, or a remote one, of which each byte is fetched once. Raises OSError."""
    if url := url_of(path):
        from omnicli.streams.files.spool import open_spooled  # noqa: PLC0415 (most files are local)

        return open_spooled(url)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def walk_members(path: str, opened: "RemoteFile | None" = None) -> Iterator[Member]:
    """Regular files of the tar in stored order; a table is never built, so memory is flat.

    A cut tar ends with its last member marked ``problem="truncated tar member"``; when even the name is lost, the
    member's name is "". Behind a damaged header nothing is read: a last member "" has this as its problem.

    Args:
        path: of the tar.
        opened: a remote tar, whose blocks its reader shares.

    Raises:
        OSError: it cannot be opened or read.
    """
    at = 0
    with _HeaderFile(path) if opened is None else _RemoteHeaders(opened) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        with suppress(tarfile.TarError, ValueError, IndexError):  # what tarfile raises where it does not end silently
            tar = tarfile.TarFile(fileobj=file, encoding="utf-8", errors="surrogateescape")
            while at < end and (info := tar.next()) is not None and info.size >= 0 and tar.offset > at:
                file.allowance = MAX_HEADER_BYTES
                tar.members.clear()  # type: ignore[attr-defined]
                at = tar.offset
                problem = _problem(info, at, end)
                if problem == CUT or not (info.isdir() or info.isdev() or info.name.endswith("/")):
                    yield Member(info.name, info.offset_data, info.size, problem)
        block = file.pread(BLOCK, at) if at < end else b""
        if not block.strip(b"\0") and len(block) in (0, BLOCK):
            return
        if len(block) == BLOCK and not (_is_header(block) and file.tell() >= end):
            yield Member("", at, 0, f"{DAMAGED_TAR}: no member header at byte {at:,}; re-create the file")
        else:
            yield Member("", at, 0, CUT)


class _HeaderFile(io.FileIO):
    """An open tar that gives out no more than the headers of one member may have, until it is allowed more."""

    allowance = MAX_HEADER_BYTES

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= self.allowance:
            raise tarfile.ReadError
        self.allowance -= size
        return super().read(size)

    def pread(self, size: int, offset: int) -> bytes:
        """Bytes at an offset."""
        return os.pread(self.fileno(), size, offset)


class _RemoteHeaders(io.RawIOBase):
    """The same of a remote tar."""

    allowance = MAX_HEADER_BYTES

    def __init__(self, file: "RemoteFile") -> None:
        self._file = file
        self._at = 0

    def read(self, size: int | None = -1) -> Any:
        if size is None or not 0 <= size <= self.allowance:
            raise tarfile.ReadError
        self.allowance -= size
        content = self._file.pread(size, self._at)
        self._at += len(content)
        return content

    def pread(self, size: int, offset: int) -> bytes:
        """Bytes at an offset."""
        return self._file.pread(size, offset)

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence] + offset
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _problem(info: tarfile.TarInfo, following: int, end: int) -> str:
    """Why a member cannot be read.

    Args:
        info: its header.
        following: byte at which the next header would be.
        end: bytes of the tar.
    """
    if info.issym() or info.islnk():
        return "link in a tar"
    # the size of a sparse member counts its holes, and that of a folder counts nothing
    if (following if info.issparse() else min(info.offset_data + info.size, following)) > end:
        return CUT
    return "sparse tar member" if info.issparse() else ""
