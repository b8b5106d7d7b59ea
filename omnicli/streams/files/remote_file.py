"""A remote file that is read by ranges, through a small cache of blocks; whole where a server reads no ranges."""

import errno
import hashlib
import io
import os
import tempfile
from collections import OrderedDict
from typing import TYPE_CHECKING, BinaryIO

from omnicli.streams.files.remote import RangeIgnoredError, download, fetch, status
from omnicli.streams.files.urls import RemoteError

if TYPE_CHECKING:
    from omnicli.streams.files.spool import Spool

# Ours: a few frames of a video need its index and one stretch per frame, so the first block after a jump is small; it
# doubles as long as reading goes on, so that a whole file needs few requests.
BLOCK_BYTES = 1 << 16
MAX_WINDOW = 64  # blocks: 4 MiB
MAX_BLOCKS = 256  # kept per file: 16 MiB
NEAR_BLOCKS = 2  # blocks that are skipped and still are no jump


class RemoteFile(io.RawIOBase):
    """A remote file, or a range of one, for reading and seeking. Not to be shared between threads.

    Args:
        url: of the file.
        offset: where the range begins.
        size: of the range, if it is known; default to the end of the file.
        spool: what other readers of the file have fetched.

    Attributes:
        identity: two numbers that differ between the file and one that replaces it; asks the server once.

    Raises:
        RemoteError: it cannot be read.
    """

    def __init__(self, url: str, *, offset: int = 0, size: int | None = None, spool: "Spool | None" = None) -> None:
        self._url = url
        self._spool = spool
        self._offset = offset
        self._size = size
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._window = 1
        self._next_block = 0
        self._whole: BinaryIO | None = None  # a local copy
        if size is None:
            first = self._fetch(0, BLOCK_BYTES)  # before the size: of most images this is the whole file
            if len(first) < BLOCK_BYTES:
                self._size = len(first)
            self._keep(0, first)
            self._next_block = 1

    @property
    def size(self) -> int:
        """Bytes of the range. Raises RemoteError."""
        if self._size is None:
            found = self._spool.found.size if self._spool else status(self._url).size
            if found is None:
                self._copy_whole()
            else:
                self._size = found - self._offset
        assert self._size is not None
        return self._size

    @property
    def identity(self) -> tuple[int, int]:
        """What differs between the file and one that replaces it."""
        return remote_identity(self._url)

    def pread(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes at an offset, fewer at the end. Raises RemoteError."""
        end = min(offset + size, self.size) if offset + size > len(self._blocks.get(0, b"")) else offset + size
        if offset >= end:
            return b""
        first, last = offset // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        if any(index not in self._blocks for index in range(first, last + 1)):
            self._load(first, last)
        blocks = [self._blocks[index] for index in range(first, last + 1)]
        content = b"".join(blocks)[offset - first * BLOCK_BYTES : end - first * BLOCK_BYTES]
        self._forget()
        return content

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fill the buffer from the position."""
        content = self.pread(len(buffer), self._at)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def readall(self) -> bytes:
        """All bytes from the position to the end."""
        content = self.pread(max(0, self.size - self._at), self._at)
        self._at += len(content)
        return content

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; returns it."""
        if whence == os.SEEK_END:
            offset += self.size
        elif whence == os.SEEK_CUR:
            offset += self._at
        if offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._at = offset
        return self._at

    def close(self) -> None:
        """Forget what was read."""
        self._blocks.clear()
        if self._whole is not None:
            self._whole.close()
        super().close()

    def _load(self, first: int, last: int) -> None:
        """Fetch the missing blocks of [first, last], and more if reading goes on where it ended."""
        while first <= last and first in self._blocks:
            first += 1
        while last > first and last in self._blocks:
            last -= 1
        goes_on = 0 <= first - self._next_block <= NEAR_BLOCKS
        self._window = min(2 * self._window, MAX_WINDOW) if goes_on else 1
        stop = max(last + 1, first + self._window)
        end = min(stop * BLOCK_BYTES, self.size)
        content = self._fetch(first * BLOCK_BYTES, end)
        if len(content) < min(end, (last + 1) * BLOCK_BYTES) - first * BLOCK_BYTES:
            raise RemoteError(errno.EIO, "the file became shorter while it was read", self._url)
        self._keep(first, content)
        self._next_block = stop

    def _fetch(self, start: int, end: int) -> bytes:
        """Bytes of the range, from the server or the local copy."""
        if self._spool is not None:
            return self._spool.read(self._offset + start, self._offset + end)
        if self._whole is None:
            try:
                return fetch(self._url, self._offset + start, self._offset + end)
            except RangeIgnoredError:
                self._copy_whole()
        assert self._whole is not None
        self._whole.seek(self._offset + start)
        return self._whole.read(end - start)

    def _copy_whole(self) -> None:
        """Copy the whole file to TMPDIR: the server reads no ranges."""
        self._whole = tempfile.TemporaryFile()  # noqa: SIM115 (closed with this file)
        download(self._url, self._whole)
        if self._size is None:
            self._size = self._whole.seek(0, os.SEEK_END) - self._offset

    def _keep(self, first: int, content: bytes) -> None:
        for at in range(0, len(content), BLOCK_BYTES):
            self._blocks[first + at // BLOCK_BYTES] = content[at : at + BLOCK_BYTES]

    def _forget(self) -> None:
        while len(self._blocks) > MAX_BLOCKS:
            self._blocks.popitem(last=False)


def read_remote(url: str, start: int = 0, end: int | None = None) -> bytes:
    """Bytes [start, end) of a remote file, from a server that may read no ranges. Raises RemoteError."""
    try:
        return fetch(url, start, end)
    except RangeIgnoredError:
        with tempfile.TemporaryFile() as file:
            download(url, file)
            file.seek(start)
            return file.read(-1 if end is None else end - start)


def remote_identity(url: str) -> tuple[int, int]:
    """Two numbers that differ between a remote file and one that replaces it. Raises RemoteError."""
    found = status(url)
    stamp = hashlib.blake2b(f"{found.size} {found.stamp}".encode(), digest_size=8).digest()
    return found.size or 0, int.from_bytes(stamp, "big") >> 1
