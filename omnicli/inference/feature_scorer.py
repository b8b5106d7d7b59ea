"""Scores of features that ``omni features`` stored: only the classifier runs, which takes a fraction of the time.

A row of a feature shard holds the features of an image, of a video's frames at some rate, or of its clips. The scores
average over them as the model's own views of the media would.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from omnicli.errors import InputError, ModelError, UsageError
from omnicli.inference.ensemble import chunk_scores, mean_scores
from omnicli.inference.protocols import RecordTest, TimedScores
from omnicli.inference.views import ViewOptions
from omnicli.models.loading import LoadedModel
from omnicli.models.video.registry import published_test
from omnicli.reasons import unreadable
from omnicli.streams.files.sniff import VIDEO_SUFFIXES
from omnicli.streams.reading import reading
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.shards.features import FeatureRow, StoredFeatures, check_backbone

DEFAULT_FPS = 1.0  # of omni features


class FeatureRowReader:
    """Reads rows of feature shards and checks that they come from the backbone of every model.

    Args:
        models: their classifiers score the rows.
        root: folder that relative paths of shards start from.
    """

    def __init__(self, models: Sequence[LoadedModel], root: str | None = None) -> None:
        self.models = models
        self._stored = StoredFeatures(root)
        self._checked = ""  # path of the last shard

    def read(self, record: Record, on_drop: OnDrop) -> FeatureRow | None:
        """The record's row; None if the shard cannot be read, which ``on_drop`` receives.

        Raises:
            InputError: the record names no row, or its features come from another backbone.
        """
        record.require("row")
        try:
            with reading(record):
                row = self._stored.read(record)
        except InputError as error:
            on_drop(record, unreadable(error))
            return None
        if not len(row.features):
            on_drop(record, "unreadable: a row without a feature")
            return None
        if record["path"] != self._checked:
            for model in self.models:
                _check_backbone(record, self._stored.attributes(record), row.features.shape[1], model)
            self._checked = record["path"]
        return row

    def logits(self, row: FeatureRow) -> list[np.ndarray]:
        """For each model (F, K) float32, one row per frame or clip."""
        return [_logits(row.features, model) for model in self.models]

    def fps(self, record: Record) -> float:
        """Frames per second at which the features of the record's shard were taken."""
        return float(self._stored.attributes(record).get("fps") or DEFAULT_FPS)


def score_feature_rows(
    records: Iterable[Record], reader: FeatureRowReader, views: ViewOptions, skip: RecordTest | None, on_drop: OnDrop
) -> Iterator[tuple[Record, np.ndarray | None]]:
    """``scorer.score_records`` for rows of features. Rows are cheap to read, so nothing is read ahead.

    Raises:
        InputError: features of another backbone.
        UsageError: ``views`` differs from the default, which has no effect on features.
    """
    for record in records:
        if skip is not None and skip(record):
            yield record, None
            continue
        if replace(views, root=None) not in (ViewOptions(), _published_views(reader.models[0])):
            raise UsageError(
                f"{record.where}: features are computed already; options that choose frames, crops or sizes have no "
                "effect on them"
            )
        row = reader.read(record, on_drop)
        if row is not None:
            yield record, mean_scores(reader.logits(row), reader.models, record)


def _published_views(model: LoadedModel) -> ViewOptions:
    """The views that nobody asked for: those of the published test of another library's model."""
    spec = model.spec
    return ViewOptions(**published_test(spec.name, short_side=spec.short_side, crop_size=spec.crop_size))


def score_feature_frames(
    records: Iterable[Record], reader: FeatureRowReader, *, fps: float | None, skip: RecordTest, on_drop: OnDrop
) -> Iterator[tuple[Record, TimedScores | None]]:
    """``video_scorer.score_videos`` for rows of features: one score per stored frame.

    Args:
        records: rows.
        reader: reads them.
        fps: the wanted rate; None for keyframes, which are not stored.
        skip: records to yield unscored; rows of images are yielded unscored too.
        on_drop: receives rows that cannot be read.

    Yields:
        (record, scores at (F,) times); None for a record that is skipped.

    Raises:
        InputError: features of another backbone or another frame rate.
        ModelError: a model does not score single frames.
    """
    for record in records:
        row = reader.read(record, on_drop)
        if row is None:
            continue
        if skip(record) or _is_still(row):
            yield record, None
            continue
        if not all(model.network.is_framewise for model in reader.models):
            raise ModelError(
                f"{record.where}: stored features cannot be segmented by {reader.models[0].name}, which does not score "
                "single frames; give the videos instead"
            )
        if (own := reader.fps(record)) != fps:
            raise InputError(
                f"{record.where}: features at {own:g} frames per second; give --fps {own:g} without --frames, or give "
                "the videos instead"
            )
        times_sec, first_rows = np.unique(row.times, return_index=True)  # a slow video's frames are stored repeatedly
        scores = chunk_scores([logits[first_rows] for logits in reader.logits(row)], reader.models, record)
        yield record, TimedScores(times_sec, scores)


def _is_still(row: FeatureRow) -> bool:
    """True for a row of an image, whose record need not say so: one feature at 0 s, and not of a video by its name."""
    kind = row.made_of.get("media")
    if kind is not None:
        return bool(kind == "image")
    return row.times.tolist() == [0.0] and not str(row.made_of.get("path")).lower().endswith(VIDEO_SUFFIXES)


def _logits(features: np.ndarray, model: LoadedModel) -> np.ndarray:
    with torch.inference_mode():
        rows = torch.from_numpy(features.astype(np.float32)).to(model.device)
        logits: np.ndarray = model.network.classify(rows).cpu().numpy()
    return logits


def _check_backbone(record: Record, attributes: Mapping[str, Any], width: int, model: LoadedModel) -> None:
    """Check that the model's own backbone gave the features. Raises InputError."""
    digests = {model.sha256} if model.backbone is None else {model.sha256, model.backbone}
    advice = f"give the media, or features made with --checkpoint {model.name} or another of the same backbone"
    check_backbone(
        record,
        attributes,
        model=model.name,
        signature=model.spec.signature,
        weights=model.backbone,
        digests=digests,
        content=lambda: model.backbone_content,
        advice=advice,
    )
    if width != model.network.fc.in_features:
        raise InputError(
            f"{record.where}: {width} features, and the classifier of {model.name} takes {model.network.fc.in_features}"
        )
