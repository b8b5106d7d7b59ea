"""HDF5 shards: records with their arrays. Each file can be read alone.

    records    (R,) variable-length UTF-8, the JSON lines in order
    counts     (R,) int64, frames of each record            (kinds features and frames)
    features   (ΣF, D) float16, times (ΣF,) float64 seconds (kind features)
    scores     (R, K) float32                               (kind scores)
    frames     (bytes,) uint8, concatenated JPEG files, offsets (ΣF + 1,) int64, times (ΣF,) float64 seconds,
               spans (R, 2) float64 seconds: [start, end) of the record; NaN if unknown (kind frames)

Attributes: ``format`` and ``version`` of this layout, ``omni_version``, ``stage``, ``kind``, and the provenance:
options as JSON text, seed, checkpoint's SHA-256. A shard is written under a temporary name and renamed when it is
closed, since a killed HDF5 writer leaves a file that cannot be read.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Self

import numpy as np

from omnicli.errors import InputError
from omnicli.streams.files.media_files import reason_of
from omnicli.streams.record import Record, normalise_id, parse_record
from omnicli.streams.shards.byte_reader import StoredBytes
from omnicli.streams.shards.opening import first_line, has_checked_lines, open_checked

READ_ROWS = 1000
MEDIA_OF_KIND = {"features": "features", "frames": "clip"}


class ShardReader:
    """An open shard; can be read from many threads.

    Args:
        path: of the file.
        again: this process has opened it before, so its datasets need no check.

    Attributes:
        path: as given.
        kind: "features", "scores" or "frames".
        attributes: as they were written.

    Raises:
        InputError: missing, unreadable, or not a shard of this version; names the file.
    """

    def __init__(self, path: str, *, again: bool = False) -> None:
        self.path = path
        self._file, self.attributes, self._arrays = open_checked(path, again=again)
        self.kind: str = self.attributes["kind"]
        self._records = self._arrays["records"]
        try:
            with _damage(path):
                self._rows_at_once = READ_ROWS if again or has_checked_lines(self._records) else 1
                counts = self._arrays["counts"][:] if self.kind != "scores" else np.ones(len(self._records), np.int64)
                self._counts = counts.astype(np.int64)
                self._starts = np.concatenate([[0], np.cumsum(self._counts)])  # (R + 1,)
                if self.kind == "frames":
                    self._spans, self._bytes = self._arrays["spans"][:], StoredBytes(self._arrays["frames"])
        except InputError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Number of records."""
        return len(self._records)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def records(self) -> Iterator[Record]:
        """All records in order; ``path``, ``row`` and ``media`` refer to their arrays (except in kind scores)."""
        for start in range(0, len(self), self._rows_at_once):
            records = self.stored_records(start, start + self._rows_at_once)
            yield from (as_row(record, self.kind, self.path, row) for row, record in enumerate(records, start))

    def num_frames(self, row: int) -> int:
        """Number of frames of one record."""
        return int(self._counts[row])

    def features(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """(F, D) float16 features and (F,) float64 times of one record."""
        start, stop = self._range(row, "features")
        with _damage(self.path):
            return self._arrays["features"][start:stop], self._arrays["times"][start:stop]

    def feature_block(self, start_row: int, stop_row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(ΣF, D) features, (ΣF,) times and (R,) counts of rows [start_row, stop_row)."""
        counts = self._counts[start_row:stop_row]
        start, stop = int(self._starts[start_row]), int(self._starts[start_row + len(counts)])
        with _damage(self.path):
            return self._arrays["features"][start:stop], self._arrays["times"][start:stop], counts

    def stored_records(self, start_row: int, stop_row: int) -> list[Record]:
        """Records as they were written, with the ``path`` of their media."""
        with _damage(self.path):
            lines = self._records[start_row:stop_row]
        return [parse_record(line, origin=self.path, line_number=row) for row, line in enumerate(lines, start_row + 1)]

    def scores(self, row: int) -> np.ndarray:
        """(K,) float32 scores of one record."""
        self._range(row, "scores")
        with _damage(self.path):
            return np.asarray(self._arrays["scores"][row])

    def frames(self, row: int, frame_indices: Sequence[int] | None = None) -> list[bytes]:
        """The JPEG files of one record: all, or those at ``frame_indices``."""
        start, stop = self._range(row, "frames")
        if start == stop:
            return []
        with _damage(self.path):
            offsets = self._arrays["offsets"][start : stop + 1].astype(np.int64)
            if (np.diff(offsets) < 0).any() or offsets[0] < 0:
                raise OSError(f"offsets of row {row} do not ascend")
            if frame_indices is not None:
                bounds = offsets.tolist()
                return [self._bytes.read(bounds[index], bounds[index + 1]) for index in frame_indices]
            packed = self._bytes.read(int(offsets[0]), int(offsets[-1]))
        bounds = (offsets - offsets[0]).tolist()
        return [packed[begin:end] for begin, end in pairwise(bounds)]

    def frame_times(self, row: int) -> tuple[np.ndarray, tuple[float, float]]:
        """(F,) float64 times of the frames, and [start, end) of the record, in seconds; NaN if unknown."""
        start, stop = self._range(row, "frames")
        with _damage(self.path):
            return self._arrays["times"][start:stop], tuple(self._spans[row].tolist())

    def _range(self, row: int, kind: str) -> tuple[int, int]:
        """The frames [start, stop) of a row. Raises InputError."""
        if kind != self.kind:
            raise InputError(f"{self.path}: holds {self.kind}, not {kind}")
        if not 0 <= row < len(self):
            raise InputError(f"{self.path}: no row {row}; it has rows 0 to {len(self) - 1}")
        return int(self._starts[row]), int(self._starts[row + 1])


def read_shard(path: str) -> Iterator[Record]:
    """Yield the records of a shard and close it; see ``ShardReader.records``."""
    with ShardReader(path) as reader:
        yield from reader.records


def open_shard(path: str) -> ShardReader:
    """A reader that stays open, for single rows. The last 64 shards stay open.

    Raises:
        InputError: as ``ShardReader``.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 (Path refuses some names)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {reason_of(error)}") from None
    return _open_once(path, status.st_ino, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _open_once(path: str, inode: int, changed_ns: int) -> ShardReader:
    # inode and time are part of the cache key, so that a replaced shard is opened again
    reader = ShardReader(path, again=(path, inode, changed_ns) in _checked)
    _checked.add((path, inode, changed_ns))
    return reader


_checked: set[tuple[str, int, int]] = set()  # shards that were opened before; the check takes 1 ms


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
    except Exception as error:
        raise InputError(f"{path}: damaged shard: {first_line(error)}") from None
