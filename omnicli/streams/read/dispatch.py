"""Records of inputs of every kind, before they are numbered: the content of a file decides how it is read."""

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

from omnicli.errors import InputError, MediaError
from omnicli.streams.files.media_files import read_bytes, reason_of
from omnicli.streams.files.sniff import HEAD_BYTES, LFS_MAGIC, LFS_POINTER, MEDIA_SUFFIXES, sniff
from omnicli.streams.files.tar import split_member
from omnicli.streams.files.tar_headers import is_tar
from omnicli.streams.files.urls import url_of
from omnicli.streams.partition import Part
from omnicli.streams.read.annotations import read_annotations
from omnicli.streams.read.file_records import escaped_name, file_fields, unreadable_before, unreadable_file
from omnicli.streams.read.folder import FoundFile, OnHidden, ignore_hidden, walk_files
from omnicli.streams.read.identify import identify, identify_all, may_be_stream
from omnicli.streams.read.input_queries import queries_of_inputs
from omnicli.streams.read.line_reader import STDIN, Lines, open_input, read_lines, read_names, why_absent
from omnicli.streams.read.list_options import ListOptions
from omnicli.streams.read.own_outputs import Identity, is_among, refuse_stdout
from omnicli.streams.read.raw_videos import is_array, read_json_list, refuse_other_json
from omnicli.streams.read.webdataset import read_tar
from omnicli.streams.reading import NO_POSITION, reading
from omnicli.streams.record import Record, normalise_id, parse_record

JSONL_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".jsonl.zst", ".ndjson.zst")
SHARD_SUFFIXES = (".h5", ".hdf5")
LIST_SUFFIXES = (".json", ".txt", ".csv", ".tsv", ".lst", ".list")
RECORD_SUFFIXES = (*JSONL_SUFFIXES, *SHARD_SUFFIXES, ".tar")
_RECORD_SUFFIXES = tuple(map(os.fsencode, RECORD_SUFFIXES))
STREAM_SUFFIXES = (*RECORD_SUFFIXES, *LIST_SUFFIXES)


def parse_lines(batches: Iterator[Lines], name: str) -> Iterator[Record]:
    """Yield the records of lines of JSON. Raises InputError."""
    for first, lines in batches:
        for number, line in enumerate(lines, first):
            if line and not line.isspace():
                yield parse_line(line, name, number)


def parse_line(line: bytes, name: str, number: int) -> Record:
    """The record of one line, with its default ID; ``Rejected`` for an unreadable file without a ``path``.

    The path of a reject is missing if its name is not UTF-8, which JSON cannot represent. No stage can read it again.

    Raises:
        InputError: as ``parse_record``.
    """
    record = parse_record(line, origin=name, line_number=number)
    if record.why_unreadable and record.get("path") is None:
        return unreadable_before(record)
    return record if record.get("id") is not None else _with_id(record)


