"""The bytes of a record's media: a file or a member of a tar, local or remote."""

import errno
import os
import posixpath
import stat
from collections.abc import Mapping
from typing import Any, BinaryIO, cast

from omnicli.errors import MediaError
from omnicli.streams.files.tar import open_member, open_member_stream
from omnicli.streams.files.urls import RemoteError, join_url, url_of
from omnicli.streams.record import Record

_REASONS = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EISDIR: "is a directory",
    errno.ELOOP: "too many links",
    errno.ENAMETOOLONG: "name is too long",
    errno.ENXIO: "not a regular file",
}


def media_path(record: Mapping[str, Any], root: str | None = None) -> str:
    """The file of a record's media: its ``path``, relative to ``root``.

    Raises:
        InputError: the record has no ``path``; names file and line.

    >>> media_path({"path": "web/a.jpg"}, "/data")
    '/data/web/a.jpg'
    """
    path: str | None = record.get("path")
    if not path:
        path = str(record.require("path") if isinstance(record, Record) else record["path"])
    if not root or url_of(path):
        return path
    return join_url(top, path) if (top := url_of(root)) else posixpath.join(root, path)


def read_bytes(path: str) -> bytes:
    """The content of a file, or of a tar member ``x.tar#member`` if no file has this name.

    Raises:
        MediaError: "no such file", "empty file", "permission denied", "is a directory", ...
    """
    handle = _open(path)
    if not isinstance(handle, int):
        content = open_member(path) if handle is None else _read_remote(handle)
    else:
        with os.fdopen(handle, "rb", buffering=0) as file:
            try:
                content = file.read()
            except OSError as error:
                raise MediaError(reason_of(error)) from None
    if not content:
        raise MediaError("empty file")
    return content


def open_binary(path: str) -> BinaryIO:
    """Open a file or tar member for reading and seeking.

    Raises:
        MediaError: as ``read_bytes``.
    """
    handle = _open(path)
    if isinstance(handle, str):
        return _open_remote(handle)
    if handle is not None:
        if os.fstat(handle).st_size == 0:
            os.close(handle)
            raise MediaError("empty file")
        return os.fdopen(handle, "rb")
    stream = open_member_stream(path)
    if stream.seek(0, os.SEEK_END) == 0:
        raise MediaError("empty file")
    stream.seek(0)
    return stream


def reason_of(error: OSError | ValueError) -> str:
    """Why a file cannot be read, in a few words without its path.

    >>> reason_of(FileNotFoundError(2, "No such file or directory", "a.jpg"))
    'no such file'
    """
    if isinstance(error, RemoteError):
        return error.strerror or "cannot be read"
    if isinstance(error, OSError):
        return _REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()
    return "name holds a NUL" if "null" in str(error) else "name cannot be encoded"


def open_regular(path: str | bytes) -> int:
    """Open a regular file and return its descriptor; does not wait for a FIFO.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return handle
    os.close(handle)
    code = errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO
    raise OSError(code, os.strerror(code), path)


def _open(path: str) -> int | str | None:
    """A descriptor, the URL of a remote file, or None if the path may be a tar member. Raises MediaError."""
    if url := url_of(path):
        return None if ".tar#" in url else url  # asking for both would double the requests
    try:
        return open_regular(path)
    except OSError as error:
        if "#" in path and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return None
        raise MediaError(reason_of(error)) from None
    except ValueError as error:
        raise MediaError(reason_of(error)) from None


def _read_remote(url: str) -> bytes:
    from omnicli.streams.files.remote_file import read_remote  # noqa: PLC0415 (most files are local)

    try:
        return read_remote(url)
    except OSError as error:
        raise MediaError(reason_of(error)) from None


def _open_remote(url: str) -> BinaryIO:
    from omnicli.streams.files.remote_file import RemoteFile  # noqa: PLC0415

    try:
        file = RemoteFile(url)
        is_empty = not file.pread(1, 0)
    except OSError as error:
        raise MediaError(reason_of(error)) from None
    if is_empty:
        raise MediaError("empty file")
    return cast(BinaryIO, file)
