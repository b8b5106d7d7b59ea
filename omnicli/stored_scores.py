"""Scores of features that an earlier run stored: the trunk has worked, only the classifier is left to compute.

What filter, eval and segment do with rows of features (``omni features``), in a fraction of the time that the media
would take. The features of a row are those of its frames at some rate, or of its clips; they are judged as the model's
own views of the media would be.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from omnicli.errors import InputError, ModelError, UsageError
from omnicli.models.teacher import Teacher
from omnicli.streams.records import Record
from omnicli.streams.stored_features import Stored, StoredFeatures
from omnicli.viewing import ViewOptions
from omnicli.voting import mean_scores, moment_scores

DEFAULT_FPS = 1.0  # of omni features
ROUND_DIGITS = 6  # microseconds, as segment rounds


@dataclass
class RowReader:
    """Rows of features, each checked to be of the trunk of every teacher.

    Attributes:
        teachers: whose classifiers will judge.
        root: folder that relative paths of shards start from.
    """

    teachers: Sequence[Teacher]
    root: str | None = None
    _stored: StoredFeatures = field(init=False)
    _checked: str = field(init=False, default="")  # path of the last shard

    def __post_init__(self) -> None:
        self._stored = StoredFeatures(self.root)

    def read(self, records: Iterable[Record]) -> Iterator[tuple[Record, Stored]]:
        """(record, its row) in order.

        Raises:
            InputError: a shard is missing or damaged, its features are of another trunk, or a row has none.
        """
        for record in records:
            stored = self._stored.read(record)
            if record["path"] != self._checked:
                maker = self._stored.maker(record)
                for teacher in self.teachers:
                    _check_trunk(record, maker, stored.features.shape[1], teacher)
                self._checked = record["path"]
            if not len(stored.features):
                raise InputError(f"{record.where}: a row without a feature")
            yield record, stored

    def logits(self, stored: Stored) -> list[np.ndarray]:
        """Of every teacher, (F, K) float32: one row a frame, or a clip."""
        return [_logits(stored.features, teacher) for teacher in self.teachers]

    def fps(self, record: Record) -> float:
        """At which the frames of the record's shard were taken."""
        return float(self._stored.attributes(record).get("fps") or DEFAULT_FPS)


def score_rows(
    records: Iterable[Record], rows: RowReader, views: ViewOptions, passes: Callable[[Record], bool] | None
) -> Iterator[tuple[Record, np.ndarray | None]]:
    """What ``scoring.score_records`` gives of rows of features.

    Nothing is read ahead, for there is nothing to wait for.

    Raises:
        InputError: features of another trunk.
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
        [(_, stored)] = rows.read([record])
        yield record, mean_scores(rows.logits(stored), rows.teachers, record)


def score_frames(
    records: Iterable[Record], rows: RowReader, *, fps: float | None, passes: Callable[[Record], bool]
) -> Iterator[tuple[Record, tuple[np.ndarray, np.ndarray] | None]]:
    """What ``moments.score_moments`` gives of rows of features: every frame is a moment.

    Args:
        records: rows.
        rows: reads them.
        fps: the wanted rate; None for keyframes, which are not stored.
        passes: records for which it is true pass; so do rows of pictures.

    Yields:
        (record, (times (F,) in seconds, scores (F, K))); None for what passes.

    Raises:
        InputError: features of another trunk, or taken at another rate.
        ModelError: the teachers are 3D.
    """
    for record in records:
        [(_, stored)] = rows.read([record])
        if passes(record) or stored.made_of.get("media") == "image":
            yield record, None
            continue
        if not rows.teachers[0].model.is_2d:
            raise ModelError(f"{record.where}: features, and a 3D teacher cuts videos into pieces: give the videos")
        if (own := rows.fps(record)) != fps:
            raise InputError(
                f"{record.where}: features of {own:g} frames a second; give --fps {own:g}, without --frames, or the "
                "videos"
            )
        scores = moment_scores(rows.logits(stored), rows.teachers, record)
        yield record, (np.round(stored.times, ROUND_DIGITS), scores)


def _logits(features: np.ndarray, teacher: Teacher) -> np.ndarray:
    with torch.inference_mode():
        rows = torch.from_numpy(features.astype(np.float32)).to(teacher.device)
        logits: np.ndarray = teacher.model.classify(rows).cpu().numpy()
    return logits


def _check_trunk(record: Record, maker: dict[str, object], width: int, teacher: Teacher) -> None:
    """The features are those of the teacher's own trunk. Raises InputError."""
    made_with = str(maker.get("checkpoint") or maker.get("weights") or "")
    own_width = teacher.model.fc.in_features
    is_same = made_with in (teacher.sha256, teacher.trunk)
    if is_same and not made_with:  # ImageNet's weights: of the same backbone
        is_same = teacher.spec.name.partition("-")[2] == maker.get("backbone")
    if not is_same:
        trunk = f"{teacher.trunk[:12] or 'ImageNet'}" if teacher.trunk is not None else "weights of its own"
        raise InputError(
            f"{record.where}: features of {made_with[:12] or 'ImageNet'}, and {teacher.name} has {trunk}; give the "
            f"media, or features made with --checkpoint {teacher.name}"
        )
    if width != own_width:
        raise InputError(f"{record.where}: {width} features, and the classifier of {teacher.name} takes {own_width}")