@dataclass(frozen=True)
class Reader:
    """Yields the records of inputs of every kind, and ``Rejected`` for unreadable files.

    Attributes:
        root: folder of relative paths.
        lists: how annotation lists are read.
        frames: a folder of numbered images is one record.
        on_wait: called before waiting for a pipe.
        parse_lines: turns batches of JSON lines into the yielded items; ``streams.multipass`` leaves them unparsed.
        on_hidden: called with each hidden file or folder below an input, which is skipped.
        part: media files of other parts may be left out, so that they are not opened.
        own: files that the command writes, which are skipped below an input.
    """

    root: str | None
    lists: ListOptions
    frames: bool
    on_wait: Callable[[], None]
    parse_lines: Callable[[Iterator[Lines], str], Iterator[Any]] = parse_lines
    on_hidden: OnHidden = ignore_hidden
    part: Part | None = None
    own: frozenset[Identity] = frozenset()

    def read_all(self, names: Sequence[str], files_from: str | None, *, separator: bytes) -> Iterator[Record]:
        """Yield the records of ``names``, then of the names in the file ``files_from``. Raises InputError."""
        queries = queries_of_inputs(names, not_media=STREAM_SUFFIXES)
        for name in names:
            yield from self._read(name, is_listed=False, query=os.fsencode(queries.get(name, "")))
        if files_from is not None:
            for name in read_names(files_from, separator=separator, on_wait=self.on_wait):
                yield from self._read(name, is_listed=True)

    def _read(self, name: str, *, is_listed: bool, query: bytes = b"") -> Iterator[Record]:
        """Yield the records of one input: an argument, or a name from ``--files-from``; ``query`` is that of media."""
        if name == "-":
            refuse_stdout("stdin", STDIN)
            yield from self._read_lines(STDIN, "stdin", is_jsonl=self.lists.list_format is None)
            return
        if url := url_of(name):
            yield from self._read_remote(url, query, is_listed=is_listed)
            return
        try:
            mode = os.stat(name).st_mode  # noqa: PTH116 (Path refuses some names)
        except (OSError, ValueError) as error:
            yield from self._read_absent(name, error, is_listed=is_listed)
            return
        if stat.S_ISDIR(mode):
            self.lists.refuse_for(name)
            yield from self._read_folder(name, query)
        elif stat.S_ISREG(mode):
            yield from self._read_file(name, query, is_listed=is_listed)
        elif is_listed:  # Ours: nobody has checked a list, and a FIFO or device may never end
            yield self._media(os.fsencode(name), None, "not a regular file")
        else:  # a FIFO such as <(...) can be read only once
            with open_input(name) as handle:
                yield from self._read_lines(handle, name, is_jsonl=self.lists.list_format is None)

    def _read_remote(self, url: str, query: bytes, *, is_listed: bool) -> Iterator[Record]:
        """Yield the records of one input of a remote store."""
        from omnicli.streams.files.remote import is_folder, status  # noqa: PLC0415 (most inputs are local)

        if is_listed and url.lower().endswith(MEDIA_SUFFIXES):  # a reject if it is not there
            yield from self._read_file(url, query, is_listed=True)
            return
        try:
            has_files = is_folder(url)
            if not has_files and ".tar#" not in url:
                status(url)
        except OSError as error:
            yield from self._read_absent(url, error, is_listed=is_listed)
            return
        if ".tar#" in url:
            yield self._member(url)
        elif has_files:
            self.lists.refuse_for(url)
            yield from self._read_folder(url, query)
        else:
            yield from self._read_file(url, query, is_listed=is_listed)

    def _read_absent(self, name: str, error: OSError | ValueError, *, is_listed: bool) -> Iterator[Record]:
        """Yield the record of a tar member or a reject for a missing media file. Raises InputError for other names."""
        if "#" in name and split_member(name):
            yield self._member(name)
        elif os.path.lexists(name) or (is_listed and not name.lower().endswith(STREAM_SUFFIXES)):
            yield self._media(os.fsencode(name), None, reason_of(error))
        else:
            raise InputError(f"{escaped_name(name) or name}: {why_absent(error)}")

    def _member(self, name: str) -> Record:
        try:
            with reading(Record({"path": name}), NO_POSITION):
                kind, description = sniff(read_bytes(name)[:HEAD_BYTES])
        except MediaError as error:
            return self._media(os.fsencode(name), None, str(error))
        return self._media(os.fsencode(name), kind, f"not media ({description})")

    def _read_folder(self, name: str, query: bytes) -> Iterator[Record]:
        files = walk_files(name, frames=self.frames, name=query, on_hidden=self.on_hidden)
        for found, kind, problem, head in identify_all(files, is_wanted=self._is_wanted):
            if found.problem or found.num_frames:
                if found.problem and found.path == os.fsencode(name):
                    raise InputError(f"{name}: {found.problem}")
                yield self._folder(found)
                continue
            if kind is None and is_among(found.path, self.own):
                continue
            path = os.fsdecode(found.path)
            suffixed = path.lower()
            if kind is None and head and suffixed.endswith(RECORD_SUFFIXES):
                yield from self._read_found(path, head)
            elif not (problem == "empty file" and suffixed.endswith(JSONL_SUFFIXES)):
                yield self._media(found.path, kind, problem, folder=found.folder)

    def _is_wanted(self, found: FoundFile) -> bool:
        """Whether a file has to be opened: it may hold records, or its own record is in the part."""
        return found.path.lower().endswith(_RECORD_SUFFIXES) or self._is_of_part(found.path)

    def _is_of_part(self, path: bytes) -> bool:
        """Whether the record of a media file is in the part, by its ID, without opening the file."""
        return self.part is None or self.part.holds(file_fields(path.decode("utf-8", "backslashreplace"), self.root))

    def _read_file(self, name: str, query: bytes, *, is_listed: bool) -> Iterator[Record]:
        """Yield the records of one file: media by its content, else a stream of records, else a reject."""
        if name.lower().endswith(MEDIA_SUFFIXES) and not self._is_of_part(os.fsencode(name)):
            return
        kind, problem, head = identify(os.fsencode(name))
        suffixed = name.lower()
        refuse_stdout(name, name)
        if kind is not None:
            self.lists.refuse_for(name)
            yield self._media(os.fsencode(name), kind, "", folder=query)
        elif suffixed.endswith((*STREAM_SUFFIXES, ".gz", ".zst")):
            if head:
                yield from self._read_found(name, head) if is_listed else self._read_stream(name, head)
            elif problem != "empty file":
                raise InputError(f"{name}: {problem}")
            elif suffixed.endswith((*SHARD_SUFFIXES, ".tar")):
                yield self._media(os.fsencode(name), None, problem)
        elif not is_listed and not suffixed.endswith(MEDIA_SUFFIXES) and may_be_stream(head):
            yield from self._read_stream(name, head)
        else:
            yield self._media(os.fsencode(name), None, problem)

    def _read_found(self, name: str, head: bytes) -> Iterator[Record]:
        """Yield the records of a file that a folder or a list names; a reject for what cannot be read of it.

        Ours: nobody has checked these files, so that one that is not what its name says stops no run.
        """
        try:
            yield from self._read_stream(name, head)
        except InputError as error:
            why = re.sub(r"^:(\d+): ", r"line \1: ", str(error).removeprefix(name)).removeprefix(": ")
            yield self._media(os.fsencode(name), None, why)

    def _read_stream(self, name: str, head: bytes) -> Iterator[Record]:
        """Yield the records of a shard, tar, JSONL file or list. Raises InputError."""
        suffixed = name.lower()
        if head.startswith(LFS_MAGIC):
            raise InputError(f"{name}: {LFS_POINTER}")
        if suffixed.endswith(SHARD_SUFFIXES) or sniff(head)[1] == "HDF5":
            self.lists.refuse_for(name)
            yield from self._read_shard(name)
        elif is_tar(head) or suffixed.endswith(".tar"):
            self.lists.refuse_for(name)
            if is_tar(head) or not head.strip(b"\0"):
                yield from read_tar(name, root=self.root)
            else:  # Ours: a reject wherever it is named, since crawls come as thousands of tars
                yield self._media(os.fsencode(name), None, f"not a tar ({sniff(head)[1]})")
        elif ".tar." in suffixed or suffixed.endswith(".tgz"):
            raise InputError(f"{name}: members of a compressed tar cannot be read in place; unpack it to .tar first")
        else:
            with open_input(name) as handle:
                yield from self._read_lines(handle, name, is_jsonl=suffixed.endswith(JSONL_SUFFIXES))

    def _read_shard(self, name: str) -> Iterator[Record]:
        from omnicli.streams.shards.reader import read_shard  # noqa: PLC0415 (h5py takes 0.2 s to import)

        for record in read_shard(name):
            if record.get("path") == name:
                record["path"] = file_fields(name, self.root)["path"]
            yield _with_id(record)

    def _read_lines(self, handle: int | BinaryIO, name: str, *, is_jsonl: bool) -> Iterator[Record]:
        batches = read_lines(handle, name=name, on_wait=self.on_wait)
        if is_jsonl:
            self.lists.refuse_for(name)
            yield from self.parse_lines(batches, name)
            return
        first = next((batch for batch in batches if any(map(bytes.strip, batch.lines))), None)
        if first is None:
            return
        start = next(line.strip() for line in first.lines if line.strip())
        again = chain([first], batches)
        if start.startswith(b"{") and self.lists.list_format is None:
            self.lists.refuse_for(name)
            refuse_other_json(start, name)
            yield from self.parse_lines(again, name)
        elif is_array(start):
            data = b"\n".join(line for batch in again for line in batch.lines)
            yield from self.lists.placed(read_json_list(data, name, each_clip=self.lists.each_clip))
        else:
            numbered = (pair for batch in again for pair in enumerate(batch.lines, batch.first))
            records = read_annotations(
                numbered, name=name, root=self.lists.root_of_list(self.root), list_format=self.lists.list_format,
                split=self.lists.split, each_clip=self.lists.each_clip, raw_videos=self.lists.raw_videos,
            )  # fmt: skip
            yield from self.lists.placed(records)

    def _media(self, path: bytes, kind: str | None, problem: str, *, folder: bytes = b"") -> Record:
        """The record of one media file, ``Rejected`` if ``kind`` is None."""
        try:
            name = path.decode("utf-8")
            query = folder.decode("utf-8")
        except UnicodeDecodeError:
            shown = path.decode("utf-8", "backslashreplace")
            return unreadable_file("name is not UTF-8", {"id": file_fields(shown, self.root)["id"]})
        fields = file_fields(name, self.root)
        if kind is not None:
            fields["media"] = kind
        if query:
            fields["query"] = query
        return unreadable_file(problem, fields) if kind is None else Record(fields)

    def _folder(self, found: FoundFile) -> Record:
        """The record of a folder of frames, ``Rejected`` if it cannot be listed."""
        kind = "flow" if found.is_flow else "frames" if found.num_frames else None
        record = self._media(found.path, kind, found.problem, folder=found.folder)
        if found.num_frames:
            record["num_frames"] = found.num_frames
        return record


def _with_id(record: Record) -> Record:
    """The record with its default ID: the path, and the row in a shard."""
    path = record.get("path")
    if record.get("id") is None and path is not None:
        row = record.get("row")
        record["id"] = normalise_id(path) if row is None else f"{normalise_id(path)}#{row}"
    return record
