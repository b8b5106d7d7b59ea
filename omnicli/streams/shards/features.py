"""Stored features: the arrays of a record that is a row of a shard, read many rows at a time."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

import numpy as np

from omnicli.errors import InputError
from omnicli.reasons import unreadable
from omnicli.streams.files.media_files import media_path
from omnicli.streams.reading import reading
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.shards.reader import ShardReader, open_shard
from omnicli.streams.stage_run import Stage

T = TypeVar("T")

ROWS_AT_ONCE = 256  # read together if rows are requested in order
CONTENT = "content"  # attribute: digest of the backbone itself, in shards of this version
BACKBONE_ATTRIBUTES = ("backbone", "weights", "checkpoint")  # of a shard, which identify the model of its features


class FeatureRow(NamedTuple):
    """One row of a shard.

    Attributes:
        features: (F, D) float16.
        times: (F,) float64 seconds.
        made_of: the record whose features were made; its ``path`` is that of the image or video.
    """

    features: np.ndarray
    times: np.ndarray
    made_of: Record


def check_backbone(
    record: Record,
    attributes: Mapping[str, Any],
    *,
    model: str,
    signature: str,
    weights: str | None,
    digests: Collection[str | None],
    content: Callable[[], str],
    advice: str,
) -> None:
    """Check that the features of a record's shard are those that a model's backbone gives.

    Args:
        record: names the file and line in the message.
        attributes: of the shard.
        model: name of the model, for the message.
        signature: the backbone's architecture and input (``ModelSpec.signature``).
        weights: SHA-256 of the weights, "" for ImageNet's, None for the model's own; for the message.
        digests: SHA-256 of the files that the backbone may come from; "" for ImageNet's weights.
        content: digest of the backbone itself (``models.content``), asked for where the files differ.
        advice: what to do, for the message.

    Raises:
        InputError: the features are of another backbone.
    """
    stored = attributes.get(CONTENT)
    is_same = _is_same_backbone(attributes, digests, signature)
    if stored and (not is_same or not _weights_digest(attributes)):  # ImageNet weights are of many kinds
        is_same = _is_signature(attributes.get("looks"), signature) and stored == content()
    if not is_same:
        of_weights = "weights of its own" if weights is None else weights[:12] or "ImageNet"
        raise InputError(
            f"{record.where}: features by {describe_backbone(attributes)}, "
            f"and {model} is {signature} of {of_weights}; {advice}"
        )


def _is_same_backbone(attributes: Mapping[str, Any], digests: Collection[str | None], signature: str) -> bool:
    """True for features of this backbone. Shards of older versions store only a part of its signature."""
    made_with = _weights_digest(attributes)
    if made_with not in digests:
        return False
    if attributes.get("looks"):
        return _is_signature(attributes["looks"], signature)
    backbone, _, seen = attributes.get("backbone"), *signature.partition(" ")[1:]
    return bool(made_with) if backbone is None else _is_signature(f"tsn-{backbone} {seen}", signature)


def _is_signature(stored: Any, signature: str) -> bool:
    """True for the stored signature of a backbone, in which older versions kept the tag of pretrained weights."""
    name, _, rest = str(stored).partition(" ")
    return stored == signature or f"{name.partition('.')[0]} {rest}" == signature


def is_same_model(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """True if two shards, by ``StoredFeatures.backbone``, hold features of one model: of one file or of equal weights.

    >>> is_same_model({"checkpoint": "a", "content": "c"}, {"checkpoint": "b", "content": "c"})
    True
    """
    if all(ours.get(name) == theirs.get(name) for name in BACKBONE_ATTRIBUTES):
        return True
    pairs = [(each.get(CONTENT), each.get("looks")) for each in (ours, theirs)]
    return bool(pairs[0][0]) and pairs[0] == pairs[1]


def describe_backbone(attributes: Mapping[str, Any]) -> str:
    """The backbone and weights of a shard's features, for messages."""
    made_with = _weights_digest(attributes)
    backbone = attributes.get("looks") or attributes.get("backbone")
    return f"{backbone} of {made_with[:12] or 'ImageNet'}" if backbone else made_with[:12] or "ImageNet"


