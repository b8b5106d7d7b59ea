"""HDF5 shards: records with their arrays. Each file can be read alone.

    records    (R,) variable-length UTF-8, the JSON lines in order
    counts     (R,) int64, frames of each record            (kinds features and frames)
    features   (ΣF, D) float16, times (ΣF,) float64 seconds (kind features)
    scores     (R, K) float32                               (kind scores)
    frames     (bytes,) uint8, concatenated JPEG files, offsets (ΣF + 1,) int64, times (ΣF,) float64 seconds,
               spans (R, 2) float64 seconds: [start, end) of the record; NaN if unknown (kind frames)
    kind flow  as frames, with two grey JPEG files per pair of frames, x and y; attribute ``bound``: of both, pixels

Attributes: ``format`` and ``version`` of this layout, ``omni_version``, ``stage``, ``kind``, and the provenance:
options as JSON text, seed, checkpoint's SHA-256. A shard is written under a temporary name and renamed when it is
closed, since a killed HDF5 writer leaves a file that cannot be read.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Self

import h5py
import numpy as np

from omnicli.errors import InputError
from omnicli.streams.files.media_files import reason_of
from omnicli.streams.record import Record, normalise_id, parse_record
from omnicli.streams.shards.byte_reader import Identity, StoredRows, identity_of, identity_of_open, open_raw
from omnicli.streams.shards.opening import first_line, has_checked_lines, open_checked

READ_ROWS = 1000
FRESH_SEC = 1.0  # Ours: a shard that another process replaces is noticed so late
MAX_FRAMES_OF_TABLE = 4  # per row
MAX_HDF5_FILES = 16  # open at once, for lines and compressed arrays of single rows
MEDIA_OF_KIND = {"features": "features", "frames": "clip", "flow": "flow"}


class ShardReader:
    """A shard; can be read from many threads. Its tables, 4 to 100 bytes per row, are in memory.

    Args:
        path: of the file.

    Attributes:
        path: as given.
        identity: of the file.
        kind: "features", "scores", "frames" or "flow".
        attributes: as they were written.

    Raises:
        InputError: missing, unreadable, or not a shard of this version; names the file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: h5py.File | None
        self._file, self.attributes, datasets = open_checked(path)
        self.kind: str = self.attributes["kind"]
        self._num_rows = len(datasets["records"])
        try:
            with _damage(path):
                self.identity: Identity = identity_of_open(self._file, path)
                self._rows_at_once = READ_ROWS if has_checked_lines(datasets["records"]) else 1
                counts = datasets["counts"][:] if self.kind != "scores" else np.ones(self._num_rows, np.int64)
                starts = np.concatenate([[0], np.cumsum(counts.astype(np.int64))])  # (R + 1,)
                self._starts = starts.astype(np.uint32) if starts[-1] < 1 << 32 else starts
                self._arrays = {name: StoredRows(dataset) for name, dataset in datasets.items() if name != "records"}
                self._tables = self._read_tables(datasets)
        except InputError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Number of records."""
        return self._num_rows

    def close(self) -> None:
        """Close the file; rows can still be read, and open it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def records(self) -> Iterator[Record]:
        """All records in order; ``path``, ``row`` and ``media`` refer to their arrays (except in kind scores)."""
        for start in range(0, len(self), self._rows_at_once):
            records = self.stored_records(start, start + self._rows_at_once)
            yield from (as_row(record, self.kind, self.path, row) for row, record in enumerate(records, start))

    def num_frames(self, row: int) -> int:
        """Number of frames of one record."""
        return int(self._starts[row + 1]) - int(self._starts[row])

    def features(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """(F, D) float16 features and (F,) float64 times of one record."""
        start, stop = self._range(row, "features")
        with _damage(self.path):
            return self._numbers("features", start, stop), self._numbers("times", start, stop)

    def feature_block(self, start_row: int, stop_row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(ΣF, D) features, (ΣF,) times and (R,) counts of rows [start_row, stop_row)."""
        counts = np.diff(self._starts[start_row : stop_row + 1].astype(np.int64))
        start, stop = int(self._starts[start_row]), int(self._starts[start_row + len(counts)])
        with _damage(self.path):
            return self._numbers("features", start, stop), self._numbers("times", start, stop), counts

    def stored_records(self, start_row: int, stop_row: int) -> list[Record]:
        """Records as they were written, with the ``path`` of their media."""
        with _damage(self.path):
            lines = self._hdf5()["records"][start_row:stop_row]
        return [parse_record(line, origin=self.path, line_number=row) for row, line in enumerate(lines, start_row + 1)]

    def scores(self, row: int) -> np.ndarray:
        """(K,) float32 scores of one record."""
        self._range(row, "scores")
        with _damage(self.path):
            [scores] = self._numbers("scores", row, row + 1)
            return np.asarray(scores)

    def frames(self, row: int, frame_indices: Sequence[int] | None = None) -> list[bytes]:
        """The JPEG files of one record: all, or those at ``frame_indices``."""
        start, stop = self._range(row, "frames")
        if start == stop:
            return []
        with _damage(self.path):
            bounds = self._numbers("offsets", start, stop + 1).tolist()
            if bounds[0] < 0 or any(begin > end for begin, end in pairwise(bounds)):
                raise OSError(f"offsets of row {row} do not ascend")
            if frame_indices is not None:
                return [self._bytes("frames", bounds[index], bounds[index + 1]) for index in frame_indices]
            packed = self._bytes("frames", bounds[0], bounds[-1])
        return [packed[begin - bounds[0] : end - bounds[0]] for begin, end in pairwise(bounds)]

    def frame_times(self, row: int) -> tuple[np.ndarray, tuple[float, float]]:
        """(F,) float64 times of the frames, and [start, end) of the record, in seconds; NaN if unknown."""
        start, stop = self._range(row, "frames")
        with _damage(self.path):
            [span] = self._numbers("spans", row, row + 1).tolist()
            return self._numbers("times", start, stop), tuple(span)

    def _range(self, row: int, kind: str) -> tuple[int, int]:
        """The frames [start, stop) of a row. Raises InputError."""
        if kind != self.kind and (kind, self.kind) != ("frames", "flow"):
            raise InputError(f"{self.path}: holds {self.kind}, not {kind}")
        if not 0 <= row < len(self):
            raise InputError(f"{self.path}: no row {row}; it has rows 0 to {len(self) - 1}")
        return int(self._starts[row]), int(self._starts[row + 1])

    def _read_tables(self, datasets: Mapping[str, h5py.Dataset]) -> dict[str, np.ndarray]:
        """Where the frames are and when they are shown, kept in memory if rows have few frames, as images have."""
        if self.kind != "frames" or self._starts[-1] > MAX_FRAMES_OF_TABLE * self._num_rows:
            return {}
        return {name: datasets[name][:] for name in ("offsets", "times", "spans")}

    def _numbers(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of an array."""
        if name in self._tables:
            return self._tables[name][start:stop].copy()
        stored = self._arrays[name]
        return np.frombuffer(bytearray(self._bytes(name, start, stop)), stored.dtype).reshape(-1, *stored.row_shape)

    def _bytes(self, name: str, start: int, stop: int) -> bytes:
        """Rows [start, stop) of an array as they are stored."""
        data = self._arrays[name].read(open_raw(self.path, self.identity), start, stop)
        return self._hdf5()[name][start:stop].tobytes() if data is None else data

    def _hdf5(self) -> h5py.File:
        if self._file is not None:
            return self._file
        with _lock_of(self.path):
            return _open_hdf5(self.path, self.identity)


def read_shard(path: str) -> Iterator[Record]:
    """Yield the records of a shard and close it; see ``ShardReader.records``."""
    with ShardReader(path) as reader:
        yield from reader.records


def open_shard(path: str) -> ShardReader:
    """A reader for single rows of any number of shards.

    The tables of every shard stay in memory, and the files of the most recently used stay open (``byte_reader``), so a
    row costs the same among 2,000 shards as among 20. Threads that want the same shard wait for the first one, which
    reads its tables for all. A shard that was replaced is opened again: one that this process wrote at once, any other
    within ``FRESH_SEC``.

    Raises:
        InputError: as ``ShardReader``.
    """
    reader = _fresh(path)
    return _open_for_all(path) if reader is None else reader  # one without rows is false


_readers: dict[str, tuple[ShardReader, float]] = {}  # and when the file was last known to be the same
_locks: dict[str, threading.Lock] = {}  # held while the file of this path is opened


def _lock_of(path: str) -> threading.Lock:
    return _locks.setdefault(path, threading.Lock())


def _fresh(path: str) -> ShardReader | None:
    reader, seen_at = _readers.get(path, (None, 0.0))
    return reader if time.monotonic() - seen_at < FRESH_SEC else None


def _open_for_all(path: str) -> ShardReader:
    with _lock_of(path):
        if (found := _fresh(path)) is not None:  # another thread has opened it
            return found
        now = time.monotonic()
        try:
            identity = identity_of(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: {reason_of(error)}") from None
        reader, _ = _readers.get(path, (None, 0.0))
        if reader is None or reader.identity != identity:
            reader = ShardReader(path)
            reader.close()
        _readers[path] = (reader, now)
        return reader


def expect_other_shards() -> None:
    """Ask for every shard whether it is still the same: this process has written one."""
    for path, (reader, _) in list(_readers.items()):
        _readers[path] = reader, -FRESH_SEC


@lru_cache(maxsize=MAX_HDF5_FILES)
def _open_hdf5(path: str, identity: Identity) -> h5py.File:
    file, _, _ = open_checked(path, again=True)
    if identity_of_open(file, path) != identity:
        raise InputError(f"{path}: it was replaced while it was read")
    return file


def as_row(record: Record, kind: str, path: str, row: int) -> Record:
    """The record with ``path``, ``row`` and ``media`` of its arrays; packed images keep the media "image"."""
    if kind == "scores":
        made = record.derive()
    else:
        is_packed_image = kind == "frames" and record.get("media") == "image"
        made = record.derive(path=path, row=row, media="image" if is_packed_image else MEDIA_OF_KIND[kind])
        if record.get("id") is None and record.get("path") is not None:
            made["id"] = normalise_id(record["path"])  # of the media, since shards may be renamed
    made.arrays = None
    return made


@contextlib.contextmanager
def _damage(path: str) -> Iterator[None]:
    """Turn errors of reading into InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: damaged shard: {first_line(error)}") from None
