"""The few records of a stream that the report shows, in bounded memory."""

import hashlib
import heapq

from omnicli.streams.record import Record


class TopRecords:
    """The ``size`` records of highest priority; equal ones are chosen by the hash of their ids."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._heap: list[tuple[float, bytes, int, Record]] = []
        self._added = 0

    def add(self, priority: float, record: Record) -> None:
        """Offer a record."""
        full = len(self._heap) >= self.size
        if not self.size or (full and priority < self._heap[0][0]):
            return
        self._added += 1
        entry = (priority, _hash_of(record), -self._added, record)
        if full:
            heapq.heappushpop(self._heap, entry)
        else:
            heapq.heappush(self._heap, entry)

    def records(self) -> list[Record]:
        """Highest priority first."""
        return [entry[3] for entry in sorted(self._heap, key=lambda entry: entry[:3], reverse=True)]


def _hash_of(record: Record) -> bytes:
    name = str(record.get("id") or record.get("path") or "")
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
