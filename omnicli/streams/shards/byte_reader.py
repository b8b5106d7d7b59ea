"""Rows of an HDF5 dataset, read directly from the file.

HDF5 needs more time to find 16 kB than to read them, and serves one thread at a time. An uncompressed dataset is stored
as plain bytes, whole or in chunks, so HDF5 is only asked once where these begin. What it says takes 8 bytes per chunk,
stays in memory, and needs no open file.
"""

import math
import os
import resource
from collections.abc import Callable
from functools import lru_cache

import h5py
import numpy as np

from omnicli.errors import InputError
from omnicli.streams.files.urls import url_of

Identity = tuple[int, int]  # inode, and when it was changed, in ns
# Ours: half of what the process may open, at most; opening a local file again takes microseconds
MAX_OPEN = max(64, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2, 4096))
NOT_STORED = -1


class StoredRows:
    """Where the rows of a finished dataset (N, ...) of numbers are in its file.

    Args:
        dataset: in an open file, which may be closed afterwards.

    Attributes:
        num_rows: N.
        dtype: of the numbers.
        row_shape: of a row.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.num_rows = len(dataset)
        self.dtype: np.dtype = dataset.dtype
        self.row_shape: tuple[int, ...] = dataset.shape[1:]
        self._row_bytes = self.dtype.itemsize * math.prod(self.row_shape)
        self._chunk_bytes, self._offsets = 0, np.empty(0, np.int64)
        is_in_file = dataset.file.driver in ("sec2", "fileobj") and not dataset.id.get_create_plist().get_nfilters()
        if is_in_file and not dataset.chunks:
            offset = dataset.id.get_offset()
            self._chunk_bytes = max(1, self.num_rows * self._row_bytes)
            self._offsets = np.array([NOT_STORED if offset is None else offset], np.int64)
        elif is_in_file and dataset.chunks[1:] == self.row_shape:
            self._chunk_bytes = dataset.chunks[0] * self._row_bytes
            self._offsets = np.array(_chunk_offsets(dataset), np.int64)

    def read(self, file: "RawFile", start: int, stop: int) -> bytes | None:
        """The bytes of rows [start, stop); None if HDF5 has to read them: compressed, or never written.

        Args:
            file: open as long as this call holds it; can be used by many threads.
            start: first row.
            stop: row after the last.

        Raises:
            OSError: the rows are outside the dataset, or the file is truncated.
        """
        if not 0 <= start <= stop <= self.num_rows:
            raise OSError(f"rows {start} to {stop} of {self.num_rows}")
        begin, end, chunk_bytes = start * self._row_bytes, stop * self._row_bytes, self._chunk_bytes
        if not chunk_bytes:
            return None
        parts = []
        while begin < end:
            chunk, within = divmod(begin, chunk_bytes)
            offset = int(self._offsets[chunk])
            if offset == NOT_STORED:
                return None
            part = file.pread(min(end - begin, chunk_bytes - within), offset + within)
            if not part:
                raise OSError("the file ends before its frames")
            parts.append(part)
            begin += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class RawFile:
    """An open file, closed when nobody uses it any more.

    Raises:
        InputError: it cannot be opened, or it is another file than the one with this identity.
    """

    descriptor = -1

    def __init__(self, path: str, identity: Identity) -> None:
        self._url = url_of(path)
        if self._url:  # each range is a request of its own, so that many threads read at once
            return
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # it may be a FIFO by now
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        if identity_of(self.descriptor) != identity:
            raise InputError(f"{path}: it was replaced while it was read")

    def pread(self, size: int, offset: int) -> bytes:
        """Bytes at an offset, fewer at the end. Raises OSError."""
        if self._url:
            from omnicli.streams.files.remote_file import read_remote  # noqa: PLC0415 (most shards are local)

            return read_remote(self._url, offset, offset + size)
        return os.pread(self.descriptor, size, offset)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # at exit, modules may be gone
        if self.descriptor >= 0:
            close(self.descriptor)


open_raw = lru_cache(maxsize=MAX_OPEN)(RawFile)
"""The file at a path, by path and identity; the most recently used files stay open."""


def identity_of(file: int | str) -> Identity:
    """What differs between a file and one that replaces it. Raises OSError."""
    if isinstance(file, str) and (url := url_of(file)):
        from omnicli.streams.files.remote_file import remote_identity  # noqa: PLC0415

        return remote_identity(url)
    status = os.stat(file)  # noqa: PTH116 (Path refuses some names)
    return status.st_ino, status.st_mtime_ns


def identity_of_open(file: h5py.File, path: str) -> Identity:
    """The identity of an open file of HDF5. Raises OSError."""
    return identity_of(path if file.driver == "fileobj" else file.id.get_vfd_handle())


def _chunk_offsets(dataset: h5py.Dataset) -> list[int]:
    """Where each chunk begins in the file."""
    others = (0,) * (dataset.ndim - 1)
    found = (
        dataset.id.get_chunk_info_by_coord((row, *others)).byte_offset
        for row in range(0, len(dataset), dataset.chunks[0])
    )
    return [NOT_STORED if offset is None else offset for offset in found]
