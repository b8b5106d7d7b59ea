"""Remote files by fsspec: ranges, whole files, listings, uploads. Every request of the package is made here.

A request that fails for a passing reason is repeated after a growing pause. What is fetched is counted. Every other
error is a ``RemoteError`` with the HTTP or storage error as its reason. Only what ``urls`` allows is opened, and a
redirect of an HTTP server is followed only to a host that is allowed.
"""

import errno
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple, TypeVar

from omnicli.errors import UsageError
from omnicli.streams.files.urls import STORES, RemoteError, check_allowed

T = TypeVar("T")

# Ours: five tries within 8 s on the average; a store that answers "slow down" asks for more than one
PAUSES_SEC = (0.5, 1.0, 2.0, 4.0)
IDLE_SEC = 60.0  # an HTTP server that sends nothing for so long has failed
MAX_REASON = 120
_PASSING_STATUS = (408, 425, 429)
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
_WEB = ("http", "https")


class RemoteStatus(NamedTuple):
    """What differs between a remote file and one that replaces it.

    Attributes:
        size: bytes; None if an HTTP server does not say it.
        stamp: the store's own mark of the content: ETag, digest, or time.
    """

    size: int | None
    stamp: str


@dataclass
class Traffic:
    """What this process has fetched.

    Attributes:
        num_bytes: of contents, without headers and listings.
        num_requests: for contents.
    """

    num_bytes: int = 0
    num_requests: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, num_bytes: int) -> None:
        """Count one request."""
        with self.lock:
            self.num_bytes += num_bytes
            self.num_requests += 1

    def take(self) -> tuple[int, int]:
        """Bytes and requests since the last call."""
        with self.lock:
            taken = self.num_bytes, self.num_requests
            self.num_bytes = self.num_requests = 0
        return taken


traffic = Traffic()


class RangeIgnoredError(Exception):
    """An HTTP server sends the whole file where a range was asked for."""


def fetch(url: str, start: int = 0, end: int | None = None) -> bytes:
    """Bytes [start, end) of a file; fewer at its end.

    Raises:
        RemoteError: it cannot be read.
        RangeIgnoredError: the server does not read ranges.
    """
    is_whole = start == 0 and end is None

    def request(system: Any) -> bytes:
        found: bytes = system.cat_file(url) if is_whole else system.cat_file(url, start=start, end=end)
        return found

    try:
        content = _attempt(url, request)
    except RemoteError:
        # a range of an empty file is an error to some stores
        if is_whole or start > 0 or status(url).size != 0:
            raise
        content = b""
    traffic.add(len(content))
    return content


def download(url: str, file: BinaryIO) -> None:
    """Write a whole file into a local one. Raises RemoteError."""

    def request(system: Any) -> None:
        file.seek(0)
        file.truncate()
        if url.startswith(_WEB):
            system.get_file(url, file)
        else:
            with system.open(url, "rb") as content:
                while chunk := content.read(4 << 20):
                    file.write(chunk)

    _attempt(url, request)
    traffic.add(file.seek(0, os.SEEK_END))
    file.seek(0)


def status(url: str) -> RemoteStatus:
    """Size and stamp of a file. Raises RemoteError: it cannot be read, or is a folder."""
    info: dict[str, Any] = _attempt(url, lambda system: system.info(url))
    if info.get("type") == "directory":
        raise RemoteError(errno.EISDIR, "is a directory", url)
    names = ("ETag", "etag", "Content-MD5", "md5Hash", "Last-Modified", "LastModified", "mtime", "blob_id", "created")
    stamp = next((str(info[name]) for name in names if info.get(name)), "")
    size = info.get("size")
    return RemoteStatus(None if size is None else int(size), stamp)


def exists(url: str) -> bool:
    """Whether there is a file of this URL. Raises RemoteError: nobody can say."""
    try:
        status(url)
    except RemoteError as error:
        if error.errno in (errno.ENOENT, errno.EISDIR):
            return False
        raise
    return True


def is_folder(url: str) -> bool:
    """Whether the URL is a folder; an HTTP server has none. Raises RemoteError."""
    return not url.startswith(_WEB) and bool(_attempt(url, lambda system: system.isdir(url)))


def list_files(url: str) -> list[str]:
    """Paths of all files below a folder, relative to it, depth first and each folder sorted. Raises RemoteError."""
    system = _filesystem(url)
    try:
        names: list[str] = _attempt(url, lambda system: [*system.find(url)])
    except RemoteError as error:
        if error.errno == errno.ENOENT:
            return []
        raise
    top = f"{str(system._strip_protocol(url)).rstrip('/')}/"
    below = (name[len(top) :] for name in names if name.startswith(top))
    return sorted((name for name in below if name), key=lambda name: os.fsencode(name).split(b"/"))


