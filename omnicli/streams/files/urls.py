"""URLs of remote files: which texts are URLs, how they are joined, and which of them may be opened.

A record or a redirect cannot make omni open a scheme or host that the user did not name: only schemes that appear on
the command line are opened and, of http and https, only the hosts there (server-side request forgery).

``pathlib`` makes ``s3:/bucket/key`` of ``s3://bucket/key``; both are the same URL here, so that outputs may be Paths.
"""

import errno
import os
import posixpath
import re
from collections.abc import Iterable
from urllib.parse import quote

from omnicli.extras import need
from omnicli.printable import SCHEMES

_URL = re.compile(rf"({'|'.join(SCHEMES)}):/+(?=[^/])", re.IGNORECASE)
_TYPED = re.compile(rf"\b({'|'.join(SCHEMES)}):/+([^/?#\s]*)", re.IGNORECASE)
_SAME = {"s3a": "s3", "gcs": "gs"}  # other names of a scheme
_WEB = ("http", "https")
STORES = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "hf": "hf"}  # extras by scheme


class RemoteError(OSError):
    """A remote file that cannot be read or written; ``strerror`` says why without its URL."""


class _Allowed:
    """What this process may open: schemes, of http and https with the host."""

    typed: frozenset[tuple[str, str]] = frozenset()


def url_of(path: str | os.PathLike[str]) -> str | None:
    """The URL in a path, or None for the path of a local file.

    >>> url_of("s3://bucket/a.jpg"), url_of("s3:/bucket/a.jpg"), url_of("s3/a.jpg")
    ('s3://bucket/a.jpg', 's3://bucket/a.jpg', None)
    """
    text = os.fspath(path)
    if ":/" not in text:
        return None
    match = _URL.match(text)
    return f"{match[1].lower()}://{text[match.end() :]}" if match else None


def shown(path: str | os.PathLike[str]) -> str:
    """The path as a user types it: a URL with both slashes."""
    return url_of(path) or os.fspath(path)


def allow_typed(arguments: Iterable[str]) -> None:
    """Allow the schemes and hosts of the URLs on the command line, and no others."""
    found = (match.groups() for argument in arguments for match in _TYPED.finditer(argument))
    _Allowed.typed = frozenset(_key(scheme, host) for scheme, host in found)


def need_stores(arguments: Iterable[str]) -> None:
    """Nothing if the libraries of all stores that the arguments name are installed. Raises UsageError."""
    for argument in arguments:
        url = url_of(argument) or url_of(argument.partition("=")[2])
        scheme = url.partition(":")[0] if url else ""
        if scheme in STORES:
            need(STORES[scheme], f"{scheme}://")


def check_allowed(url: str) -> None:
    """Raises RemoteError: the scheme or host is not on the command line."""
    match = _TYPED.match(url)
    if match is None or _key(*match.groups()) not in _Allowed.typed:
        name = url.partition("://")[0] + "://" + (match[2] if match and match[1] in _WEB else "")
        raise RemoteError(errno.EACCES, f"{name} is not opened: no argument of the command names it")


def join_url(root: str, path: str) -> str:
    """The URL of a path below a root URL. ``..`` and a leading slash do not leave the root.

    >>> join_url("s3://bucket/crawl/", "web/a.jpg"), join_url("s3://bucket/crawl", "../../b/../c.jpg")
    ('s3://bucket/crawl/web/a.jpg', 's3://bucket/crawl/c.jpg')
    >>> join_url("https://host/crawl", "a b?.jpg")
    'https://host/crawl/a%20b%3F.jpg'
    """
    below = posixpath.normpath(f"/{path}").lstrip("/") if ".." in path else path.lstrip("/")
    if root.partition(":")[0].lower() in _WEB:
        tar, member_of, member = below.partition(".tar#")
        below = quote(tar, safe="/!$&'()*+,;=:@~") + member_of + member
    return f"{root.rstrip('/')}/{below}"


def path_below(url: str, root: str) -> str | None:
    """The path of a URL below a root URL; None if it is not below.

    >>> path_below("s3://bucket/crawl/web/a.jpg", "s3://bucket/crawl/")
    'web/a.jpg'
    """
    top = f"{root.rstrip('/')}/"
    return url[len(top) :] if url.startswith(top) else None


def _key(scheme: str, host: str) -> tuple[str, str]:
    scheme = scheme.lower()
    return _SAME.get(scheme, scheme), host.lower() if scheme in _WEB else ""
