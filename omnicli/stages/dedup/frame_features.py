"""Frame features of any record: of an image or video by a model, of a row of a shard as they lie there."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from omnicli.data.transforms import five_crops
from omnicli.errors import InputError
from omnicli.inference.protocols import ExtractFeatures
from omnicli.inference.scorer import half_precision
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.shards.features import (
    BACKBONE_ATTRIBUTES,
    StoredFeatures,
    is_same_model,
    is_stored,
    read_stored_or_media,
)

NUM_CROPS = 5

FrameTimes = Callable[[Record], Sequence[float]]
"""The times in seconds of the frames that are wanted of a record."""


class FrameFeatures(NamedTuple):
    """What is known of one record.

    Attributes:
        record: as it came.
        features: (F, D) float16.
        times: (F,) float64 seconds.
        made_of: the record of the media: ``record`` itself, unless that is a row of a shard.
    """

    record: Record
    features: np.ndarray
    times: np.ndarray
    made_of: Record


class Extractors(NamedTuple):
    """``inference.scorer.extract_features`` with a model.

    Attributes:
        usual: the model in the precision of the run.
        exact: the same in float32; ``usual`` itself if that is in float32, or if nothing needs float32.
    """

    usual: ExtractFeatures
    exact: ExtractFeatures


class FrameReader:
    """Reads the features of records and sees that all are of one model.

    Args:
        load: loads the model at the first image or video.
        backbone: the model, as attributes of feature shards (``StoredFeatures.backbone``).
        root: folder that relative paths start from.
    """

    def __init__(self, load: Callable[[], Extractors], *, backbone: Mapping[str, Any], root: str | None = None) -> None:
        self._load = load
        self._backbone = dict(backbone)
        self._stored = StoredFeatures(root)
        self._first: tuple[str, dict[str, Any], int] | None = None  # where, backbone and width of the first features
        self._checked = ""  # path of the last shard

    @property
    def has_exact(self) -> bool:
        """Whether images and videos are read in another precision than float32, and can be read in float32."""
        return self._extractors.usual is not self._extractors.exact

    @cached_property
    def _extractors(self) -> Extractors:
        """The model at work. Raises InputError where the features read so far are of another."""
        if self._first is not None and not is_same_model(self._first[1], self._backbone):
            where, backbone, width = self._first
            raise InputError(
                f"{_shown(where, backbone, width)}, but images and videos would get those of {_model(self._backbone)}; "
                "features of two models cannot be compared: give --backbone and --weights, or --checkpoint, as they "
                "were given there"
            )
        return self._load()

    def read(
        self, records: Iterable[Record], *, fps: float | None = None, exact: bool = False, on_drop: OnDrop
    ) -> Iterator[FrameFeatures]:
        """The features of every record that can be read, in order.

        Args:
            records: media, or rows of feature shards.
            fps: frames per second of videos; None: that of ``load``.
            exact: read media in float32.
            on_drop: takes unreadable records.

        Raises:
            InputError: features of another model, or of another width, than the first ones read.
        """
        return read_stored_or_media(
            records, rows=self._read_rows, media=partial(self._read_media, fps=fps, exact=exact, on_drop=on_drop)
        )

    def read_crops(
        self, records: Iterable[Record], *, at_sec: FrameTimes, on_drop: OnDrop
    ) -> Iterator[tuple[Record, np.ndarray]]:
        """(record, (F, 5, D) float16 features of five crops of each frame at these times); records are media."""
        extract = partial(self._extractors.exact, crop=five_crops)
        for record, half in self._read_at(extract, records, at_sec, on_drop):
            yield record, half.reshape(-1, NUM_CROPS, half.shape[1])

    def read_frames(
        self, records: Iterable[Record], *, at_sec: FrameTimes, exact: bool, on_drop: OnDrop
    ) -> Iterator[tuple[Record, np.ndarray]]:
        """(record, (F, D) float16 features of the frames at these times); arguments as of ``read``, for media."""
        yield from self._read_at(self._extractors.exact if exact else self._extractors.usual, records, at_sec, on_drop)

    def _read_at(
        self, extract: ExtractFeatures, records: Iterable[Record], at_sec: FrameTimes, on_drop: OnDrop
    ) -> Iterator[tuple[Record, np.ndarray]]:
        for record, features, _ in extract(records, at_sec=at_sec, on_drop=on_drop):
            half = half_precision(features, record.where)
            self._check(record, self._backbone, half.shape[1])
            yield record, half

    def _read_media(
        self, records: Iterable[Record], *, fps: float | None, exact: bool, on_drop: OnDrop
    ) -> Iterator[FrameFeatures]:
        chosen = self._extractors.exact if exact else self._extractors.usual
        extract = chosen if fps is None else partial(chosen, fps=fps)
        for record, features, times in extract(records, on_drop=on_drop):
            half = half_precision(features, record.where)
            self._check(record, self._backbone, half.shape[1])
            yield FrameFeatures(record, half, times.astype(np.float64), record)

    def _read_rows(self, records: Iterable[Record]) -> Iterator[FrameFeatures]:
        for record in records:
            features, times, made_of = self._stored.read(record)
            if record["path"] != self._checked:
                self._check(record, self._stored.backbone(record), features.shape[1])
                self._checked = record["path"]
            yield FrameFeatures(record, features, times, made_of)

    def _check(self, record: Record, backbone: Mapping[str, Any], width: int) -> None:
        where = str(record["path"]) if is_stored(record) else "this run"
        if self._first is None:
            self._first = where, dict(backbone), width
        first_where, first, first_width = self._first
        if width != first_width or not is_same_model(backbone, first):
            raise InputError(
                f"{record.where}: {_shown(where, backbone, width)}, but {_shown(first_where, first, first_width)}; "
                "features of two models cannot be compared: make both with the same --backbone and --weights or "
                "--checkpoint"
            )


def _shown(where: str, backbone: Mapping[str, Any], width: int) -> str:
    return f"{where} has {width} features of {_model(backbone)}"


def _model(backbone: Mapping[str, Any]) -> str:
    shown = {name: str(backbone[name])[:16] for name in BACKBONE_ATTRIBUTES if name in backbone}
    return ", ".join(f"{name} {value}" for name, value in shown.items()) or "an unknown model"
