"""One record at a time: an exception is a reject of that record, and a record that kills the process is remembered.

Whatever goes wrong while a file is read must not end a run over millions of files. An exception becomes a
``RecordError``, which every stage turns into a counted reject. A crash of a native library ends the process; the next
run finds in the file of ``InFlight`` which records were being read, and reads them one at a time.
"""

import contextlib
import faulthandler
import os
import struct
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from omnicli.errors import InputError, OmniError, RecordError, is_out_of_memory
from omnicli.process import crash_log
from omnicli.reasons import BEFORE_SCORING, DAMAGED_TAR, INTERNAL_ERROR, category_of, count_reject, detail_of
from omnicli.streams.record import Record

NUM_SLOTS = 512  # threads that read at once
DEATHS_TO_REJECT = 2  # by a fatal signal of the process itself, such as SIGSEGV
# Ours: SIGKILL leaves no trace of who sent it. Four times the same record is no coincidence any more.
KILLS_TO_REJECT = 4
DIED = "the process died each time that it was read"
MAX_MESSAGE = 200
NO_POSITION = -1  # of what is no record yet
# Counters of videos that were read without a few frames that do not decode, and of those frames
INCOMPLETE, MISSING_FRAMES = "incomplete", "missing frames"


@contextlib.contextmanager
def reading(record: Record, position: int | None = None) -> Iterator[None]:
    """Read or compute one record in the block.

    Args:
        record: for messages.
        position: what identifies it in the file of ``InFlight``; default the record's own.

    Raises:
        RecordError: any exception that is neither an OmniError nor a lack of memory; its traceback is in the crash log.
    """
    in_flight = _Current.in_flight
    with in_flight.hold(record.position if position is None else position) if in_flight else contextlib.nullcontext():
        try:
            yield
        except (OmniError, MemoryError):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            message = f"{type(error).__name__}: {' '.join(str(error).split())}"[:MAX_MESSAGE].rstrip(": ")
            crash_log.add(error, str(record.get("path") or record.get("id")))
            raise RecordError(f"{INTERNAL_ERROR}: {message}") from error


def note_reject(record: Record, reason: str, *, counters: Counter[str], examples: dict[str, str], strict: bool) -> None:
    """Count a rejected record; the first unreadable one of each kind becomes the example of it.

    Raises:
        InputError: as ``stop_if_strict``.
    """
    stop_if_strict(record, reason, strict=strict)
    if kind := count_reject(counters, reason):
        examples.setdefault(kind, str(record.get("id") or record.where))


def stop_if_strict(record: Record, reason: str, *, strict: bool) -> None:
    """Refuse, under ``--strict``, a reject whose cause is no single bad medium.

    Raises:
        RecordError: an internal error on the record.
        InputError: the rest of a damaged tar.
    """
    if strict and category_of(reason) == INTERNAL_ERROR:
        raise RecordError(f"{record.get('id') or record.where}: {reason}")
    if strict and detail_of(reason).startswith(DAMAGED_TAR):
        raise InputError(f"{record.get('path') or record.where}: {detail_of(reason)}")


class IncompleteVideos:
    """Records that were read without a few frames that do not decode, each noted once, from any thread."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], tuple[str, int]] = {}

    def note(self, record: Record, num_missing: int) -> None:
        """The record's video was read without so many frames."""
        record.missing_frames = num_missing
        key = tuple(record.get(field) for field in ("id", "path", "start_sec", "end_sec"))
        self._found[key] = str(record.get("id") or record.where), num_missing

    def found(self) -> list[tuple[str, int]]:
        """IDs, and numbers of frames, of all that were noted in this process."""
        return list(self._found.values())

    def clear(self) -> None:
        """Forget what earlier commands of this process noted."""
        self._found.clear()


incomplete = IncompleteVideos()


def why_unscored(record: Record) -> str:
    """The reason of an earlier ``--rejects`` for which a record may lack scores, else ""."""
    reason = record.verdict.get("reason") or ""
    return reason if category_of(reason) in BEFORE_SCORING else ""


def count_missing_frames(name: str, num_missing: int, *, counters: Counter[str], examples: dict[str, str]) -> None:
    """Count a record whose video was read without so many frames; the first one becomes the example."""
    if num_missing:
        counters[INCOMPLETE] += 1
        counters[MISSING_FRAMES] += num_missing
        examples.setdefault(INCOMPLETE, name)


def missing_frames(counters: Mapping[str, int]) -> dict[str, int]:
    """What ``count_missing_frames`` counted, as it stands in ``--summary``."""
    return {name.replace(" ", "_"): counters.get(name, 0) for name in (INCOMPLETE, MISSING_FRAMES)}


