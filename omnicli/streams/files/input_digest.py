"""Whether an input file is the one that an output was made from, without reading a large one twice."""

import hashlib
from pathlib import Path

from omnicli.streams.files.stored import size_and_time
from omnicli.streams.files.urls import url_of

READ_BYTES = 1 << 20
# Ours: up to this size a file is read whole; of a larger one, such as a tar, evenly spread blocks are, the first and
# the last among them. Another crawl, a longer or a cut file differ in its size or in one of them.
WHOLE_BYTES = 32 << 20
NUM_BLOCKS, BLOCK_BYTES = 128, 1 << 13
BLOCKS, STAMP = "blocks-", "stamp-"  # of digests that are not of the whole content


def input_digest(path: Path) -> str:
    """A digest of an input file, in hexadecimal: of its content, of blocks of it, or of what its store says of it.

    Raises:
        OSError: it cannot be read.
    """
    if url_of(path):
        return f"{STAMP}{_stamp(path)}"
    return file_digest(path) if path.stat().st_size <= WHOLE_BYTES else f"{BLOCKS}{_block_digest(path)}"


def is_same_input(path: Path, digest: str) -> bool:
    """Whether the file has this digest, made by ``input_digest`` now or by an earlier version. Raises OSError."""
    if digest.startswith(STAMP) or url_of(path):
        return digest == f"{STAMP}{_stamp(path)}"
    if digest.startswith(BLOCKS):
        return digest == f"{BLOCKS}{_block_digest(path)}"
    return digest == file_digest(path)


def file_digest(path: Path) -> str:
    """BLAKE2b of a file, in hexadecimal. Raises OSError."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _block_digest(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    last = max(0, size - BLOCK_BYTES)
    with path.open("rb") as file:
        for number in range(NUM_BLOCKS):
            file.seek(last * number // (NUM_BLOCKS - 1))
            digest.update(file.read(BLOCK_BYTES))
    return digest.hexdigest()


def _stamp(path: Path) -> str:
    size, stamp = size_and_time(path)
    return f"{size}-{stamp:x}"
