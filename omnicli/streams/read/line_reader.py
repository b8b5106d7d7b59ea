"""Lines of a file, a pipe or stdin, plain or compressed, in constant memory."""

import contextlib
import io
import os
import select
import stat
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple, cast

import zstandard

from omnicli.errors import InputError
from omnicli.streams.files.media_files import reason_of
from omnicli.streams.files.stored import content_of_pipe
from omnicli.streams.files.urls import RemoteError, url_of

STDIN = 0
CHUNK_BYTES = 1 << 18
# decompressed at a time: gzip grows at most 1,000-fold and zstd 32,000-fold, so that a bomb gives 8 or 32 MiB
GZIP_BYTES, ZSTD_BYTES = 1 << 13, 1 << 10
MAX_LINE_BYTES = 64 << 20
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
UTF8_BOM = b"\xef\xbb\xbf"


def do_nothing() -> None:
    """Do nothing: the default of ``on_wait``."""


class Lines(NamedTuple):
    """Consecutive lines without their ends.

    Attributes:
        first: 1-based number of the first line.
        lines: at least one, blank lines included.
    """

    first: int
    lines: list[bytes]


def read_lines(
    handle: int | BinaryIO, *, name: str, separator: bytes = b"\n", on_wait: Callable[[], None] = do_nothing
) -> Iterator[Lines]:
    """Yield all lines of the open file, as many at a time as arrive; gzip and zstd are recognised by content.

    The handle stays open. A byte-order mark is removed; the last line needs no end.

    Args:
        handle: descriptor of a file, pipe, FIFO or terminal; or a remote file.
        name: for messages.
        separator: one byte.
        on_wait: called before a read that has to wait for a pipe, to flush outputs.

    Raises:
        InputError: a compressed stream is truncated or damaged (raised after its readable lines), a line is longer
            than ``MAX_LINE_BYTES``, or reading fails.
    """
    unfinished: list[bytes] = []  # of a line that has not ended
    num_unfinished = 0  # their bytes
    number = 1
    try:
        for chunk in _small(_without_mark(_decompressed(_chunks(handle, on_wait))), CHUNK_BYTES):
            head, found, rest = chunk.rpartition(separator)
            if not found:
                unfinished.append(chunk)
                num_unfinished += len(chunk)
                if num_unfinished > MAX_LINE_BYTES:
                    raise InputError(f"{name}:{number}: line is longer than {MAX_LINE_BYTES >> 20} MiB")
                continue
            lines = (b"".join(unfinished) + head).split(separator)
            unfinished = [rest] if rest else []
            num_unfinished = len(rest)
            yield Lines(number, lines)
            number += len(lines)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise InputError(f"{name}:{number}: truncated or damaged compressed file ({error})") from None
    except OSError as error:
        raise InputError(f"{name}:{number}: cannot be read: {reason_of(error)}") from None
    if unfinished:
        yield Lines(number, [b"".join(unfinished)])


def _chunks(handle: int | BinaryIO, on_wait: Callable[[], None]) -> Iterator[bytes]:
    """Yield the bytes of each read; a pipe returns what is available."""
    if not isinstance(handle, int):
        while remote := handle.read(CHUNK_BYTES):
            yield remote
        return
    may_wait = not stat.S_ISREG(os.fstat(handle).st_mode)
    poller = select.poll()  # unlike select.select, it accepts descriptors above 1023
    if may_wait:
        poller.register(handle, select.POLLIN | select.POLLHUP)
    while True:
        if may_wait and not poller.poll(0):
            on_wait()
        chunk = os.read(handle, CHUNK_BYTES)
        if not chunk:
            return
        yield chunk


def _decompressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks, decompressed if they are gzip or zstd."""
    first = next(chunks, b"")
    while 0 < len(first) < len(ZSTD) and (GZIP.startswith(first[:2]) or ZSTD.startswith(first)):
        more = next(chunks, b"")
        if not more:
            break
        first += more
    if first.startswith((GZIP, ZSTD)):
        magic, size = (GZIP, GZIP_BYTES) if first.startswith(GZIP) else (ZSTD, ZSTD_BYTES)
        yield from _members(b"", _small(chain([first], chunks), size), magic=magic)
    elif first:
        yield first
        yield from chunks


def _small(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield the chunks in parts of at most ``size`` bytes."""
    for chunk in chunks:
        if len(chunk) <= size:
            yield chunk
        else:
            yield from (chunk[at : at + size] for at in range(0, len(chunk), size))


def _members(data: bytes, chunks: Iterator[bytes], *, magic: bytes) -> Iterator[bytes]:
    """Yield the content of consecutive gzip members or zstd frames. Raises EOFError if the last one is truncated."""
    while True:
        data = data.lstrip(b"\0") if magic == GZIP else data  # gzip allows zero bytes after a member
        while len(data) < len(magic):
            more = next(chunks, b"")
            if not more:
                if data:
                    raise EOFError("it ends inside a header")
                return
            data = (data + more).lstrip(b"\0") if magic == GZIP else data + more
        if not data.startswith(magic):
            raise EOFError("bytes after its end that are not compressed")
        member = zlib.decompressobj(wbits=31) if magic == GZIP else zstandard.ZstdDecompressor().decompressobj()
        while not member.eof:
            if out := member.decompress(data):
                yield out
            data = b"" if not member.eof else member.unused_data
            if not member.eof:
                data = next(chunks, b"")
                if not data:
                    raise EOFError("it ends too early")


def _without_mark(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks without the UTF-8 byte-order mark."""
    first = next(chunks, b"")
    while first and len(first) < len(UTF8_BOM) and UTF8_BOM.startswith(first):
        more = next(chunks, b"")
        if not more:
            break
        first += more
    if first := first.removeprefix(UTF8_BOM):
        yield first
    yield from chunks


def why_absent(error: OSError | ValueError) -> str:
    """Why a file cannot be opened, in a few words."""
    if isinstance(error, RemoteError) or not (isinstance(error, OSError) and error.strerror):
        return reason_of(error)
    return error.strerror.lower()


@contextlib.contextmanager
def open_input(name: str) -> Iterator[int | BinaryIO]:
    """Open a file of lines and yield its descriptor, or a remote file; stdin stays open. Raises InputError.

    A pipe that was read for its digest is read again from memory.
    """
    if name == "-":
        yield STDIN
        return
    if url := url_of(name):
        from omnicli.streams.files.remote_file import RemoteFile  # noqa: PLC0415 (most files are local)

        try:
            remote = RemoteFile(url)
        except OSError as error:
            raise InputError(f"{name}: {reason_of(error)}") from None
        with remote:
            yield cast(BinaryIO, remote)
        return
    if (content := content_of_pipe(name)) is not None:
        yield io.BytesIO(content)
        return
    try:
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: {why_absent(error)}") from None
    try:
        yield handle
    finally:
        os.close(handle)


def read_names(files_from: str, *, separator: bytes, on_wait: Callable[[], None] = do_nothing) -> Iterator[str]:
    """Yield the names in a file ("-": stdin), without empty ones. Raises InputError.

    Lines may end in CR LF; a name that itself ends in CR needs NUL as the separator.
    """
    end = b"\r" if separator == b"\n" else b""
    with open_input(files_from) as handle:
        for batch in read_lines(handle, name=files_from, separator=separator, on_wait=on_wait):
            yield from (os.fsdecode(name) for line in batch.lines if (name := line.removesuffix(end)))
