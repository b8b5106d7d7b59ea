"""What another model made of the same records: scores it left in shards, found by id."""

import numpy as np

from omnicli.data.fusing import ScoreSet, stored_scores
from omnicli.errors import InputError
from omnicli.streams.records import Record
from omnicli.streams.shards import open_shard


def baseline_scores(baseline: ScoreSet, record: Record) -> np.ndarray:
    """(K,) float32 scores of the record with this id, as they were stored.

    Args:
        baseline: the other model's.
        record: with ``id`` and ``label``.

    Raises:
        InputError: it has none, or for another label; or its row holds no scores.
    """
    name = str(record["id"])
    at = baseline.rows.get(name)
    if at is None:
        raise InputError(
            f"{baseline.name}: no scores for id {name!r} of {record.where}; a baseline judges the same records"
        )
    if at.label is not None and at.label != record["label"]:
        raise InputError(
            f"{at.path}:{at.row + 1}: id {name!r} has label {at.label}, but {record['label']} at {record.where}"
        )
    return stored_scores(open_shard(at.path), at.row).astype(np.float32)
