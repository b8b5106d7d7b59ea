"""The file format of HDF5 shards: attributes, and the writer of one file."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from omnicli import __version__
from omnicli.errors import OutputError
from omnicli.streams.files.urls import url_of
from omnicli.streams.record import Record, format_record
from omnicli.streams.shards.opening import FORMAT, VERSION
from omnicli.streams.shards.reader import expect_other_shards
from omnicli.streams.shards.safe_file import SafeFile
from omnicli.streams.write.atomic import rename_synced
from omnicli.streams.write.staging import local_twin, upload_and_remove

PENDING_BYTES = 4 << 20  # collected in memory before they are written
CHUNK_BYTES = 1 << 18  # of an HDF5 chunk: small, so that reading one row is cheap


def timeless_file(target: SafeFile) -> Any:
    """A new HDF5 file without the time when it was made, so that equal shards have equal bytes.

    HDF5 2.0 stores none; earlier versions store that of the root group, which ``h5py.File`` cannot switch off.
    """
    creation, access = h5py.h5p.create(h5py.h5p.FILE_CREATE), h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    creation.set_obj_track_times(False)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5py.h5f.LIBVER_V18, h5py.h5f.LIBVER_V110)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, target)
    return h5py.File(h5py.h5f.create(repr(target).encode(), h5py.h5f.ACC_TRUNC, creation, access))


class OpenShard:
    """A shard that is being written, under a hidden temporary name."""

    def __init__(self, path: Path, attributes: Mapping[str, Any]) -> None:
        self.path = path
        self.num_rows = 0
        self.num_bytes = 0
        self._kind = attributes["kind"]
        twin = local_twin(path) if url_of(path) else path
        self._partial = twin.with_name(f".{twin.name}.tmp")
        self._file: Any = None
        self._target = SafeFile(self._partial)
        try:
            self._file = timeless_file(self._target)
            self._file.attrs.update({"format": FORMAT, "version": VERSION, "omni_version": __version__, **attributes})
            self._file.flush()
            self._target.check()
        except BaseException:
            self.discard()
            raise
        self._pending: dict[str, list[Any]] = {}
        self._pending_bytes = 0
        self._frames_end = 0

    def add(self, record: Record) -> int:
        """Append the record's line and arrays, and return its row."""
        arrays = record.arrays or {}
        row = self.num_rows
        match self._kind:
            case "features":
                self._add_features(arrays["features"], arrays["times"])
            case "scores":
                self._collect("scores", np.asarray(arrays["scores"], np.float32)[None])  # (1, K)
            case _:
                self._add_frames(arrays["frames"], arrays.get("times"), arrays.get("span_sec", (np.nan, np.nan)))
        self._add_line(format_record(record)[:-1])
        self.num_rows += 1
        if self._pending_bytes >= PENDING_BYTES:
            self._flush()
            self._target.check()
        return row

    def finish(self) -> None:
        """Close the file, sync it, and rename it to its final name."""
        self._flush()
        self._target.check()
        self._file.close()
        self._target.sync()
        self._target.close()
        if url_of(self.path):
            upload_and_remove(self._partial, self.path)
        else:
            rename_synced(self._partial, self.path)
        expect_other_shards()

    def discard(self) -> None:
        """Close and remove the file."""
        if self._file is not None:
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                self._file.close()
        self._target.close()
        self._partial.unlink(missing_ok=True)

    def _add_line(self, line: bytes) -> None:
        self._pending.setdefault("records", []).append(line)
        self._pending_bytes += len(line)
        self.num_bytes += len(line)

    def _collect(self, name: str, rows: np.ndarray) -> None:
        self._pending.setdefault(name, []).append(rows)
        self._pending_bytes += rows.nbytes
        self.num_bytes += rows.nbytes

    def _add_features(self, features: np.ndarray, times: np.ndarray) -> None:
        features = np.asarray(features, np.float16)  # (F, D)
        times = np.asarray(times, np.float64)  # (F,)
        if features.ndim != 2 or times.shape != features.shape[:1]:
            raise ValueError(f"features must be (F, D) and times (F,), got {features.shape} and {times.shape}")
        self._collect("features", features)
        self._collect("times", times)
        self._collect("counts", np.array([len(features)], np.int64))

    def _add_frames(self, frames: Sequence[bytes], times: np.ndarray | None, span_sec: Sequence[float]) -> None:
        times = np.full(len(frames), np.nan) if times is None else np.asarray(times, np.float64)  # (F,)
        if times.shape != (len(frames),):
            raise ValueError(f"{len(frames)} frames need as many times, got {times.shape}")
        lengths = [len(frame) for frame in frames]
        offsets = self._frames_end + np.cumsum([0, *lengths], dtype=np.int64)
        self._collect("frames", np.frombuffer(b"".join(frames), np.uint8))
        self._collect("offsets", offsets if self.num_rows == 0 else offsets[1:])
        self._collect("times", times)
        self._collect("counts", np.array([len(lengths)], np.int64))
        self._collect("spans", np.array([span_sec], np.float64))  # (1, 2)
        self._frames_end += sum(lengths)

    def _flush(self) -> None:
        """Write the collected rows to the datasets."""
        for name, parts in self._pending.items():
            if name == "records":
                lines = np.empty(len(parts), object)
                lines[:] = parts
                self._append(name, lines, h5py.string_dtype("utf-8"))
            else:
                self._append(name, np.concatenate(parts), parts[0].dtype)
        self._pending = {}
        self._pending_bytes = 0

    def _append(self, name: str, rows: np.ndarray, dtype: Any) -> None:
        if name not in self._file:
            row_shape = rows.shape[1:]
            row_bytes = max(1, int(np.prod(row_shape)) * (16 if rows.dtype == object else rows.dtype.itemsize))
            self._file.create_dataset(
                name,
                shape=(0, *row_shape),
                maxshape=(None, *row_shape),
                chunks=(max(1, CHUNK_BYTES // row_bytes), *row_shape),
                dtype=dtype,
            )
        dataset = self._file[name]
        start = len(dataset)
        dataset.resize(start + len(rows), axis=0)
        dataset[start:] = rows


def plain_attributes(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Values that HDF5 can store: text and numbers unchanged, other values as JSON, without None."""
    plain: dict[str, Any] = {}
    for name, value in provenance.items():
        if value is not None:
            is_plain = isinstance(value, str | int | float)
            plain[name] = value if is_plain else json.dumps(value, ensure_ascii=False, default=str)
    return plain


@contextlib.contextmanager
def shard_errors(directory: Path) -> Iterator[None]:
    """Turn errors of writing into OutputError. HDF5 may report a full disk as RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise OutputError(f"{directory}: cannot write shards: {why}") from None
