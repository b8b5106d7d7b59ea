"""Records that a model is tested on and has learnt from: its accuracy on them is not a test."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from omnicli.data.overlap import Identity, shown_record
from omnicli.data.trained_on import TrainedOn
from omnicli.errors import InputError
from omnicli.streams.record import Record

NUM_SHOWN = 3
ADVICE = "take them out (omni dedup --target TRAIN finds more), or --allow-overlap"


def check_untrained(
    read: Callable[[], Iterable[Record]] | None, meta: Mapping[str, Any], *, model: str, root: str | None
) -> str:
    """Read all records and say which of them the model has learnt from; "" if none, or if nobody knows.

    Args:
        read: the records; None if they can be read only once (see ``refuse_trained``).
        meta: of the checkpoint.
        model: its path, for the message.
        root: folder that relative paths start from.
    """
    trained_on = TrainedOn.from_meta(meta)
    if trained_on is None or read is None:
        return ""
    num_records = 0

    def counted() -> Iterator[Record]:
        nonlocal num_records
        for record in read():
            num_records += 1
            yield record

    known = _known(counted(), trained_on, root)
    shown = [f"{shown_record(record)} ({why})" for record, why in islice(known, NUM_SHOWN)]
    if not shown:
        return ""
    num_known = len(shown) + sum(1 for _ in known)
    more = ", ..." if num_known > NUM_SHOWN else ""
    return f"{model} was trained on {num_known:,} of {num_records:,} records: {', '.join(shown)}{more}"


def refuse_trained(
    records: Iterable[Record], meta: Mapping[str, Any], *, model: str, root: str | None
) -> Iterator[Record]:
    """The records of a pipe, up to the first that the model has learnt from.

    Raises:
        InputError: names that record.
    """
    trained_on, identity = TrainedOn.from_meta(meta), Identity(root)
    for record in records:
        if trained_on and (why := trained_on.why_known(record, identity)):
            raise InputError(f"{model} was trained on {shown_record(record)} ({why}), among others; {ADVICE}")
        yield record


def _known(records: Iterable[Record], trained_on: TrainedOn, root: str | None) -> Iterator[tuple[Record, str]]:
    identity = Identity(root)
    for record in records:
        if why := trained_on.why_known(record, identity):
            yield record, why
