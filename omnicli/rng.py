"""Randomness by key: what is drawn for a record depends on its id and the epoch, never on order, batch or worker."""

import hashlib

import numpy as np


def keyed_rng(seed: int, stage: str, record_id: str, epoch: int = 0, draw: int = 0) -> np.random.Generator:
    """A generator of its own for each (seed, stage, record, epoch, draw) (DESIGN section 5).

    >>> bool(keyed_rng(0, "train", "a.mp4", 3).random() == keyed_rng(0, "train", "a.mp4", 3).random())
    True
    """
    return np.random.Generator(
        np.random.Philox(key=int.from_bytes(_digest(seed, stage, record_id, epoch, draw), "big"))
    )


def keyed_seed(seed: int, stage: str, record_id: str = "", epoch: int = 0, draw: int = 0) -> int:
    """A 63-bit seed for generators of other libraries, from the same key."""
    return int.from_bytes(_digest(seed, stage, record_id, epoch, draw)[:8], "big") >> 1


def _digest(seed: int, stage: str, record_id: str, epoch: int, draw: int) -> bytes:
    """16 bytes; texts carry their length, so that no two keys read the same."""
    texts = [text.encode("utf-8", "surrogatepass") for text in (stage, record_id)]
    key = b"".join(len(text).to_bytes(8, "big") + text for text in texts)
    return hashlib.blake2b(f"{seed},{epoch},{draw},".encode() + key, digest_size=16).digest()
