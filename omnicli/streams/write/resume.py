"""The journal of ``-o FILE``: a killed run is resumed from its saved state and writes the same bytes.

Beside the output NAME are ``.NAME.part`` and ``.NAME.rejects.part`` (uncompressed JSONL) and ``.NAME.state``: the
number of input records read, the chained digest of their lines, the lengths of the part files, and the counters. The
state is replaced after the part files are synced, so it never counts bytes that are not on disk. A resumed run
truncates the part files to these lengths.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from omnicli.errors import OmniError, OutputError
from omnicli.streams.files.urls import shown
from omnicli.streams.write.atomic import named_errors, open_atomic, publish
from omnicli.streams.write.claims import Claim, take_claim
from omnicli.streams.write.locks import open_locked
from omnicli.streams.write.staging import local_twin

STATE_VERSION = 1
# Where and how a run computes: a smaller batch after a lack of memory, another GPU or another mount point goes on;
# so does a newer omni, which writes the same bytes. A state that it cannot read has another STATE_VERSION.
NOT_DECIDING = {"batch_size", "device", "omni", "root"}
ROOT_DECIDES = {"index": {"root"}}  # by command: the paths in its output start from there


class State(msgspec.Struct):
    """The saved state. ``finished``: only the renaming of the part files may be missing."""

    version: int
    options: dict[str, Any]
    consumed: int
    digest: str
    kept_bytes: int
    rejects_bytes: int
    shards: int
    counters: dict[str, int]
    finished: bool = False


@dataclass
class PartWriter:
    """Writes lines to a part file; ``length`` counts the bytes of complete lines."""

    file: BinaryIO
    path: Path
    length: int = 0

    def write(self, line: bytes) -> None:
        """Append one line."""
        with named_errors(str(self.path)):
            self.file.write(line)
        self.length += len(line)

    def flush(self) -> None:
        """Flush the buffer."""
        with named_errors(str(self.path)):
            self.file.flush()

    def sync(self) -> None:
        """Flush the buffer and sync the file to disk."""
        self.flush()
        with named_errors(str(self.path)):
            os.fsync(self.file.fileno())


@dataclass
class Journal:
    """Part files and state of one output file.

    Attributes:
        kept: writer of the part file that becomes the output.
        rejects: writer of the part file that becomes ``--rejects``; None without it.
        resumed: the state that this run resumes; None for a new run.
    """

    out: Path
    rejects_out: Path | None
    options: Mapping[str, Any]
    kept: PartWriter
    rejects: PartWriter | None
    state_path: Path
    resumed: State | None
    claim: Claim
    owns_claim: bool

    @classmethod
    def open(
        cls, out: Path, *, rejects: Path | None, options: Mapping[str, Any], resume: bool, claim: Claim | None = None
    ) -> "Journal":
        """Start or resume writing ``out``.

        Args:
            out: the output; links are followed.
            rejects: the file of ``--rejects``; its part file is beside ``out``.
            options: all options that change the output, as JSON values; they must equal those of the saved state.
            resume: False discards a saved state.
            claim: of the caller, on this output; None: the journal claims it until it is closed.

        Raises:
            OmniError: an earlier run used other options (names them), or another process is writing this output.
            OutputError: the folder cannot be written.
        """
        options = {**options, "rejects": rejects is not None}  # a resumed run cannot write earlier rejects
        with named_errors(shown(out)):
            final = local_twin(out)
        if final.is_dir():
            raise OutputError(f"{out}: is a folder; end it with / to write one output file per input file")
        kept_path, rejects_path, state_path = (
            final.with_name(f".{final.name}.{suffix}") for suffix in ("part", "rejects.part", "state")
        )
        with named_errors(str(out)), contextlib.ExitStack() as on_error:
            owns_claim = claim is None
            if claim is None:
                claim = claim_output(out, waits=True)
                on_error.callback(claim.close)
            if claim.is_from_elsewhere:
                for path in (kept_path, rejects_path):
                    _leave_inode(path)
            kept = _open_part(kept_path, out)
            on_error.callback(kept.file.close)
            state = _read_state(state_path, out, options) if resume else None
            rejects_part = _open_part(rejects_path, out) if rejects else None
            if rejects_part:
                on_error.callback(rejects_part.file.close)
            else:
                rejects_path.unlink(missing_ok=True)
            if state is None:
                state_path.unlink(missing_ok=True)
            if state is None or not state.finished:
                _truncate(kept, state.kept_bytes if state else 0)
                if rejects_part:
                    _truncate(rejects_part, state.rejects_bytes if state else 0)
            on_error.pop_all()
        return cls(out, rejects, options, kept, rejects_part, state_path, state, claim, owns_claim)

    def save(
        self, *, consumed: int, digest: str, shards: int, counters: Mapping[str, int], finished: bool = False
    ) -> None:
        """Sync the part files and save the state after ``consumed`` records.

        Raises:
            OutputError: they cannot be written.
            OmniError: another process has taken the output over.
        """
        self.claim.check(str(self.out))
        self.kept.sync()
        if self.rejects:
            self.rejects.sync()
        state = State(
            version=STATE_VERSION,
            options=dict(self.options),
            consumed=consumed,
            digest=digest,
            kept_bytes=self.kept.length,
            rejects_bytes=self.rejects.length if self.rejects else 0,
            shards=shards,
            counters=dict(counters),
            finished=finished,
        )
        with open_atomic(self.state_path) as file:
            file.write(msgspec.json.encode(state))

    @property
    def in_flight_path(self) -> Path:
        """Of the file that names the records which are being read."""
        return self.state_path.with_suffix(".reading")

    def publish(self) -> None:
        """Rename the finished part files to the outputs and remove the state, after ``save(finished=True)``.

        If the process is killed in between, the next run publishes the remaining part files.

        Raises:
            OutputError: an output cannot be written.
            OmniError: another process has taken the output over.
        """
        self.claim.check(str(self.out))
        done = self.resumed if self.resumed and self.resumed.finished else None
        if self.rejects and self.rejects_out:
            _publish_part(self.rejects, self.rejects_out, length=done.rejects_bytes if done else None)
        _publish_part(self.kept, self.out, length=done.kept_bytes if done else None)
        self.state_path.unlink(missing_ok=True)
        self._end_claim()

    def close(self) -> None:
        """Close the part files and keep them, with the state, for the next run."""
        for part in (self.kept, self.rejects):
            if part is not None and not part.file.closed:
                part.flush()
                part.file.close()
        self._end_claim()

    def _end_claim(self) -> None:
        if self.owns_claim:
            self.claim.close()


def claim_output(out: Path, *, waits: bool, name: str | None = None) -> Claim:
    """Claim an output, as ``take_claim``; its folder exists. Raises OutputError, ClaimedError."""
    with named_errors(shown(out)):
        final = local_twin(out)
        return take_claim(final.with_name(f".{final.name}.claim"), name or shown(out), waits=waits)


def _publish_part(part: PartWriter, path: Path, *, length: int | None) -> None:
    """Publish one part file, unless it is shorter than ``length``: then a run that was killed here has published it."""
    missing = length is not None and os.fstat(part.file.fileno()).st_size < length
    part.file.close()
    if missing:
        part.path.unlink()  # empty, created by this run
    else:
        publish(part.path, path)


def chain_digest(previous: str, line: bytes) -> str:
    """Digest of a stream, from the digest of its earlier lines and the next line."""
    return hashlib.blake2b(previous.encode() + line, digest_size=16).hexdigest()


def _leave_inode(path: Path) -> None:
    """Continue in a copy of a part file: its writer, on another machine, may come back to the file that it has open."""
    if path.exists():
        own = path.with_name(f"{path.name}.own")
        shutil.copyfile(path, own)
        own.replace(path)


def changed_options(earlier: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """The options that differ from those of an earlier run and decide what is written, as text; "" if none does.

    One folder of shards may have several paths: the caller sees whether the shards are there.

    >>> changed_options({"seed": 0, "fps": 1, "shards": "/mnt/a"}, {"seed": 1, "fps": 1, "shards": "/mnt/b"})
    'seed 0 then, 1 now'
    """
    now = msgspec.json.decode(msgspec.json.encode(dict(options)))
    same = NOT_DECIDING | ({"shards"} if now.get("shards") and earlier.get("shards") else set())
    same -= ROOT_DECIDES.get(str(now.get("command")), set())
    names = sorted(name for name in (now.keys() | earlier.keys()) - same if now.get(name) != earlier.get(name))
    shown = {"shard": "part"}  # files of 0.1.0 have this key
    return ", ".join(f"{shown.get(key, key)} {earlier.get(key)!r} then, {now.get(key)!r} now" for key in names)


def _open_part(path: Path, out: Path) -> PartWriter:
    with named_errors(str(out)):
        return PartWriter(open_locked(path, str(out)), path)


def _truncate(part: PartWriter, length: int) -> None:
    if os.fstat(part.file.fileno()).st_size < length:
        raise OmniError(f"{part.path}: shorter than its saved state; start over with --no-resume")
    part.file.truncate(length)
    part.length = length


def _read_state(path: Path, out: Path, options: Mapping[str, Any]) -> State | None:
    """The saved state, or None. Raises OmniError if it was saved with other options."""
    if not path.exists():
        return None
    try:
        state = msgspec.json.decode(path.read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError):
        raise OmniError(f"{path}: cannot be read as a saved state; start {out} over with --no-resume") from None
    what = changed_options(state.options, options)
    if state.version != STATE_VERSION:
        what = f"version of the state {state.version} then, {STATE_VERSION} now"
    if what:
        raise OmniError(
            f"{out}: an unfinished run used other options ({what}); use those, or start over with --no-resume"
        )
    return state