def is_stored(record: Record) -> bool:
    """True for a record whose features are in a shard."""
    return record.get("media") == "features"


def read_stored_or_media(
    records: Iterable[Record],
    *,
    rows: Callable[[Iterable[Record]], Iterator[T]],
    media: Callable[[Iterable[Record]], Iterator[T]],
) -> Iterator[T]:
    """Apply ``rows`` to records with stored features and ``media`` to the others, and yield all in input order."""
    for stored, run in groupby(records, key=is_stored):
        yield from (rows if stored else media)(run)


def as_media(record: Record, made_of: Record) -> Record:
    """The record of a row with ``path`` and ``media`` of the image or video that it was made of."""
    made = record.derive()
    for field in ("path", "row", "media"):
        made.pop(field, None)
    made.update({field: made_of[field] for field in ("path", "media") if made_of.get(field) is not None})
    return made


def made_of(record: Record, root: str | None) -> Record:
    """The record of the image or video that a row of features was made of, without reading the features.

    Raises:
        InputError: the record names no row, or the shard is missing, damaged or of another kind.
    """
    row = int(record.require("row"))
    shard = open_shard(media_path(record, root))
    _check_row(shard, row)
    return shard.stored_records(row, row + 1)[0]


def output_as_media(stage: Stage, root: str | None) -> Stage:
    """The stage with each output row replaced by ``as_media``; rows that cannot be read are dropped."""

    def run(records: Iterator[Record], on_drop: OnDrop) -> Iterator[Record]:
        stored = StoredFeatures(root)
        for record in stage(records, on_drop):
            if not is_stored(record):
                yield record
                continue
            try:
                with reading(record):
                    made_of = stored.read(record).made_of
            except InputError as error:
                on_drop(record, unreadable(error))
            else:
                yield as_media(record, made_of)

    return run


class StoredFeatures:
    """Reads rows of feature shards, many at once if they are requested in order.

    Args:
        root: folder of relative paths.
    """

    def __init__(self, root: str | None = None) -> None:
        self._root = root
        self._path = ""
        self._first = self._next = 0
        self._rows: list[FeatureRow] = []

    def read(self, record: Record) -> FeatureRow:
        """The features of a record for which ``is_stored``.

        Raises:
            InputError: the record names no row, or the shard is missing, damaged or of another kind.
        """
        path, row = media_path(record, self._root), int(record.require("row"))
        if path != self._path or not 0 <= row - self._first < len(self._rows):
            in_order = row == (self._next if path == self._path else 0)
            self._rows = _read_rows(path, row, ROWS_AT_ONCE if in_order else 1)
            self._path, self._first = path, row
            self._next = row + len(self._rows)
        return self._rows[row - self._first]

    def backbone(self, record: Record) -> dict[str, Any]:
        """What identifies the model of the record's shard, for ``is_same_model``."""
        attributes = self.attributes(record)
        names = (*BACKBONE_ATTRIBUTES, "looks", CONTENT)
        return {name: attributes[name] for name in names if attributes.get(name) is not None}

    def attributes(self, record: Record) -> dict[str, Any]:
        """The attributes of the record's shard."""
        return open_shard(media_path(record, self._root)).attributes


def _weights_digest(attributes: Mapping[str, Any]) -> str:
    """SHA-256 of the weights that made the features; "" for those of ImageNet."""
    return attributes.get("checkpoint") or attributes.get("weights") or ""


def _read_rows(path: str, row: int, num_rows: int) -> list[FeatureRow]:
    shard = open_shard(path)
    _check_row(shard, row)
    features, times, counts = shard.feature_block(row, row + num_rows)
    ends = counts.cumsum().tolist()
    starts = [0, *ends[:-1]]
    records = shard.stored_records(row, row + num_rows)
    return [
        FeatureRow(features[start:end], times[start:end], record)
        for start, end, record in zip(starts, ends, records, strict=True)
    ]


def _check_row(shard: ShardReader, row: int) -> None:
    if shard.kind != "features":
        raise InputError(f"{shard.path}: holds {shard.kind}, not features")
    if not 0 <= row < len(shard):
        raise InputError(f"{shard.path}: no row {row}; it has rows 0 to {len(shard) - 1}")
