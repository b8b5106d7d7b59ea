"""Outputs that appear whole or not at all, and the two that cannot: stdout and special files."""

import contextlib
import errno
import gzip
import io
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from omnicli.errors import OutputError

COPY_BYTES = 1 << 20
STDERR_NAMES = ("/dev/stderr", "/dev/fd/2", "/proc/self/fd/2")


@contextlib.contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under ``path`` when the block ends well, and leaves nothing behind when it does not.

    Written under a hidden name beside it, fsynced, renamed; links are followed, ``.gz`` and ``.zst`` compress
    (reproducibly: no time stamp, no name). FIFOs and devices are written straight.

    Raises:
        OutputError: the folder is missing, full or not writable.
    """
    if is_special(path):
        with named_errors(str(path)), _open_straight(path) as straight, _compressor(straight, path) as file:
            yield file
        return
    final = Path(os.path.realpath(path))
    partial = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    try:
        with named_errors(str(path)), partial.open("wb") as plain:
            with _compressor(plain, final) as file:
                yield file
            plain.flush()
            os.fsync(plain.fileno())
        with named_errors(str(path)):
            partial.replace(final)
            sync_folder(final.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def publish(part: Path, path: Path) -> None:
    """Turn a finished plain part into ``path``: renamed where that is all, copied where it is compressed or elsewhere.

    The part is gone afterwards. Raises OutputError.
    """
    final = Path(os.path.realpath(path))
    with named_errors(str(path)):
        if final.suffix in (".gz", ".zst") or part.stat().st_dev != final.parent.stat().st_dev or is_special(path):
            with part.open("rb") as lines, open_atomic(path) as file:
                while chunk := lines.read(COPY_BYTES):
                    file.write(chunk)
            part.unlink()
        else:
            part.replace(final)
            sync_folder(final.parent)


def is_special(path: Path) -> bool:
    """True for FIFOs, devices and sockets, which can only be written straight, and for stderr whatever it is."""
    try:
        return str(path) in STDERR_NAMES or (not stat.S_ISREG(path.stat().st_mode) and not path.is_dir())
    except OSError:
        return False


def _open_straight(path: Path) -> BinaryIO:
    """Stderr is what Python writes to: under ``-q`` descriptor 2 leads nowhere."""
    if str(path) in STDERR_NAMES and sys.stderr is not None:
        return os.fdopen(os.dup(sys.stderr.fileno()), "wb")
    return path.open("wb")


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the file system lets folders be synced."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _compressor(file: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    match path.suffix:
        case ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                yield cast(BinaryIO, packed)
        case ".zst":
            with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as packed:
                yield cast(BinaryIO, packed)
        case _:
            yield file


@contextlib.contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Errors of the operating system as one sentence with the output's name; a closed pipe stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise OutputError(f"{name}: cannot write: no folder '{Path(name).parent}'; make it first") from None
        raise OutputError(f"{name}: cannot write: {error.strerror or error}") from None
    except io.UnsupportedOperation as error:
        raise OutputError(f"{name}: cannot write: {error}") from None
