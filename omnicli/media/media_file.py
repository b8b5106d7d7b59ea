"""A file as FFmpeg reads it: errors are values, and reading ends when decoding gets nowhere."""

import os
import threading
import time
from typing import BinaryIO

from omnicli.errors import MediaError
from omnicli.streams.files.media_files import reason_of

# Ours: seconds of computing without a frame after which a file is given up. Time of the thread, not of the clock, so
# that a busy machine, a paused job or a slow disk rejects nothing.
PATIENCE_SEC = 60.0


class MediaFile:
    """What a demuxer reads from. An exception cannot pass through its C code: it would be printed, or end the reading.

    Attributes:
        is_late: reading ended because no frame came.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: Exception | None = None
        self.is_late = False
        self.note_progress()

    def note_progress(self) -> None:
        """A frame was decoded, or another step was made: patience begins anew."""
        self._thread, self._since_sec = threading.get_ident(), time.thread_time()

    def check(self) -> None:
        """Whether what was read so far can be trusted to be all there is.

        Raises:
            MediaError: "input/output error", "no frame decoded within 60 s", ...
        """
        if self._spent_sec() > PATIENCE_SEC:
            self.is_late = True
        if self.is_late:
            raise MediaError(f"no frame decoded within {PATIENCE_SEC:.0f} s")
        if isinstance(self._error, MemoryError):
            raise self._error
        if self._error is not None:
            raise MediaError(_reason(self._error)) from None

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; none at the end, after an error, or when patience is over."""
        if self.is_late or self._spent_sec() > PATIENCE_SEC:
            self.is_late = True
            return b""
        try:
            return self._file.read(size)
        except Exception as error:
            self._error = self._error or error
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """The new position; -1 where there is none, such as before the beginning."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):  # a demuxer tries positions that damaged headers name
            return -1

    def tell(self) -> int:
        """The position; -1 if it is unknown."""
        try:
            return self._file.tell()
        except (OSError, ValueError):
            return -1

    def _spent_sec(self) -> float:
        if self._thread != threading.get_ident():  # another thread goes on, whose time is another
            self.note_progress()
        return time.thread_time() - self._since_sec


def _reason(error: Exception) -> str:
    return reason_of(error) if isinstance(error, OSError) else str(error) or "read error"
