"""Writing HDF5 shards: records with arrays, each file complete in itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnicli.streams.record import Record
from omnicli.streams.shards.format import KINDS, OpenShard, named_errors, plain_attributes
from omnicli.streams.shards.ownership import remove_later_shards
from omnicli.streams.shards.reader import as_row

ROWS_PER_SHARD = 10_000


BYTES_PER_SHARD = 1 << 30


class ShardWriter:
    """Records with arrays into ``DIRECTORY/PREFIX00000.h5``, ``...00001.h5``, ..., each closed when it is full.

    Args:
        directory: made if missing, as are folders in ``prefix``.
        stage: the subcommand, for the attributes.
        kind: which array ``record.arrays`` holds: "features" with ``features`` (F, D) and ``times`` (F,); "scores" with
            ``scores`` (K,); "frames" with ``frames``, a sequence of F JPEG files as bytes, and, where they are known,
            ``times`` (F,), when each is shown in the original file, and ``span_sec``, [start, end) of all of them.
        provenance: written as attributes; dicts and lists as JSON text.
        prefix: of the file names.
        rows_per_shard: a shard is closed after so many records.
        bytes_per_shard: or when its arrays reach so many bytes.
        first_index: number of the first file; a resumed run goes on where it stopped.
        keep_paths: lines stay as they are and name their media, not the row of the shard.

    Raises:
        OutputError: the directory cannot be made or written.
        ValueError: arrays of the wrong shape or kind (our bug).
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
        with named_errors(self._directory):
            self._path(0).parent.mkdir(parents=True, exist_ok=True)

    @property
    def is_at_boundary(self) -> bool:
        """True while no shard is open: everything added so far is safe on disk."""
        return self._open is None

    def add(self, record: Record) -> Record:
        """Store one record.

        Returns:
            The record without arrays. Features and frames: ``path`` (the shard's final name) and ``row`` say where they
            lie and ``media`` what they are; kind scores, and ``keep_paths``, leave ``path`` and ``media`` as they are.
        """
        with named_errors(self._directory):
            if self._open is None:
                self._open = OpenShard(self._path(self.num_closed), self._attributes)
            shard = self._open
            row = shard.add(record)
            if shard.num_rows >= self._rows_per_shard or shard.num_bytes >= self._bytes_per_shard:
                self.close()
        return as_row(record, "scores" if self.keep_paths else self._kind, str(shard.path), row)

    def close(self) -> None:
        """Finish the open shard, if there is one; the writer can go on with the next."""
        if self._open is not None:
            with named_errors(self._directory):
                self._open.finish()
            self._open = None
            self.num_closed += 1

    def remove_later(self) -> None:
        """Remove what a longer run before left behind those written now, which no line will name any more."""
        remove_later_shards(self._directory, self._prefix, self.num_closed)

    def abort(self) -> None:
        """Leave nothing of the open shard; the closed ones stay."""
        if self._open is not None:
            self._open.discard()
            self._open = None

    def _path(self, index: int) -> Path:
        return self._directory / f"{self._prefix}{index:05d}.h5"
