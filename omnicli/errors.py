"""The errors of the package and their exit codes. Libraries raise; only ``app`` prints and exits.

OmniError                 1   any error that the user can fix
├── JobsFailed            1   files of -o DIR/ that failed, or the exit code that they have in common
├── ClaimedError          1   another process is writing the output
├── TooManyBad            3   more unreadable media than --max-bad; the output is complete
├── InputError           65   a record, shard or list is wrong: "web.jsonl:31: no field 'path'"
│   └── MediaError       65   an image or video cannot be decoded; stages turn it into a reject
│       ├── FrameError   65   a frame of a video does not decode, or what it depends on
│       └── RecordError  70   any other exception while one record was processed: a reject, with --strict the end
├── ModelError           66   a checkpoint is missing, or does not fit the architecture
├── OutputError          73   an output cannot be written
└── Interrupted          75   stopped by a signal with the state saved; run the same command again

A wrong combination of options is ``UsageError`` (2). Lack of memory is 1, whichever library notices it. Any other
exception is an internal error (70).
"""

import errno
import re
import resource

_NO_MEMORY = re.compile(
    "out of memory|(cannot|can't|could not|failed to|unable to) (allocate|start new thread|map segment)|bad_alloc"
    "|not enough memory|insufficient memory",
    re.IGNORECASE,
)
# oneDNN without memory for its code; C code without memory for an exception raises SystemError
_NO_REASON = "could not create a primitive"


CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class OmniError(Exception):
    """An error that the user can fix. The message is one sentence that names file, line and value."""

    exit_code = 1


class UsageError(OmniError):
    """Options that contradict each other, or missing inputs."""

    exit_code = 2


class JobsFailed(OmniError):
    """Some of the input files of ``-o DIR/`` could not be processed, or a worker of an engine had to stop them all.

    Args:
        message: what failed.
        exit_code: that of the failures if they agree, else 1.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ClaimedError(OmniError):
    """Another process is writing the output."""


class TooManyBad(OmniError):
    """More unreadable media than ``--max-bad`` allows; the output is complete."""

    exit_code = 3


class InputError(OmniError):
    """A record, shard or list that is wrong or cannot be read."""

    exit_code = 65


class MediaError(InputError):
    """An image or video that cannot be decoded; the message is the reason without the path."""


class FrameError(MediaError):
    """A frame of a video that does not decode, or that depends on one; ``TolerantSource`` leaves a few of them out."""


class RecordError(MediaError):
    """An exception, a bug of ours included, while one record was processed; the message is the whole reason."""

    exit_code = 70


class ModelError(OmniError):
    """A checkpoint that is missing, unsafe or broken, or that does not fit the architecture."""

    exit_code = 66


class OutputError(OmniError):
    """An output that cannot be written."""

    exit_code = 73


class Interrupted(OmniError):
    """Stopped by a signal; ``resumable`` if the state is saved and the same command resumes it, else exit code 143."""

    exit_code = 75

    def __init__(self, message: str, *, resumable: bool = True) -> None:
        super().__init__(message)
        self.resumable = resumable


def is_out_of_memory(error: BaseException) -> bool:
    """True for a lack of memory (or of room for a thread), which libraries report as errors of many kinds.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    True
    """
    if isinstance(error, OmniError):
        return False
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or ((isinstance(error, SystemError) or _NO_REASON in str(error)) and _has_limit())
        or _NO_MEMORY.search(str(error)) is not None
    )


def is_no_room(error: BaseException) -> bool:
    """True for a disk that is full or cannot be written."""
    return isinstance(error, OSError) and error.errno in CANNOT_WRITE


def _has_limit() -> bool:
    """True under ``ulimit -v``."""
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