def incomplete_lines(counters: Mapping[str, int], examples: Mapping[str, str]) -> list[str]:
    """A line for people about what ``count_missing_frames`` counted.

    >>> incomplete_lines({"incomplete": 1, "missing frames": 2}, {"incomplete": "a.mp4"})
    ['1 videos read without 2 frames that do not decode, such as a.mp4']
    """
    if not counters.get(INCOMPLETE):
        return []
    example = f", such as {examples[INCOMPLETE]}" if INCOMPLETE in examples else ""
    counts = f"{counters[INCOMPLETE]:,} videos read without {counters[MISSING_FRAMES]:,} frames that do not decode"
    return [counts + example]


class _Current:
    """What ``reading`` notes records in; a process writes one output at a time."""

    in_flight: "InFlight | None" = None


class InFlight:
    """A file with the records that are being read, for the run after the death of this process.

    The file holds ``NUM_SLOTS`` little-endian 64-bit numbers, one per thread: 0, or the position of its record plus 1.
    Behind them are the positions of records that were in flight at earlier deaths, once for each unit of
    suspicion. It is written without syncing: it has to survive the process, not the machine.

    Args:
        path: of the file, beside the output; ``PATH.crash`` receives the stacks of a fatal signal.
        consumed: records that are written already; older suspicions are forgotten.
        resume: False forgets all of them.

    Attributes:
        suspicions: position → units, of records that were in flight when the process died.
    """

    def __init__(self, path: Path, *, consumed: int, resume: bool) -> None:
        self._path, self._crash_path = path, _crash_path(path)
        found = suspicions_in(path) if resume else Counter()
        self.suspicions = Counter({position: units for position, units in found.items() if position >= consumed})
        self._file: BinaryIO | None = path.open("wb", buffering=0)
        self._file.write(self._content())
        self._crash: BinaryIO = self._crash_path.open("wb")
        self._was_enabled = faulthandler.is_enabled()
        faulthandler.enable(self._crash)
        self._own = threading.local()
        self._num_slots = 0
        self._lock = threading.Lock()
        self._one_suspect = threading.Lock()  # so that the next death blames one of them
        _Current.in_flight = self

    def is_fatal(self, position: int) -> bool:
        """Whether the record was in flight at so many deaths that it is not read again."""
        return self.suspicions[position] >= KILLS_TO_REJECT

    @contextlib.contextmanager
    def hold(self, position: int) -> Iterator[None]:
        """The record is in flight during the block."""
        before = getattr(self._own, "position", -1)
        with self._one_suspect if position in self.suspicions and before != position else contextlib.nullcontext():
            self._note(position)
            try:
                yield
            finally:
                self._note(before)

    def close(self, *, finished: bool = False) -> None:
        """The process ends in order: nothing is in flight any more. Suspicions last until the output is finished."""
        _Current.in_flight = None
        with self._lock:
            if self._file is None:
                return
            self._file.close()
            self._file = None
        faulthandler.disable()
        if self._was_enabled and sys.__stderr__ is not None:
            with contextlib.suppress(ValueError, OSError):  # it is closed
                faulthandler.enable(sys.__stderr__)
        self._crash.close()
        self._crash_path.unlink(missing_ok=True)
        if finished or not self.suspicions:
            self._path.unlink(missing_ok=True)
        else:
            self._path.write_bytes(self._content())

    def _content(self) -> bytes:
        """The file with nothing in flight."""
        earlier = list(self.suspicions.elements())
        return struct.pack(f"<{NUM_SLOTS + len(earlier)}q", *[0] * NUM_SLOTS, *earlier)

    def _note(self, position: int) -> None:
        """Write the position of this thread's record into its slot; -1: none."""
        slot = getattr(self._own, "slot", None)
        with self._lock:
            if self._file is None:
                return
            if slot is None:
                slot = self._own.slot = self._num_slots
                self._num_slots += 1
            self._own.position = position
            if slot < NUM_SLOTS:
                os.pwrite(self._file.fileno(), struct.pack("<q", position + 1), 8 * slot)


def suspicions_in(path: Path) -> Counter[int]:
    """Units of suspicion by position, in a file of ``InFlight`` that a dead process left; empty without one."""
    try:
        content = path.read_bytes()
        has_crashed = _crash_path(path).exists() and _crash_path(path).stat().st_size > 0
    except OSError:
        return Counter()
    numbers = struct.unpack(f"<{len(content) // 8}q", content[: len(content) // 8 * 8])
    found = Counter(numbers[NUM_SLOTS:])
    for number in numbers[:NUM_SLOTS]:
        if number:
            found[number - 1] += KILLS_TO_REJECT // DEATHS_TO_REJECT if has_crashed else 1
    return found


def _crash_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.crash")
