"""Records from inputs of every kind, before they are counted: each file read as what its content says it is."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from omnicli.errors import InputError, MediaError
from omnicli.streams.files.media_files import open_regular, read_bytes, reason_of
from omnicli.streams.files.sniff import HEAD_BYTES, MEDIA_SUFFIXES, sniff
from omnicli.streams.files.tar import split_member
from omnicli.streams.files.tar_headers import is_tar
from omnicli.streams.read.annotations import read_annotations
from omnicli.streams.read.file_records import placed_fields, shown_name, unreadable_before, unreadable_file
from omnicli.streams.read.folder import FoundFile, walk_files
from omnicli.streams.read.line_reader import Lines, nothing, read_lines
from omnicli.streams.read.webdataset import read_tar
from omnicli.streams.record import Record, normalise_id, parse_record

STDIN = 0
JSONL_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".jsonl.zst", ".ndjson.zst")
SHARD_SUFFIXES = (".h5", ".hdf5")
LIST_SUFFIXES = (".json", ".txt", ".csv", ".tsv", ".lst", ".list")
RECORD_SUFFIXES = (*JSONL_SUFFIXES, *SHARD_SUFFIXES, ".tar")
STREAM_SUFFIXES = (*RECORD_SUFFIXES, *LIST_SUFFIXES)


def parse_lines(batches: Iterator[Lines], name: str) -> Iterator[Record]:
    """The records of lines of JSON, one by one. Raises InputError."""
    for first, lines in batches:
        for number, line in enumerate(lines, first):
            if line and not line.isspace():
                yield parse_line(line, name, number)


def parse_line(line: bytes, name: str, number: int) -> Record:
    """The record of one line, with its default id; ``Rejected`` where an earlier run found no name to read it by.

    JSON cannot hold a name that is not UTF-8, so such a reject has no ``path``, and no stage could do more with it.

    Raises:
        InputError: as ``parse_record``.
    """
    record = parse_record(line, origin=name, line_number=number)
    if record.why_unreadable and record.get("path") is None:
        return unreadable_before(record)
    return record if record.get("id") is not None else _with_id(record)


@dataclass(frozen=True)
class Reader:
    """One record after another from inputs of every kind; ``Rejected`` for those that no stage shall see.

    Attributes:
        root: where relative paths start.
        list_format: what annotation lists are; None recognises them.
        frames: a folder of numbered images is one record.
        on_wait: called before waiting for a pipe.
        parse_lines: makes what is yielded of lines of JSON; ``streams.passes`` takes them unparsed.
    """

    root: str | None
    list_format: str | None
    frames: bool
    on_wait: Callable[[], None]
    parse_lines: Callable[[Iterator[Lines], str], Iterator[Any]] = parse_lines

    def read_all(self, names: Sequence[str], files_from: str | None, *, separator: bytes) -> Iterator[Record]:
        """Records of the arguments, then of the inputs that the file ``files_from`` lists. Raises InputError."""
        for name in names:
            yield from self._read(name, is_listed=False)
        if files_from is not None:
            for name in read_names(files_from, separator=separator, on_wait=self.on_wait):
                yield from self._read(name, is_listed=True)

    def _read(self, name: str, *, is_listed: bool) -> Iterator[Record]:
        """One input: an argument, or a name from ``--files-from``."""
        if name == "-":
            yield from self._read_lines(STDIN, "stdin", is_jsonl=self.list_format is None)
            return
        try:
            mode = os.stat(name).st_mode  # noqa: PTH116 (a name may hold what Path refuses)
        except (OSError, ValueError) as error:
            yield from self._read_absent(name, error, is_listed=is_listed)
            return
        if stat.S_ISDIR(mode):
            yield from self._read_folder(name)
        elif stat.S_ISREG(mode):
            yield from self._read_file(name, is_listed=is_listed)
        else:  # a FIFO such as <(...): what it holds cannot be looked at twice
            with open_input(name) as handle:
                yield from self._read_lines(handle, name, is_jsonl=self.list_format is None)

    def _read_absent(self, name: str, error: OSError | ValueError, *, is_listed: bool) -> Iterator[Record]:
        """A member of a tar, a broken link, or a mistake."""
        if "#" in name and split_member(name):
            yield self._member(name)
        elif os.path.lexists(name) or (is_listed and not name.lower().endswith(STREAM_SUFFIXES)):
            yield self._media(os.fsencode(name), None, reason_of(error))
        else:
            shown = shown_name(name) or name
            why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else reason_of(error)
            raise InputError(f"{shown}: {why}")

    def _member(self, name: str) -> Record:
        try:
            kind, description = sniff(read_bytes(name)[:HEAD_BYTES])
        except MediaError as error:
            return self._media(os.fsencode(name), None, str(error))
        return self._media(os.fsencode(name), kind, f"not media ({description})")

    def _read_folder(self, name: str) -> Iterator[Record]:
        for found in walk_files(name, frames=self.frames):
            if found.problem or found.num_frames:
                if found.problem and found.path == os.fsencode(name):
                    raise InputError(f"{name}: {found.problem}")
                yield self._folder(found)
                continue
            kind, problem, head = look(found.path)
            path = os.fsdecode(found.path)
            suffixed = path.lower()
            if kind is None and head and suffixed.endswith(RECORD_SUFFIXES):
                yield from self._read_stream(path, head)
            elif not (problem == "empty file" and suffixed.endswith(JSONL_SUFFIXES)):
                yield self._media(found.path, kind, problem, folder=found.folder)

    def _read_file(self, name: str, *, is_listed: bool) -> Iterator[Record]:
        """A file that was named: media by its content, else a stream of records, else a reject."""
        kind, problem, head = look(os.fsencode(name))
        suffixed = name.lower()
        if kind is not None:
            yield self._media(os.fsencode(name), kind, "")
        elif suffixed.endswith((*STREAM_SUFFIXES, ".gz", ".zst")):
            if head:
                yield from self._read_stream(name, head)
            elif problem != "empty file":
                raise InputError(f"{name}: {problem}")
            elif suffixed.endswith((*SHARD_SUFFIXES, ".tar")):
                yield self._media(os.fsencode(name), None, problem)
        elif not is_listed and not suffixed.endswith(MEDIA_SUFFIXES) and _may_be_stream(head):
            yield from self._read_stream(name, head)
        else:
            yield self._media(os.fsencode(name), None, problem)

    def _read_stream(self, name: str, head: bytes) -> Iterator[Record]:
        """A file of records: shard, tar, JSONL or list. Raises InputError."""
        suffixed = name.lower()
        if suffixed.endswith(SHARD_SUFFIXES) or sniff(head)[1] == "HDF5":
            yield from self._read_shard(name)
        elif is_tar(head) or suffixed.endswith(".tar"):
            if not is_tar(head) and head.strip(b"\0"):
                raise InputError(f"{name}: not a tar ({sniff(head)[1]})")
            yield from read_tar(name, root=self.root)
        elif ".tar." in suffixed or suffixed.endswith(".tgz"):
            raise InputError(f"{name}: members of a compressed tar cannot be read in place; unpack it to .tar first")
        else:
            with open_input(name) as handle:
                yield from self._read_lines(handle, name, is_jsonl=suffixed.endswith(JSONL_SUFFIXES))

    def _read_shard(self, name: str) -> Iterator[Record]:
        from omnicli.streams.shards.reader import read_shard  # noqa: PLC0415 (h5py takes 0.2 s, and most streams are lines)

        for record in read_shard(name):
            if record.get("path") == name:
                record["path"] = placed_fields(name, self.root)["path"]
            yield _with_id(record)

    def _read_lines(self, handle: int, name: str, *, is_jsonl: bool) -> Iterator[Record]:
        batches = read_lines(handle, name=name, on_wait=self.on_wait)
        if is_jsonl:
            yield from self.parse_lines(batches, name)
            return
        first = next((batch for batch in batches if any(map(bytes.strip, batch.lines))), None)
        if first is None:
            return
        start = next(line.strip() for line in first.lines if line.strip())
        again = _prepend(first, batches)
        if start.startswith(b"{") and self.list_format is None:
            yield from self.parse_lines(again, name)
        elif start.startswith(b"["):
            raise InputError(f"{name}:1: a JSON array; expected one object a line: jq -c '.[]' {name}")
        else:
            numbered = (pair for batch in again for pair in enumerate(batch.lines, batch.first))
            yield from read_annotations(numbered, name=name, list_format=self.list_format, root=self.root)

    def _media(self, path: bytes, kind: str | None, problem: str, *, folder: bytes = b"") -> Record:
        """A record of one media file, or its reject."""
        try:
            name = path.decode("utf-8")
            query = folder.decode("utf-8")
        except UnicodeDecodeError:
            shown = path.decode("utf-8", "backslashreplace")
            return unreadable_file("name is not UTF-8", {"id": placed_fields(shown, self.root)["id"]})
        fields = placed_fields(name, self.root)
        if kind is not None:
            fields["media"] = kind
        if query:
            fields["query"] = query
        return unreadable_file(problem, fields) if kind is None else Record(fields)

    def _folder(self, found: FoundFile) -> Record:
        """A folder of frames, or one that cannot be listed."""
        record = self._media(found.path, "frames" if found.num_frames else None, found.problem, folder=found.folder)
        if found.num_frames:
            record["num_frames"] = found.num_frames
        return record


def read_names(files_from: str, *, separator: bytes, on_wait: Callable[[], None] = nothing) -> Iterator[str]:
    """The names in a file of names ("-": stdin), empty ones left out. Raises InputError."""
    with open_input(files_from) as handle:
        for batch in read_lines(handle, name=files_from, separator=separator, on_wait=on_wait):
            yield from (os.fsdecode(line) for line in batch.lines if line)


def look(path: bytes) -> tuple[str | None, str, bytes]:
    """Media kind, the problem if there is none, and the head."""
    try:
        handle = open_regular(path)
    except (OSError, ValueError) as error:
        return None, reason_of(error), b""
    try:
        head = os.read(handle, HEAD_BYTES)
    except OSError as error:
        return None, reason_of(error), b""
    finally:
        os.close(handle)
    kind, description = sniff(head)
    if kind is not None:
        return kind, "", head
    return None, description if not head else f"not media ({description})", head


def _with_id(record: Record) -> Record:
    """The record with the default id: its path, and the row in a shard."""
    path = record.get("path")
    if record.get("id") is None and path is not None:
        row = record.get("row")
        record["id"] = normalise_id(path) if row is None else f"{normalise_id(path)}#{row}"
    return record


def _may_be_stream(head: bytes) -> bool:
    """True for text, tars, shards and compressed files, whatever they are called."""
    return sniff(head)[1] in ("JSON", "text", "HDF5", "gzip", "zstd", "tar archive") or is_tar(head)


def _prepend(first: Lines, rest: Iterator[Lines]) -> Iterator[Lines]:
    yield first
    yield from rest


@contextlib.contextmanager
def open_input(name: str) -> Iterator[int]:
    """A descriptor of a file of lines; stdin stays open. Raises InputError."""
    if name == "-":
        yield STDIN
        return
    try:
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else reason_of(error)
        raise InputError(f"{name}: {why}") from None
    try:
        yield handle
    finally:
        os.close(handle)
