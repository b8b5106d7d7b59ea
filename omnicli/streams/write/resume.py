"""The journal of ``-o FILE``: a run killed at any moment goes on where its state says, to the same bytes.

Beside the output NAME lie ``.NAME.part`` and ``.NAME.rejects.part`` (plain JSONL so far) and ``.NAME.state``: how many
input records are behind us, the chained digest of their lines, the lengths of the parts, the counters. The state is
replaced only after the parts are synced, so it never promises bytes that are not on disk; what the parts hold beyond it
is cut off on the next start.
"""

import contextlib
import glob
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from omnicli.errors import OmniError, OutputError
from omnicli.streams.write.atomic import named_errors, open_atomic, publish
from omnicli.streams.write.locks import open_alone

STATE_VERSION = 1


class State(msgspec.Struct):
    """What is certain to be on disk. ``finished``: only the parts' publication may be missing."""

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
    """Lines of a part file; ``length`` counts the bytes of whole lines."""

    file: BinaryIO
    path: Path
    length: int = 0

    def write(self, line: bytes) -> None:
        """Append one line."""
        with named_errors(str(self.path)):
            self.file.write(line)
        self.length += len(line)

    def flush(self) -> None:
        """Hand what is buffered to the operating system."""
        with named_errors(str(self.path)):
            self.file.flush()

    def sync(self) -> None:
        """Put every byte on disk."""
        self.flush()
        with named_errors(str(self.path)):
            os.fsync(self.file.fileno())


@dataclass
class Journal:
    """Parts and state of one output file.

    Attributes:
        kept: writer of the part that becomes the output.
        rejects: writer of the part that becomes ``--rejects``; None without it.
        resumed: the state this run goes on from; None at a fresh start.
    """

    out: Path
    rejects_out: Path | None
    options: Mapping[str, Any]
    kept: PartWriter
    rejects: PartWriter | None
    state_path: Path
    resumed: State | None

    @classmethod
    def open(cls, out: Path, *, rejects: Path | None, options: Mapping[str, Any], resume: bool) -> "Journal":
        """Start or go on writing ``out``.

        Args:
            out: the output; links are followed.
            rejects: where ``--rejects`` will appear; its part lies beside ``out``.
            options: everything that changes the output, as JSON values; a state made with others is refused.
            resume: False throws an earlier state away.

        Raises:
            OmniError: an earlier run used other options (names them), or another process is writing this output.
            OutputError: the folder cannot be written.
        """
        options = {**options, "rejects": rejects is not None}  # a run that goes on cannot write those already gone
        final = Path(os.path.realpath(out))
        if final.is_dir():
            raise OutputError(f"{out}: is a folder; end it with / to write one output file an input file")
        kept_path, rejects_path, state_path = (
            final.with_name(f".{final.name}.{suffix}") for suffix in ("part", "rejects.part", "state")
        )
        with contextlib.ExitStack() as on_error:
            kept = _open_part(kept_path, out)
            on_error.callback(kept.file.close)
            for unborn in final.parent.glob(f"{glob.escape(f'.{state_path.name}')}.*.tmp"):
                unborn.unlink(missing_ok=True)  # of a run killed while it saved; the lock on the part is ours
            state = _read_state(state_path, out, options) if resume else None
            rejects_part = _open_part(rejects_path, out) if rejects else None
            if rejects_part:
                on_error.callback(rejects_part.file.close)
            else:
                rejects_path.unlink(missing_ok=True)
            if state is None:
                state_path.unlink(missing_ok=True)
            if state is None or not state.finished:
                _cut(kept, state.kept_bytes if state else 0)
                if rejects_part:
                    _cut(rejects_part, state.rejects_bytes if state else 0)
            on_error.pop_all()
        return cls(out, rejects, options, kept, rejects_part, state_path, state)

    def save(
        self, *, consumed: int, digest: str, shards: int, counters: Mapping[str, int], finished: bool = False
    ) -> None:
        """Promise that everything up to ``consumed`` is on disk. Raises OutputError."""
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

    def publish(self) -> None:
        """Make the outputs of the finished parts and forget the journal; ``save(finished=True)`` comes before.

        Killed in between, the next start finds the finished state and publishes what is still a part.

        Raises:
            OutputError: an output cannot be written.
        """
        done = self.resumed if self.resumed and self.resumed.finished else None
        if self.rejects and self.rejects_out:
            _publish_part(self.rejects, self.rejects_out, length=done.rejects_bytes if done else None)
        _publish_part(self.kept, self.out, length=done.kept_bytes if done else None)
        self.state_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the parts and the state for the next run."""
        for part in (self.kept, self.rejects):
            if part is not None and not part.file.closed:
                part.flush()
                part.file.close()


def _publish_part(part: PartWriter, path: Path, *, length: int | None) -> None:
    """Publish one part. ``length``: what a run killed while publishing had promised; a shorter part is already out."""
    missing = length is not None and os.fstat(part.file.fileno()).st_size < length
    part.file.close()
    if missing:
        part.path.unlink()  # made empty by this start
    else:
        publish(part.path, path)


def chain_digest(previous: str, line: bytes) -> str:
    """Digest of a stream so far: of the digest before and the next line, so that no line can be changed or moved."""
    return hashlib.blake2b(previous.encode() + line, digest_size=16).hexdigest()


def _open_part(path: Path, out: Path) -> PartWriter:
    with named_errors(str(out)):
        return PartWriter(open_alone(path, str(out)), path)


def _cut(part: PartWriter, length: int) -> None:
    if os.fstat(part.file.fileno()).st_size < length:
        raise OmniError(f"{part.path}: shorter than its state says; start over with --no-resume")
    part.file.truncate(length)
    part.length = length


def _read_state(path: Path, out: Path, options: Mapping[str, Any]) -> State | None:
    """The state of an earlier run, or None. Raises OmniError when it was made with other options."""
    if not path.exists():
        return None
    try:
        state = msgspec.json.decode(path.read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError):
        raise OmniError(f"{path}: not a readable state; start {out} over with --no-resume") from None
    ours = msgspec.json.decode(msgspec.json.encode(dict(options)))
    changed = sorted(key for key in ours.keys() | state.options.keys() if ours.get(key) != state.options.get(key))
    if state.version != STATE_VERSION:
        changed = ["version of the state"]
    if changed:
        what = ", ".join(f"{key} {state.options.get(key)!r} then, {ours.get(key)!r} now" for key in changed)
        raise OmniError(
            f"{out}: an unfinished run used other options ({what}); use those, or start over with --no-resume"
        )
    return state
