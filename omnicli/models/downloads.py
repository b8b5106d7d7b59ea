"""Downloads of weights: without a network they fail within seconds.

Ours: the client of the hub would retry for a minute, and torch.hub would wait without a limit.
"""

import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

PROBE_SEC = 2.0
STALL_SEC = 5.0


@contextmanager
def failing_fast() -> Iterator[None]:
    """Inside, weights come from the cache if the hub cannot be reached, and a download that stalls raises OSError."""
    from huggingface_hub import constants  # noqa: PLC0415 (takes 0.1 s, and few runs download)

    before = constants.HF_HUB_OFFLINE, socket.getdefaulttimeout()
    constants.HF_HUB_OFFLINE = before[0] or not can_connect(constants.ENDPOINT)
    socket.setdefaulttimeout(STALL_SEC)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before[0]
        socket.setdefaulttimeout(before[1])


def can_connect(url: str, timeout_sec: float = PROBE_SEC) -> bool:
    """Whether the host of a URL, or the proxy that the environment names for it, accepts a connection in time."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = {} if urllib.request.proxy_bypass(host) else urllib.request.getproxies()
    if proxy := proxies.get(parts.scheme) or proxies.get("all"):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        host = parts.hostname or ""
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 1080)
    connected = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=timeout_sec).close()
        except OSError:
            return
        connected.set()

    attempt = threading.Thread(target=connect, daemon=True)  # a name server may keep it longer than the timeout
    attempt.start()
    attempt.join(timeout_sec)
    return connected.is_set()
