"""Random numbers by key: draws for a record depend on its ID and the epoch, never on order, batch or worker."""

import hashlib

import numpy as np


def keyed_rng(seed: int, stage: str, record_id: str, epoch: int = 0, draw: int = 0) -> np.random.Generator:
    """A random generator for one (seed, stage, record, epoch, draw).

    >>> bool(keyed_rng(0, "train", "a.mp4", 3).random() == keyed_rng(0, "train", "a.mp4", 3).random())
    True
    """
    return np.random.Generator(
        np.random.Philox(key=int.from_bytes(_digest(seed, stage, record_id, epoch, draw), "big"))
    )


def keyed_seed(seed: int, stage: str, record_id: str = "", epoch: int = 0, draw: int = 0) -> int:
    """A 63-bit seed from the same key, for the generators of other libraries."""
    return int.from_bytes(_digest(seed, stage, record_id, epoch, draw)[:8], "big") >> 1


def _digest(seed: int, stage: str, record_id: str, epoch: int, draw: int) -> bytes:
    """16 bytes. Each text is preceded by its length, so that different keys have different bytes."""
    texts = [text.encode("utf-8", "surrogatepass") for text in (stage, record_id)]
    key = b"".join(len(text).to_bytes(8, "big") + text for text in texts)
    return hashlib.blake2b(f"{seed},{epoch},{draw},".encode() + key, digest_size=16).digest()
