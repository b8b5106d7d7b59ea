"""What a command fetched from remote stores: counted with its records, said at its end and in ``--summary``."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from omnicli.streams.files.remote import traffic

BYTES, REQUESTS = "fetched bytes", "fetch requests"


def count_fetched(counters: Counter[str]) -> None:
    """Add what this process has fetched since the last call."""
    num_bytes, num_requests = traffic.take()
    if num_requests:
        counters[BYTES] += num_bytes
        counters[REQUESTS] += num_requests


def fetched_fields(counters: Mapping[str, int]) -> dict[str, Any]:
    """The same as it stands in ``--summary``; nothing if all files were local.

    >>> fetched_fields({"fetched bytes": 4096, "fetch requests": 2})
    {'fetched_bytes': 4096, 'fetch_requests': 2}
    """
    if not counters.get(REQUESTS):
        return {}
    return {"fetched_bytes": counters.get(BYTES, 0), "fetch_requests": counters[REQUESTS]}


def fetched_lines(counters: Mapping[str, int]) -> list[str]:
    """The same for people.

    >>> fetched_lines({"fetched bytes": 5_500_000, "fetch requests": 31})
    ['fetched 5.5 MB in 31 requests']
    """
    if not counters.get(REQUESTS):
        return []
    return [f"fetched {counters.get(BYTES, 0) / 1e6:,.1f} MB in {counters[REQUESTS]:,} requests"]
