"""Records to scores: media, views, models and batches joined.

What filter, eval and features have in common.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from omnicli.cpus import available_cores
from omnicli.data.transforms import centre_crop, normalise, resize_short_side
from omnicli.errors import MediaError, ModelError, UsageError
from omnicli.inference.ensemble import mean_scores
from omnicli.inference.feature_scorer import RowReader, score_rows
from omnicli.inference.predictor import Forward, predict
from omnicli.inference.views import ViewOptions, feature_indices, frames_at_times, read_views
from omnicli.media.parallel import Idle, parallel_map
from omnicli.media.source import open_media
from omnicli.models.loading import LoadedModel
from omnicli.models.recogniser import ClipModel
from omnicli.reasons import unreadable
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.shards.features import in_turn

READ_AHEAD = 4  # records a worker may be ahead of the model
ReadViews = Callable[[Record], Sequence[np.ndarray]]


def score_records(
    records: Iterable[Record],
    *,
    teachers: Sequence[LoadedModel],
    views: ViewOptions,
    batch_size: int,
    workers: int | None = None,
    passes: Callable[[Record], bool] | None = None,
    on_drop: OnDrop,
) -> Iterator[tuple[Record, np.ndarray | None]]:
    """Class scores of every record, in order: the mean over teachers of their softmax (Sec. 3.4).

    Args:
        records: images, videos, folders of frames, or rows of features of the teachers' own backbone.
        teachers: one or more, with the same classes in the same order (see ``align_classes``).
        views: how each looks at media.
        batch_size: views in one forward pass.
        workers: threads that read and decode; default all cores.
        passes: records for which it is true keep their place in the stream, unread and unscored.
        on_drop: takes what cannot be read, as ``unreadable: why``.

    Yields:
        (record, scores): (K,) float64 that sum to 1; None for records that pass.

    Raises:
        InputError: a row of features of another backbone.
        UsageError: ``views`` that say how media are looked at, and a row of features.
    """
    rows = RowReader(teachers, views.root)
    return in_turn(
        records,
        rows=partial(score_rows, rows=rows, views=views, passes=passes, on_drop=on_drop),
        media=partial(
            _score_media, teachers=teachers, views=views, batch_size=batch_size, workers=workers, passes=passes,
            on_drop=on_drop,
        ),
    )  # fmt: skip


def _score_media(
    records: Iterable[Record],
    *,
    teachers: Sequence[LoadedModel],
    views: ViewOptions,
    batch_size: int,
    workers: int | None,
    passes: Callable[[Record], bool] | None,
    on_drop: OnDrop,
) -> Iterator[tuple[Record, np.ndarray | None]]:
    read = partial(read_views, teachers=teachers, views=views)
    forwards = [forward_of(_logits_of(teacher, views), teacher) for teacher in teachers]
    for record, outputs in predict_records(
        records,
        read=read,
        forwards=forwards,
        batch_size=batch_size,
        workers=workers,
        passes=passes,
        on_drop=on_drop,
        keep_in_flight=int(teachers[0].device.type == "cuda"),
    ):
        yield record, None if outputs is None else mean_scores(outputs, teachers, record)


def extract_features(
    records: Iterable[Record],
    *,
    teacher: LoadedModel,
    fps: float,
    num_clips: int = 10,
    root: str | None,
    batch_size: int,
    workers: int | None = None,
    at_sec: Callable[[Record], Sequence[float]] | None = None,
    crop: Callable[[np.ndarray, int], np.ndarray] = centre_crop,
    on_drop: OnDrop,
) -> Iterator[tuple[Record, np.ndarray, np.ndarray]]:
    """Pooled features before the classifier: TSN of every frame at ``fps``, 3D models of clips, TSM of its segments.

    Args:
        records: images (one frame, at 0 s), videos or folders of frames.
        teacher: whose backbone; its classifier plays no part.
        fps: frames a second of a video, for a TSN or a backbone.
        num_clips: clips of a video, spread over it, for a 3D model.
        root: folder that relative paths start from.
        batch_size: frames in one forward pass.
        workers: threads that read and decode.
        at_sec: instead of ``fps``: the times of the frames wanted of a record.
        crop: (frames (F, H, W, 3), size) → (F', size, size, 3), what the model sees of them.
        on_drop: takes what cannot be read, as ``unreadable: why``.

    Yields:
        (record, features (F', D) float32, times (F,) float64 in seconds: of the frame, or the mean of the clip's).

    Raises:
        ModelError: an image for a 3D model.
    """
    times_of: dict[int, np.ndarray] = {}  # position → times, for records in flight
    spec = teacher.spec

    def read(record: Record) -> list[np.ndarray]:
        with open_media(record, root=root) as source:
            if at_sec is None:
                indices = feature_indices(source, record, teacher, fps=fps, num_clips=num_clips)  # (F, T)
            else:
                indices = frames_at_times(source.times, np.asarray(at_sec(record)))[:, None]
            frames = source.read(indices.reshape(-1).tolist(), short_side=spec.short_side)
            times_of[record.position] = np.asarray(source.times)[indices].mean(axis=1)
        cropped = crop(resize_short_side(frames, spec.short_side), spec.crop_size)
        return [cropped.reshape(-1, indices.shape[1], *cropped.shape[1:])]  # (F', T, H, W, 3)

    forward = forward_of(teacher.model.features, teacher)
    for record, outputs in predict_records(
        records,
        read=read,
        forwards=[forward],
        batch_size=batch_size,
        workers=workers,
        on_drop=on_drop,
        keep_in_flight=int(teacher.device.type == "cuda"),
    ):
        times = times_of.pop(record.position)
        if outputs is not None:
            yield record, outputs[0], times


def half_precision(features: np.ndarray, where: str) -> np.ndarray:
    """Features as float16, as they are stored; every verdict is taken on these.

    Raises:
        ModelError: one is not finite, or too large; ``where`` names the record.
    """
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
        rounded = features.astype(np.float16)
    if not np.isfinite(rounded).all():
        raise ModelError(f"{where}: features are not finite in float16; is the checkpoint damaged?")
    return rounded


def predict_records(
    records: Iterable[Record],
    *,
    read: ReadViews,
    forwards: Sequence[Forward],
    batch_size: int,
    workers: int | None = None,
    passes: Callable[[Record], bool] | None = None,
    on_drop: OnDrop,
    keep_in_flight: int = 0,
) -> Iterator[tuple[Record, list[np.ndarray] | None]]:
    """Decode in threads, run in batches, give back in order; unreadable media leave through ``on_drop``.

    Yields:
        (record, outputs): for each forward (V, K) float32; None for records that ``passes`` lets through.
    """
    num_workers = workers or available_cores()
    bad: dict[int, str] = {}  # position → why, for records in flight
    passed: set[int] = set()
    nothing = [np.empty((0, 0, 0, 0, 0), dtype=np.uint8)] * len(forwards)

    def try_read(record: Record) -> tuple[Record, Sequence[np.ndarray]]:
        if passes is not None and passes(record):
            passed.add(record.position)
            return record, nothing
        try:
            return record, read(record)
        except MediaError as error:
            bad[record.position] = str(error)
            return record, nothing

    items: Iterator[tuple[Record, Sequence[np.ndarray]] | Idle] = parallel_map(
        try_read, records, workers=num_workers, ahead=READ_AHEAD * num_workers
    )
    for record, outputs in predict(items, forwards, batch_size=batch_size, keep_in_flight=keep_in_flight):
        if record.position in bad:
            on_drop(record, unreadable(bad.pop(record.position)))
        elif record.position in passed:
            passed.remove(record.position)
            yield record, None
        else:
            yield record, outputs


def forward_of(model: nn.Module | Callable[[Tensor], Tensor], teacher: LoadedModel) -> Forward:
    """Views (B, T, H, W, 3) uint8 on the host → outputs (B, K) on the teacher's device."""

    def forward(views: Tensor) -> Tensor:
        clips = normalise(
            views, mean=teacher.spec.mean, std=teacher.spec.std, dtype=teacher.precision, device=teacher.device
        )
        return model(clips)

    return forward


def _logits_of(teacher: LoadedModel, views: ViewOptions) -> Callable[[Tensor], Tensor]:
    """Normalised clips (N, C, T, H, W) to logits (N, K).

    Raises:
        UsageError: ``fully_convolutional`` where it would do nothing.
    """
    if not views.fully_convolutional:
        return teacher.model
    model = teacher.model
    if not isinstance(model, ClipModel):
        raise UsageError(
            f"--fully-convolutional is for 3D models; {teacher.name} averages before the softmax, so for it "
            "--crops full is the same"
        )
    if views.crops != "full" and (views.crop_size or 0) <= teacher.spec.crop_size:
        raise UsageError(
            f"--fully-convolutional: needs more than the {teacher.spec.crop_size} pixels that {teacher.name} was "
            "trained on: give --crops full or a larger --crop-size"
        )

    def mean_over_windows(clips: Tensor) -> Tensor:
        """Logits whose scores, at the temperature, are the mean scores of all windows."""
        logits = model.window_logits(clips, crop_size=teacher.spec.crop_size) / teacher.temperature  # (N, P, K)
        if teacher.spec.multi_label:
            mean = torch.logit(torch.sigmoid(logits.double()).mean(dim=1))
        else:
            mean = torch.logsumexp(torch.log_softmax(logits, dim=-1), dim=1)
        return mean.float() * teacher.temperature

    return mean_over_windows