def upload(path: str, url: str) -> None:
    """Write a local file to a URL, where it appears whole. Raises RemoteError."""
    if url.startswith(_WEB):
        raise RemoteError(errno.EROFS, "an HTTP server takes no files; write to a local file or an object store", url)
    _attempt(url, lambda system: system.put_file(path, url))
    size = os.stat(path).st_size  # noqa: PTH116 (a str)
    if status(url).size != size:
        raise RemoteError(errno.EIO, f"{size:,} bytes were written, and {status(url).size} are there", url)


def remove(url: str) -> None:
    """Remove a file, if it exists. Raises RemoteError."""
    if exists(url):
        _attempt(url, lambda system: system.rm_file(url))


def _attempt(url: str, request: Callable[[Any], T]) -> T:
    """The result of a request, tried again after passing errors. Raises RemoteError and RangeIgnoredError."""
    system = _filesystem(url)
    for pause_sec in (*PAUSES_SEC, None):
        try:
            return request(system)
        except (RemoteError, RangeIgnoredError, MemoryError):
            raise
        except Exception as error:
            cause = _cause(error, url)
            if isinstance(cause, RemoteError):
                raise cause from None
            if pause_sec is None or not _is_passing(cause):
                raise _described(cause, url) from error
        time.sleep(pause_sec * random.uniform(0.5, 1.5))
    raise AssertionError("unreachable")


_systems: dict[tuple[int, str], Any] = {}
_systems_lock = threading.Lock()


def _filesystem(url: str) -> Any:
    """The file system of a URL, one per process. Raises RemoteError: not allowed; UsageError: a library is missing."""
    check_allowed(url)
    scheme = url.partition(":")[0]
    key = (os.getpid(), "http" if scheme in _WEB else scheme)
    with _systems_lock:
        if key not in _systems:
            try:
                import fsspec  # noqa: PLC0415 (0.1 s, and most files are local)

                _systems[key] = fsspec.filesystem(key[1], skip_instance_cache=True, **_settings(scheme))
            except ImportError as error:
                extra = STORES.get(scheme)
                remedy = f"pip install 'omnicli[{extra}]'" if extra else "pip install 'fsspec[http]'"
                raise UsageError(f"{scheme}:// needs another library ({error}): {remedy}") from None
        return _systems[key]


def _settings(scheme: str) -> dict[str, Any]:
    if scheme in ("s3", "s3a"):
        return {"use_listings_cache": False}
    if scheme not in _WEB:
        return {"use_listings_cache": False} if scheme != "memory" else {}
    import aiohttp  # noqa: PLC0415

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_check_redirect)
    trace.on_request_end.append(_check_range)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=IDLE_SEC, sock_read=IDLE_SEC)
    return {
        "client_kwargs": {"trace_configs": [trace], "trust_env": True, "timeout": timeout},
        "headers": {"Accept-Encoding": "identity"},  # ranges are of the file itself
    }


async def _check_redirect(session: Any, context: Any, params: Any) -> None:
    from yarl import URL  # noqa: PLC0415

    check_allowed(str(params.url.join(URL(params.response.headers.get("Location", "")))))


async def _check_range(session: Any, context: Any, params: Any) -> None:
    """Stop before the whole file is read into memory."""
    if params.method == "GET" and "Range" in params.headers and params.response.status == 200:
        raise RangeIgnoredError


def _cause(error: Exception, url: str) -> Exception:
    """What an HTTP server said: fsspec makes "not found" of whatever happens when it asks for a size."""
    is_hidden = url.startswith(_WEB) and isinstance(error, FileNotFoundError)
    return error.__cause__ if is_hidden and isinstance(error.__cause__, Exception) else error


def _is_passing(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    code = getattr(error, "status", None)
    if isinstance(code, int):
        return code in _PASSING_STATUS or code >= 500
    if isinstance(error, _LASTING):
        return False
    package = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError | TimeoutError | EOFError) or package in ("aiohttp", "botocore", "aiobotocore")


def _described(error: Exception, url: str) -> RemoteError:
    """The error with a reason in a few words, which does not name the URL."""
    code = getattr(error, "status", None)
    if isinstance(code, int):
        return RemoteError(
            errno.ENOENT if code in (404, 410) else errno.EIO,
            f"HTTP {code} {getattr(error, 'message', '')}".rstrip(),
            url,
        )
    if isinstance(error, FileNotFoundError):
        return RemoteError(errno.ENOENT, "HTTP 404 Not Found" if url.startswith(_WEB) else "no such file", url)
    if isinstance(error, PermissionError):
        return RemoteError(errno.EACCES, "permission denied", url)
    if isinstance(error, IsADirectoryError):
        return RemoteError(errno.EISDIR, "is a directory", url)
    text = " ".join(str(error).replace(url, "").split())
    return RemoteError(errno.EIO, f"{type(error).__name__}: {text}"[:MAX_REASON].rstrip(": "), url)
