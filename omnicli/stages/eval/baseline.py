"""What another model made of the same records: scores it left in shards, found by id."""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from omnicli.errors import InputError
from omnicli.stages.eval.fusion import ScoreSet, same_labels, stored_scores
from omnicli.streams.record import Record
from omnicli.streams.shards.reader import ShardReader


@contextlib.contextmanager
def open_baseline(baseline: ScoreSet) -> Iterator[Callable[[Record], np.ndarray]]:
    """A function that gives the scores (K,) float32 of a record with ``id`` and ``label``, as they were stored.

    Raises:
        InputError: (the function) the id has no scores, or for another label; or its row holds none.
    """
    with contextlib.ExitStack() as stack:
        readers = {shard: stack.enter_context(ShardReader(shard)) for shard in baseline.shards}

        def find(record: Record) -> np.ndarray:
            name = str(record["id"])
            at = baseline.rows.get(name)
            if at is None:
                raise InputError(
                    f"{baseline.name}: no scores for id {name!r} of {record.where}; a baseline needs the same records"
                )
            if not same_labels(at.label, record["label"]):
                raise InputError(
                    f"{at.path}:{at.row + 1}: id {name!r} has label {at.label}, but {record['label']} at {record.where}"
                )
            return stored_scores(readers[at.path], at.row).astype(np.float32)

        yield find
