"""A file that HDF5 writes to and that never fails under it."""

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path


class SafeFile(io.RawIOBase):
    """A new file whose first failed write is remembered; what follows is accepted and lost.

    HDF5 crashes the process when it closes a file that a full disk or a limit keeps it from writing. Here it always
    ends its work, and the caller raises the error and removes the file.

    Attributes:
        error: of the first write that failed.

    Raises:
        OSError: the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        self._position = 0
        self._size = 0

    def check(self) -> None:
        """Raises OSError: a write has failed."""
        if self.error is not None:
            raise self.error

    def sync(self) -> None:
        """Sync the file to disk. Raises OSError."""
        self._attempt(lambda: os.fsync(self._handle))
        self.check()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; returns it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def write(self, data: object) -> int:
        """Write all bytes, or remember why not."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        self._attempt(lambda: self._write_all(view))
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def readinto(self, buffer: object) -> int:
        """Fill the buffer; what was lost is 0."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = b""
        with contextlib.suppress(OSError):
            data = os.pread(self._handle, len(view), self._position)
        view[: len(data)] = data
        view[len(data) :] = bytes(len(view) - len(data))  # lost
        self._position += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the size."""
        self._size = self._position if size is None else size
        self._attempt(lambda: os.ftruncate(self._handle, self._size))
        return self._size

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            os.close(self._handle)
        super().close()

    def _write_all(self, view: memoryview) -> None:
        written = 0
        while written < len(view):
            written += os.pwrite(self._handle, view[written:], self._position + written)

    def _attempt(self, action: Callable[[], object]) -> None:
        if self.error is None:
            try:
                action()
            except OSError as error:
                self.error = error
