"""What was fetched of remote tars, in temporary files: headers, records and members have different readers, and no byte
is fetched twice.
"""

import contextlib
import os
import shutil
import tempfile
import threading
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict

from omnicli.streams.files.remote import RangeIgnoredError, RemoteStatus, download, fetch, status
from omnicli.streams.files.remote_file import RemoteFile

SPOOL_BYTES = 4 << 30  # Ours: in TMPDIR, per process, and at most half of what is free there
SPOOLS_KEPT = 16
TRUSTED_SEC = 60.0  # Ours: so long a tar is taken for the one that was opened, without asking its store


class Spool:
    """A remote file and the ranges of it that are here. Can be used from many threads.

    Args:
        url: of the file.
        found: what its store says of it.

    Attributes:
        num_bytes: that are here.
    """

    def __init__(self, url: str, found: RemoteStatus) -> None:
        self.found = found
        self.asked_at = time.monotonic()
        self.num_bytes = 0
        self._url = url
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (sparse; closed with this object)
        self._starts: list[int] = []  # of the ranges that are here, in order, apart from each other
        self._ends: list[int] = []
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._in_flight: list[range] = []
        self._whole_lock = threading.Lock()

    def read(self, start: int, end: int) -> bytes:
        """Bytes [start, end), fewer at the end of the file. Raises RemoteError."""
        end = end if self.found.size is None else min(end, self.found.size)
        if start >= end:
            return b""
        head, tail, missing = self._ask_for(start, end)
        if not missing:
            return head + tail
        try:
            content = fetch(self._url, missing.start, missing.stop)
            self._keep(missing.start, content)
        except RangeIgnoredError:
            return self._read_whole(start, end)
        finally:
            with self._changed:
                self._in_flight.remove(missing)
                self._changed.notify_all()
        return head + content + (tail if len(content) == len(missing) else b"")

    def forget(self) -> None:
        """Give the disk back."""
        with self._lock, contextlib.suppress(OSError):
            os.ftruncate(self._file.fileno(), 0)
            self._starts, self._ends, self.num_bytes = [], [], 0

    def __del__(self) -> None:
        self._file.close()

    def _ask_for(self, start: int, end: int) -> tuple[bytes, bytes, range]:
        """What is here of the begin and of the end of a range, and what is to be fetched; waits for other readers."""
        with self._changed:
            while True:
                head, tail = self._here(start, end)
                missing = range(start + len(head), end - len(tail))
                if not any(each.start < missing.stop and missing.start < each.stop for each in self._in_flight):
                    if missing:
                        self._in_flight.append(missing)
                    return head, tail, missing
                self._changed.wait()

    def _here(self, start: int, end: int) -> tuple[bytes, bytes]:
        at = bisect_right(self._starts, start) - 1
        middle = max(start, min(self._ends[at], end)) if at >= 0 else start
        at = bisect_left(self._ends, end)
        last = max(middle, self._starts[at]) if at < len(self._ends) and self._starts[at] < end else end
        handle = self._file.fileno()
        return os.pread(handle, middle - start, start), os.pread(handle, end - last, last)

    def _keep(self, start: int, content: bytes) -> None:
        if not _has_room(self, len(content)):
            return
        with self._lock, contextlib.suppress(OSError):  # a full TMPDIR: the bytes are fetched again
            if os.pwrite(self._file.fileno(), content, start) == len(content):
                self._add(start, start + len(content))

    def _add(self, start: int, end: int) -> None:
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        before = sum(self._ends[first:last]) - sum(self._starts[first:last])
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last], self._ends[first:last] = [start], [end]
        self.num_bytes += end - start - before

    def _read_whole(self, start: int, end: int) -> bytes:
        """From a server that reads no ranges: the whole file, once."""
        with self._whole_lock:
            size = os.fstat(self._file.fileno()).st_size
            if not (self._starts == [0] and self._ends == [size]):
                download(self._url, self._file)
                with self._lock:
                    self._add(0, os.fstat(self._file.fileno()).st_size)
            return os.pread(self._file.fileno(), end - start, start)


_spools: OrderedDict[str, Spool] = OrderedDict()
_lock = threading.Lock()


def spool_of(url: str) -> Spool:
    """The spool of a file that all readers of this process share, until the file changes. Raises RemoteError."""
    with _lock:
        known = _spools.get(url)
        if known is not None and time.monotonic() - known.asked_at < TRUSTED_SEC:
            _spools.move_to_end(url)
            return known
    found = status(url)
    with _lock:
        known = _spools.get(url)
        if known is None or known.found != found:
            _spools[url] = known = Spool(url, found)
        known.asked_at = time.monotonic()
        _spools.move_to_end(url)
        while len(_spools) > SPOOLS_KEPT:
            _spools.popitem(last=False)
        return known


def open_spooled(url: str) -> RemoteFile:
    """A remote file whose bytes are fetched once per process. Raises RemoteError."""
    return RemoteFile(url, spool=spool_of(url))


def _has_room(spool: Spool, num_bytes: int) -> bool:
    """Whether so many more bytes may be kept; the spools of other files make room, those used longest ago first."""
    room = min(SPOOL_BYTES, shutil.disk_usage(tempfile.gettempdir()).free // 2)
    with _lock:
        for other in [*_spools.values()]:
            if sum(each.num_bytes for each in _spools.values()) + num_bytes <= room:
                return True
            if other is not spool:
                other.forget()
        return spool.num_bytes + num_bytes <= room
