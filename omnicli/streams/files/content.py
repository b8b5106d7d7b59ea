"""Identity of media by their content: sizes first, then a digest of a few blocks."""

import hashlib
import os
import stat

from omnicli.errors import MediaError
from omnicli.streams.files.media_files import open_binary

BLOCK_BYTES = 1 << 14
READ_BYTES = 1 << 20


def media_size(path: str) -> int | None:
    """Bytes of a file or tar member; minus the number of entries of a folder; None if it cannot be read."""
    try:
        status = os.stat(path)  # noqa: PTH116 (Path refuses some names)
        return -len(os.listdir(path)) if stat.S_ISDIR(status.st_mode) else status.st_size  # noqa: PTH208
    except (OSError, ValueError):
        pass
    if "#" not in path:
        return None
    try:
        with open_binary(path) as file:
            return file.seek(0, os.SEEK_END)
    except MediaError:
        return None


def content_key(path: str) -> int | None:
    """64 bits of a digest of the size and three blocks; of a folder, of its first and last file; None if unreadable.

    Ours: the first, the middle and the last 16 KiB of different photographs and videos differ; reading all of a
    dataset would take as long as an epoch.
    """
    size = media_size(path)
    if size is None:
        return None
    digest = hashlib.blake2b(str(size).encode(), digest_size=8)
    try:
        if size < 0:
            names = sorted(os.listdir(path))  # noqa: PTH208
            for name in (names[0], names[-1]):
                digest.update(str(content_key(os.path.join(path, name))).encode())  # noqa: PTH118
        else:
            with open_binary(path) as file:
                for start in sorted({0, max(0, (size - BLOCK_BYTES) // 2), max(0, size - BLOCK_BYTES)}):
                    file.seek(start)
                    digest.update(file.read(BLOCK_BYTES))
    except (OSError, ValueError, MediaError):
        return None
    return int.from_bytes(digest.digest(), "big")


def is_same_content(path: str, other: str) -> bool:
    """True if two files have the same bytes, or two folders files of the same bytes in the order of their names."""
    if os.path.isdir(path) or os.path.isdir(other):  # noqa: PTH112
        try:
            folders = [[os.path.join(top, name) for name in sorted(os.listdir(top))] for top in (path, other)]  # noqa: PTH118, PTH208
        except OSError:
            return False
        return len(folders[0]) == len(folders[1]) and all(map(is_same_content, *folders))
    try:
        with open_binary(path) as one, open_binary(other) as two:
            while block := one.read(READ_BYTES):
                if block != two.read(READ_BYTES):
                    return False
            return not two.read(1)
    except (OSError, ValueError, MediaError):
        return False
