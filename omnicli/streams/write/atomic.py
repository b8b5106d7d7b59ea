"""The atomic writer: an output appears complete or not at all, except on FIFOs and devices."""

import contextlib
import errno
import gzip
import io
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from omnicli.errors import OutputError
from omnicli.streams.files.urls import shown, url_of
from omnicli.streams.write.locks import open_if_free
from omnicli.streams.write.staging import open_upload, upload_and_remove

COPY_BYTES = 1 << 20
# Names of open descriptors. The file behind one may hold what others wrote, so that none is replaced.
DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
STANDARD_NAMES = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
STDERR = 2


@contextlib.contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Open an output that appears under ``path`` only if the block succeeds.

    ``.gz`` and ``.zst`` compress, reproducibly: without time stamp and name. FIFOs and devices are written directly.

    Raises:
        OutputError: the folder is missing, full or not writable.
    """
    special = is_special(path)
    suffix = (path if special else Path(os.path.realpath(path))).suffix
    with (
        named_errors(shown(path)),
        _open_special(path) if special else open_replacement(path) as plain,
        _compressor(plain, suffix) as file,
    ):
        yield file


@contextlib.contextmanager
def open_replacement(path: Path) -> Iterator[BinaryIO]:
    """Open a hidden file beside ``path``; sync and rename it at the end of the block, remove it on an error.

    A killed process leaves the file, locked no more, and the next one that writes ``path`` takes it over. Links are
    followed. A URL is uploaded at the end of the block. Raises OSError.
    """
    if url_of(path):
        with open_upload(path) as upload:
            yield upload
        return
    final = Path(os.path.realpath(path))
    partial = _partial_path(final)
    file = open_if_free(partial)
    if file is None:  # two processes write the same file: the last one to finish decides
        partial = final.with_name(f".{final.name}.{os.urandom(4).hex()}.tmp")
        file = partial.open("wb")
    with file:
        try:
            file.truncate(0)
            yield file
            file.flush()
            os.fsync(file.fileno())
            rename_synced(partial, final)  # before the lock ends
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def remove_leftover(path: Path) -> None:
    """Remove what a killed process left of an output that it was writing; a later run may never write it."""
    if url_of(path):
        return  # nothing is left of an upload
    partial = _partial_path(Path(os.path.realpath(path)))
    if partial.exists() and (file := open_if_free(partial)) is not None:
        with file:
            partial.unlink()


def _partial_path(final: Path) -> Path:
    return final.with_name(f".{final.name}.tmp")


def rename_synced(partial: Path, final: Path) -> None:
    """Rename a synced file so that the rename survives a power cut, if the file system can sync folders."""
    partial.replace(final)
    with contextlib.suppress(OSError):
        handle = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def publish(part_path: Path, path: Path) -> None:
    """Move a finished, uncompressed part file to ``path``.

    The part is renamed, or copied if the output is compressed, special or on another file system. Raises OutputError.
    """
    final = Path(os.path.realpath(path))
    with named_errors(shown(path)):
        if url_of(path) and final.suffix not in (".gz", ".zst"):
            upload_and_remove(part_path, path)
            return
        is_on_other_device = url_of(path) is not None or part_path.stat().st_dev != final.parent.stat().st_dev
        if final.suffix not in (".gz", ".zst") and not is_on_other_device and not is_special(path):
            rename_synced(part_path, final)
            return
        with part_path.open("rb") as lines, open_atomic(path) as file:
            shutil.copyfileobj(lines, file, COPY_BYTES)
        part_path.unlink()


def is_special(path: Path) -> bool:
    """True for FIFOs, devices and sockets, which are written directly, and for every name of an open descriptor."""
    try:
        return _descriptor(path) is not None or (not stat.S_ISREG(path.stat().st_mode) and not path.is_dir())
    except OSError:
        return False


def _descriptor(path: Path) -> int | None:
    """The descriptor that a path such as /dev/stdout or /dev/fd/3 names, or None."""
    found = DESCRIPTOR.fullmatch(str(path))
    return int(found[1]) if found else STANDARD_NAMES.get(str(path))


def _open_special(path: Path) -> BinaryIO:
    descriptor = _descriptor(path)
    if descriptor is None:
        return path.open("wb")
    if descriptor == STDERR and sys.stderr is not None:  # Python's: with -q, descriptor 2 is /dev/null
        descriptor = sys.stderr.fileno()
    return os.fdopen(os.dup(descriptor), "wb")


@contextlib.contextmanager
def _compressor(file: BinaryIO, suffix: str) -> Iterator[BinaryIO]:
    match suffix:
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
    """Turn operating system errors into OutputError with the output's name; BrokenPipeError passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno == errno.ENOENT and url_of(name) is None:
            raise OutputError(f"{name}: cannot write: no folder '{Path(name).parent}'; create it first") from None
        raise OutputError(f"{name}: cannot write: {error.strerror or error}") from None
    except io.UnsupportedOperation as error:
        raise OutputError(f"{name}: cannot write: {error}") from None
