"""The error tree. Libraries raise, only ``app`` prints and exits.

OmniError                 1   anything the user can act on
├── TooManyBad            3   more unreadable media than --max-bad; the output is complete
├── InputError           65   a record, shard or list is not what it should be: "web.jsonl:31: no field 'path'"
│   └── MediaError       65   an image or video cannot be decoded; stages turn it into a counted reject
├── ModelError           66   a checkpoint is missing, or does not fit the architecture
├── OutputError          73   an output cannot be written
└── Interrupted          75   stopped by a signal with the state saved: run the same command again

A wrong combination of options is ``UsageError`` (2). Whatever else escapes is our bug (70).
"""


class OmniError(Exception):
    """Anything the user can act on. The message is one sentence and names file, line and value."""

    exit_code = 1


class UsageError(OmniError):
    """Options that contradict each other, or inputs that are missing."""

    exit_code = 2


class TooManyBad(OmniError):
    """More unreadable media than ``--max-bad`` allows; everything was processed and written."""

    exit_code = 3


class InputError(OmniError):
    """A record, shard or list is not what it should be."""

    exit_code = 65


class MediaError(InputError):
    """An image or video that cannot be decoded; the message is the reason, without the path."""


class ModelError(OmniError):
    """A checkpoint is missing, unsafe or broken, or does not fit the architecture."""

    exit_code = 66


class OutputError(OmniError):
    """An output cannot be written."""

    exit_code = 73


class Interrupted(OmniError):
    """Stopped by a signal. ``resumable``: the state is saved, the same command goes on from there; else exit 143."""

    exit_code = 75

    def __init__(self, message: str, *, resumable: bool = True) -> None:
        super().__init__(message)
        self.resumable = resumable
