"""Writer of lines to stdout and special files, flushed often enough for readers of a pipe."""

import sys
import time
from typing import BinaryIO, Protocol

from omnicli.errors import OutputError
from omnicli.streams.write.atomic import named_errors

FLUSH_SEC = 0.05  # the longest time that a written line waits in the buffer


class LineWriter(Protocol):
    """A writer of lines that counts the bytes it has written."""

    length: int

    def write(self, line: bytes) -> None:
        """Append one line."""

    def flush(self) -> None:
        """Flush the buffer."""


class StreamWriter:
    """Writes lines to stdout or a special file; flushes each line if ``live`` (the input is a pipe).

    Raises:
        BrokenPipeError: the reader has closed the pipe; the command exits with 141.
        OutputError: the device is full or fails.
    """

    def __init__(self, file: BinaryIO, *, name: str, live: bool) -> None:
        self.length = 0
        self._file = file
        self._name = name
        self._live = live
        self._flushed_at = time.monotonic()

    def write(self, line: bytes) -> None:
        """Append one line, and flush if ``FLUSH_SEC`` have passed."""
        with named_errors(self._name):
            self._file.write(line)
        self.length += len(line)
        if self._live or time.monotonic() - self._flushed_at > FLUSH_SEC:
            self.flush()

    def flush(self) -> None:
        """Flush the buffer."""
        with named_errors(self._name):
            self._file.flush()
        self._flushed_at = time.monotonic()


def open_stdout(*, live: bool) -> StreamWriter:
    """A writer of bytes to stdout, independent of the locale. Raises OutputError if stdout is closed."""
    if sys.stdout is None:
        raise OutputError("stdout: cannot write: it is closed; name a file with -o")
    return StreamWriter(sys.stdout.buffer, name="stdout", live=live)
