"""Writing records with arrays into numbered HDF5 shards."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnicli.streams.files.stored import make_folder
from omnicli.streams.files.urls import shown
from omnicli.streams.record import Record
from omnicli.streams.shards.format import OpenShard, plain_attributes, shard_errors
from omnicli.streams.shards.opening import KINDS
from omnicli.streams.shards.ownership import remove_later_shards
from omnicli.streams.shards.reader import as_row

ROWS_PER_SHARD = 10_000
BYTES_PER_SHARD = 1 << 30


class ShardWriter:
    """Writes records with arrays into ``DIRECTORY/PREFIX00000.h5``, ``...00001.h5``, ...

    Args:
        directory: created if missing, with the folders in ``prefix``.
        stage: the subcommand, for the attributes.
        kind: content of ``record.arrays``: "features" with ``features`` (F, D) and ``times`` (F,); "scores" with
            ``scores`` (K,); "frames" with ``frames``, a sequence of F JPEG files as bytes, and optional ``times`` (F,)
            of the frames in the original file and ``span_sec``, the [start, end) of the record; "flow" the same, x and
            y after each other.
        provenance: written as attributes; dictionaries and lists as JSON text.
        prefix: of the file names.
        rows_per_shard: maximum number of records of a shard.
        bytes_per_shard: a shard is closed when its arrays reach this size.
        first_index: number of the first file, for a resumed run.
        keep_paths: lines keep the ``path`` of their media and do not name the row of the shard.

    Raises:
        OutputError: the directory cannot be created or written.
        ValueError: arrays of the wrong shape or kind (internal error).
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        stage: str,
        kind: str,
        provenance: Mapping[str, Any],
        prefix: str = "",
        rows_per_shard: int = ROWS_PER_SHARD,
        bytes_per_shard: int = BYTES_PER_SHARD,
        first_index: int = 0,
        keep_paths: bool = False,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        self.num_closed = first_index
        self._directory = Path(directory)
        self._attributes = {"stage": stage, "kind": kind} | plain_attributes(provenance)
        self._kind = kind
        self.keep_paths = keep_paths or kind == "scores"
        self._prefix = prefix
        self._rows_per_shard = rows_per_shard
        self._bytes_per_shard = bytes_per_shard
        self._open: OpenShard | None = None
        with shard_errors(self._directory):
            make_folder(self._path(0).parent)

    @property
    def is_at_boundary(self) -> bool:
        """True if no shard is open, so that all records are on disk."""
        return self._open is None

    def add(self, record: Record) -> Record:
        """Store one record.

        Returns:
            The record without arrays. Its ``path``, ``row`` and ``media`` refer to the finished shard, except with kind
            scores or ``keep_paths``.
        """
        with shard_errors(self._directory):
            if self._open is None:
                self._open = OpenShard(self._path(self.num_closed), self._attributes)
            shard = self._open
            row = shard.add(record)
            if shard.num_rows >= self._rows_per_shard or shard.num_bytes >= self._bytes_per_shard:
                self.close()
        return as_row(record, "scores" if self.keep_paths else self._kind, shown(shard.path), row)

    def close(self) -> None:
        """Finish the open shard, if any; the writer can continue with the next one."""
        if self._open is not None:
            with shard_errors(self._directory):
                self._open.finish()
            self._open = None
            self.num_closed += 1

    def remove_later(self) -> None:
        """Remove the further shards of a longer, earlier run, which no line names any more."""
        remove_later_shards(self._directory, self._prefix, self.num_closed)

    def abort(self) -> None:
        """Remove the open shard; closed ones stay."""
        if self._open is not None:
            self._open.discard()
            self._open = None

    def _path(self, index: int) -> Path:
        return self._directory / f"{self._prefix}{index:05d}.h5"
