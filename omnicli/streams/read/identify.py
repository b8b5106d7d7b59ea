"""The kind of a file by its first bytes, local or remote."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from omnicli.errors import RecordError
from omnicli.streams.files.media_files import open_regular, reason_of
from omnicli.streams.files.sniff import HEAD_BYTES, sniff
from omnicli.streams.files.tar_headers import is_tar
from omnicli.streams.files.urls import url_of
from omnicli.streams.read.folder import FoundFile
from omnicli.streams.reading import NO_POSITION, reading
from omnicli.streams.record import Record

if TYPE_CHECKING:
    from concurrent.futures import Future

# Ours: threads cost 20 us per file, and gain where opening a file waits for a network. So files are opened one by one
# until some of them have taken longer.
SLOW_SEC = 2e-4
NUM_TIMED = 64
NUM_THREADS, FILES_AT_ONCE = 16, 16


class Identified(NamedTuple):
    """A file below a folder, and what its first bytes say.

    Attributes:
        found: the file.
        kind: of media; None if it is none.
        problem: why it is not media; "" for media.
        head: its first bytes.
    """

    found: FoundFile
    kind: str | None = None
    problem: str = ""
    head: bytes = b""


def identify_all(files: Iterator[FoundFile], *, is_wanted: Callable[[FoundFile], bool]) -> Iterator[Identified]:
    """Identify files in their order: in threads if opening one takes long; folders and unwanted files are not opened.

    Args:
        files: below a folder.
        is_wanted: False leaves a file out.
    """
    wanted = (found for found in files if found.problem or found.num_frames or is_wanted(found))
    spent_sec, num_timed = 0.0, 0
    while num_timed < NUM_TIMED or spent_sec / num_timed < SLOW_SEC:
        found = next(wanted, None)
        if found is None:
            return
        started = time.perf_counter()
        identified = _identified(found)
        spent_sec += time.perf_counter() - started
        num_timed += 1
        yield identified
    yield from _in_threads(wanted)


def _in_threads(files: Iterator[FoundFile]) -> Iterator[Identified]:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 (most folders are local and fast)

    pool = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="identify")
    waiting: deque[Future[list[Identified]]] = deque()
    try:
        while some := list(islice(files, FILES_AT_ONCE)):
            waiting.append(pool.submit(lambda batch: list(map(_identified, batch)), some))
            if len(waiting) > 2 * NUM_THREADS:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _identified(found: FoundFile) -> Identified:
    return Identified(found) if found.problem or found.num_frames else Identified(found, *identify(found.path))


def identify(path: bytes) -> tuple[str | None, str, bytes]:
    """Media kind of a file or None, why it is not media or "", and its first bytes."""
    try:
        head = _head_of(path)
    except (OSError, ValueError) as error:
        return None, reason_of(error), b""
    try:
        with reading(Record({"path": os.fsdecode(path)}), NO_POSITION):
            kind, description = sniff(head)
    except RecordError as error:
        return None, str(error), b""
    if description == "NumPy array":  # in a tar, arrays are the data of other members
        kind = "flow"
    if kind is not None:
        return kind, "", head
    return None, description if not head else f"not media ({description})", head


def _head_of(path: bytes) -> bytes:
    """The first bytes of a file. Raises OSError and ValueError."""
    if b":/" in path and (url := url_of(os.fsdecode(path))):
        from omnicli.streams.files.remote_file import read_remote  # noqa: PLC0415 (most files are local)
        from omnicli.streams.files.spool import open_spooled  # noqa: PLC0415

        is_tar = url.lower().endswith(".tar")  # which is read on
        return open_spooled(url).pread(HEAD_BYTES, 0) if is_tar else read_remote(url, 0, HEAD_BYTES)
    handle = open_regular(path)
    try:
        return os.read(handle, HEAD_BYTES)
    finally:
        os.close(handle)


def may_be_stream(head: bytes) -> bool:
    """True for text, tars, shards and compressed files of any name."""
    return sniff(head)[1] in ("JSON", "text", "HDF5", "gzip", "zstd", "tar archive") or is_tar(head)
