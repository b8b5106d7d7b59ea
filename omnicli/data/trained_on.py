"""What a checkpoint remembers of its training data: enough to refuse a test on the same videos, and no names.

The meta of a checkpoint holds ``trained_on``: 64-bit digests of the ids, media paths, parents and contents of the
target and auxiliary records, base64 of little-endian numbers. Ours: of the target, and of all auxiliary sources
together, at most 131,072 records each, evenly spaced, so that a checkpoint grows by 9 MB at most and by 100 KB for
3,000 records. What is left out of a larger set can only hide an overlap that is small.
"""

import base64
import hashlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnicli.data.overlap import Identity, InOrder, identity_of, in_threads
from omnicli.streams.files.content import content_key
from omnicli.streams.record import Record

MAX_RECORDS = 1 << 17
KINDS = ("names", "parents", "contents")


@dataclass(frozen=True)
class TrainedOn:
    """Digests of training data.

    Attributes:
        names: (N,) uint64, sorted: of ids and media paths.
        parents: (P,) uint64, sorted: of the videos that clips come from.
        contents: (C,) uint64, sorted: of the bytes of media.
        is_complete: every record and its content is among them.
    """

    names: np.ndarray
    parents: np.ndarray
    contents: np.ndarray
    is_complete: bool

    @classmethod
    def of(
        cls, target: Sequence[Record], auxiliary: Sequence[Record], *, root: str | None, workers: int
    ) -> "TrainedOn":
        """What a checkpoint remembers of these records; opens their files in threads."""
        names, parents, contents = array("Q"), array("Q"), array("Q")
        num_unknown = 0

        def files_of(chosen: Sequence[Record], identity: Identity) -> Iterator[str | None]:
            """The file of each record, whose names are taken on the way."""
            for record in chosen:
                own = identity.names(record)
                names.extend(_digest(name) for name, kind in own.items() if kind != "parent")
                parents.extend(_digest(name) for name, kind in own.items() if kind == "parent")
                yield identity.file(record)

        for records in (target, auxiliary):
            identity, chosen = identity_of(_evenly_spaced(records, MAX_RECORDS), root)
            num_unknown += len(records) - len(chosen)
            for key in in_threads(content_key, files_of(chosen, identity), workers):
                num_unknown += key is None
                contents.extend(() if key is None else (key,))
        return cls(_sorted(names), _sorted(parents), _sorted(contents), is_complete=not num_unknown)

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> "TrainedOn | None":
        """The inverse of ``to_meta``; None for a checkpoint without it, of an earlier version or another program."""
        stored = meta.get("trained_on")
        if not isinstance(stored, Mapping):
            return None
        try:
            names, parents, contents = (np.frombuffer(base64.b64decode(stored[kind]), "<u8") for kind in KINDS)
        except (KeyError, TypeError, ValueError):
            return None
        return cls(names, parents, contents, is_complete=stored.get("is_complete") is True)

    def joined(self, other: "TrainedOn | None") -> "TrainedOn":
        """The data of both: of a training, and of the checkpoint that it starts from."""
        if other is None:
            return self
        pairs = [(self.names, other.names), (self.parents, other.parents), (self.contents, other.contents)]
        names, parents, contents = (np.union1d(*pair).astype("<u8") for pair in pairs)
        return TrainedOn(names, parents, contents, is_complete=self.is_complete and other.is_complete)

    def to_meta(self) -> dict[str, Any]:
        """JSON object for the meta of a checkpoint."""
        arrays = (self.names, self.parents, self.contents)
        stored = {kind: base64.b64encode(array.tobytes()).decode() for kind, array in zip(KINDS, arrays, strict=True)}
        return {**stored, "is_complete": self.is_complete}

    def why_known(self, record: Record, identity: Identity) -> str:
        """Why the model has learnt from a record: "same content", "same parent", "same id" or "same path"; "" if not.

        Ours: files of the same name and another content, below another root, are not the same.
        """
        file = identity.file(record)
        content = None if file is None else content_key(file)
        if content is not None and _holds(self.contents, content):
            return "same content"
        names = identity.names(record)
        own = [_digest(name) for name, kind in names.items() if kind == "parent"]
        if any(_holds(self.parents, _digest(name)) for name in names) or any(_holds(self.names, key) for key in own):
            return "same parent"
        if content is not None and self.is_complete:
            return ""
        return next((f"same {kind}" for name, kind in names.items() if _holds(self.names, _digest(name))), "")


def _evenly_spaced(records: Sequence[Record], count: int) -> Sequence[Record]:
    if len(records) <= count:
        return records
    return InOrder(records, np.arange(count) * len(records) // count)


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _sorted(keys: "array[int]") -> np.ndarray:
    return np.unique(np.asarray(keys, "<u8"))


def _holds(keys: np.ndarray, key: int) -> bool:
    row = int(np.searchsorted(keys, np.uint64(key)))
    return row < len(keys) and int(keys[row]) == key
