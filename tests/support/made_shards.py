"""Records with arrays, and a writer of shards for them."""

from pathlib import Path
from typing import Any

from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter


def make(index: int, **arrays: Any) -> Record:
    record = Record({"id": f"é {index}", "path": f"{index}.mp4", "extra": [index, None]}, position=index)
    record.arrays = arrays
    return record


def writer(folder: Path, kind: str, **options: Any) -> ShardWriter:
    return ShardWriter(folder, stage="features", kind=kind, provenance={"seed": 3, "fps": 1.0}, **options)
