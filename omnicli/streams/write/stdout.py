"""Lines to stdout and to special files, flushed before a reader has to wait."""

import sys
import time
from typing import BinaryIO, Protocol

from omnicli.errors import OutputError
from omnicli.streams.write.atomic import named_errors

FLUSH_SEC = 0.05  # a reader downstream never waits longer than this for lines already made


class LineWriter(Protocol):
    """Where lines go, and how many bytes went there."""

    length: int

    def write(self, line: bytes) -> None:
        """Append one line."""

    def flush(self) -> None:
        """Hand on what is buffered."""


class StreamWriter:
    """Lines to stdout or a special file, flushed soon: at once when ``live`` (input arrives through a pipe).

    Raises:
        BrokenPipeError: the reader went away; the command ends quietly with 141.
        OutputError: the device is full or failed.
    """

    def __init__(self, file: BinaryIO, *, name: str, live: bool) -> None:
        self.length = 0
        self._file = file
        self._name = name
        self._live = live
        self._flushed_at = time.monotonic()

    def write(self, line: bytes) -> None:
        """Append one line, and flush when the last flush is too long ago."""
        with named_errors(self._name):
            self._file.write(line)
        self.length += len(line)
        if self._live or time.monotonic() - self._flushed_at > FLUSH_SEC:
            self.flush()

    def flush(self) -> None:
        """Hand every buffered line to the reader."""
        with named_errors(self._name):
            self._file.flush()
        self._flushed_at = time.monotonic()


def open_stdout(*, live: bool) -> StreamWriter:
    """Stdout as bytes: JSONL only, whatever the locale. Raises OutputError if it is closed."""
    if sys.stdout is None:
        raise OutputError("stdout: cannot write: it is closed; name a file with -o")
    return StreamWriter(sys.stdout.buffer, name="stdout", live=live)
