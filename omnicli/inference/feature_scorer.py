"""Scores of features that an earlier run stored: the backbone has worked, only the classifier is left to compute.

What filter, eval and segment do with rows of features (``omni features``), in a fraction of the time that the media
would take. The features of a row are those of its frames at some rate, or of its clips; they are judged as the model's
own views of the media would be.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from omnicli.errors import InputError, ModelError, UsageError
from omnicli.inference.ensemble import mean_scores, moment_scores
from omnicli.inference.views import ViewOptions
from omnicli.models.loading import LoadedModel
from omnicli.reasons import unreadable
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.shards.features import FeatureRow, StoredFeatures, is_same_backbone, maker_of

DEFAULT_FPS = 1.0  # of omni features


class RowReader:
    """Rows of features, each checked to be of the backbone of every teacher.

    Args:
        teachers: whose classifiers will judge.
        root: folder that relative paths of shards start from.
    """

    def __init__(self, teachers: Sequence[LoadedModel], root: str | None = None) -> None:
        self.teachers = teachers
        self._stored = StoredFeatures(root)
        self._checked = ""  # path of the last shard

    def read(self, record: Record, on_drop: OnDrop) -> FeatureRow | None:
        """The record's row; None where that cannot be read, which is told to ``on_drop``.

        Raises:
            InputError: the record names no row, or its features are of another backbone.
        """
        record.require("row")
        try:
            stored = self._stored.read(record)
        except InputError as error:
            on_drop(record, unreadable(error))
            return None
        if not len(stored.features):
            on_drop(record, "unreadable: a row without a feature")
            return None
        if record["path"] != self._checked:
            for teacher in self.teachers:
                _check_backbone(record, self._stored.attributes(record), stored.features.shape[1], teacher)
            self._checked = record["path"]
        return stored

    def logits(self, stored: FeatureRow) -> list[np.ndarray]:
        """Of every teacher, (F, K) float32: one row a frame, or a clip."""
        return [_logits(stored.features, teacher) for teacher in self.teachers]

    def fps(self, record: Record) -> float:
        """At which the frames of the record's shard were taken."""
        return float(self._stored.attributes(record).get("fps") or DEFAULT_FPS)


def score_rows(
    records: Iterable[Record],
    rows: RowReader,
    views: ViewOptions,
    passes: Callable[[Record], bool] | None,
    on_drop: OnDrop,
) -> Iterator[tuple[Record, np.ndarray | None]]:
    """What ``scoring.score_records`` gives of rows of features.

    Nothing is read ahead, for there is nothing to wait for.

    Raises:
        InputError: features of another backbone.
        UsageError: ``views`` that say how media are looked at.
    """
    for record in records:
        if passes is not None and passes(record):
            yield record, None
            continue
        if replace(views, root=None) != ViewOptions():
            raise UsageError(
                f"{record.where}: features are ready; options that say how media are looked at do nothing for them"
            )
        stored = rows.read(record, on_drop)
        if stored is not None:
            yield record, mean_scores(rows.logits(stored), rows.teachers, record)


def score_frames(
    records: Iterable[Record], rows: RowReader, *, fps: float | None, passes: Callable[[Record], bool], on_drop: OnDrop
) -> Iterator[tuple[Record, tuple[np.ndarray, np.ndarray] | None]]:
    """What ``moments.score_moments`` gives of rows of features: every frame is a moment.

    Args:
        records: rows.
        rows: reads them.
        fps: the wanted rate; None for keyframes, which are not stored.
        passes: records for which it is true pass; so do rows of images.
        on_drop: takes rows that cannot be read.

    Yields:
        (record, (times (F,) in seconds, scores (F, K))); None for what passes.

    Raises:
        InputError: features of another backbone, or taken at another rate.
        ModelError: the teachers do not look at frames one by one.
    """
    for record in records:
        stored = rows.read(record, on_drop)
        if stored is None:
            continue
        if passes(record) or stored.made_of.get("media") == "image":
            yield record, None
            continue
        if not all(teacher.model.is_framewise for teacher in rows.teachers):
            raise ModelError(
                f"{record.where}: features, and {rows.teachers[0].name} does not look at frames one by one: give the "
                "videos"
            )
        if (own := rows.fps(record)) != fps:
            raise InputError(
                f"{record.where}: features of {own:g} frames a second; give --fps {own:g}, without --frames, or the "
                "videos"
            )
        times_sec, places = np.unique(stored.times, return_index=True)  # a slow video's frames are stored repeatedly
        scores = moment_scores([logits[places] for logits in rows.logits(stored)], rows.teachers, record)
        yield record, (times_sec, scores)


def _logits(features: np.ndarray, teacher: LoadedModel) -> np.ndarray:
    with torch.inference_mode():
        rows = torch.from_numpy(features.astype(np.float32)).to(teacher.device)
        logits: np.ndarray = teacher.model.classify(rows).cpu().numpy()
    return logits


def _check_backbone(record: Record, attributes: Mapping[str, Any], width: int, teacher: LoadedModel) -> None:
    """The features are those of the teacher's own backbone. Raises InputError."""
    digests = {teacher.sha256} if teacher.backbone is None else {teacher.sha256, teacher.backbone}
    if not is_same_backbone(attributes, digests=digests, looks=teacher.spec.looks):
        backbone = "weights of its own" if teacher.backbone is None else teacher.backbone[:12] or "ImageNet"
        raise InputError(
            f"{record.where}: features by {maker_of(attributes)}, and {teacher.name} is {teacher.spec.looks} of "
            f"{backbone}; give the media, or features made with --checkpoint {teacher.name}"
        )
    if width != teacher.model.fc.in_features:
        raise InputError(
            f"{record.where}: {width} features, and the classifier of {teacher.name} takes "
            f"{teacher.model.fc.in_features}"
        )
