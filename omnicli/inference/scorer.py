"""Records to scores or features: reading, views, batches and models together, for filter, eval, features and dedup."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import attrgetter

import numpy as np
import torch
from torch import Tensor

from omnicli.data.frame_sampling import stacks_at
from omnicli.data.own_view import own_view
from omnicli.data.transforms import centre_crop, resize_short_side
from omnicli.errors import ModelError, UsageError
from omnicli.inference.batcher import Forward
from omnicli.inference.ensemble import mean_scores
from omnicli.inference.feature_scorer import FeatureRowReader, score_feature_rows
from omnicli.inference.predictor import PendingRecord, compiled_forwards, exact_forwards, forward_of, predict_records
from omnicli.inference.protocols import CropFrames, RecordTest, Undecided
from omnicli.inference.rescoring import Again, error_bounds
from omnicli.inference.switching import Compiled
from omnicli.inference.views import ViewOptions, feature_indices, read_views
from omnicli.media.frame_times import frames_at
from omnicli.media.source import open_modality
from omnicli.models.input_sizes import check_view_sizes
from omnicli.models.loading import LoadedModel
from omnicli.models.onnx.onnx_model import OnnxModel
from omnicli.models.recogniser import ClipModel
from omnicli.models.video.library_model import LibraryModel
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.shards.features import read_stored_or_media

WIDER = 32  # pixels, by which whole frames are no squares
RECORD = attrgetter("record")  # of a PendingRecord


def score_records(
    records: Iterable[Record],
    *,
    models: Sequence[LoadedModel],
    views: ViewOptions,
    batch_size: int,
    workers: int | None = None,
    skip: RecordTest | None = None,
    undecided: Undecided | None = None,
    on_drop: OnDrop,
) -> Iterator[tuple[Record, np.ndarray | None]]:
    """Class scores of every record: the mean over models of their softmax (OmniSource Sec. 3.4).

    Args:
        records: images, videos, folders of frames, or rows of features of the models' own backbone.
        models: one or more, with the same classes in the same order (see ``align_classes``).
        views: frames, crops and sizes that each model is shown.
        batch_size: views in one forward pass.
        workers: threads that read and decode; default all cores.
        skip: records to yield unread and unscored.
        undecided: media to score again by the models' ``exact``, if they have one; sets ``rescored``.
        on_drop: receives unreadable records, as ``unreadable: why``.

    Yields:
        (record, scores) in input order: (K,) float64 that sum to 1; None where ``skip`` is true.

    Raises:
        InputError: a row of features of another backbone.
        UsageError: a row of features, and ``views`` that has no effect on it.
    """
    reader = FeatureRowReader(models, views.root)
    return read_stored_or_media(
        records,
        rows=partial(score_feature_rows, reader=reader, views=views, skip=skip, on_drop=on_drop),
        media=partial(
            _score_media, models=models, views=views, batch_size=batch_size, workers=workers, skip=skip,
            undecided=undecided, on_drop=on_drop,
        ),
    )  # fmt: skip


def _score_media(
    records: Iterable[Record],
    *,
    models: Sequence[LoadedModel],
    views: ViewOptions,
    batch_size: int,
    workers: int | None,
    skip: RecordTest | None,
    undecided: Undecided | None,
    on_drop: OnDrop,
) -> Iterator[tuple[Record, np.ndarray | None]]:
    forwards = [forward_of(_logits_of(model, views), model) for model in models]
    compiled = None
    if views.have_one_size:
        compiled = compiled_forwards(models, forwards, lambda model: model.network, RECORD)
    for record, outputs in predict_records(
        records,
        read=partial(read_views, models=models, views=views),
        forwards=forwards,
        again=None if undecided is None else _scored_again(models, forwards, compiled, views, undecided),
        compiled=compiled,
        batch_size=batch_size,
        workers=workers,
        skip=skip,
        on_drop=on_drop,
        keep_in_flight=int(models[0].device.type == "cuda"),
    ):
        yield record, None if outputs is None else mean_scores(outputs, models, record)


def _scored_again(
    models: Sequence[LoadedModel],
    forwards: Sequence[Forward],
    compiled: Compiled[PendingRecord] | None,
    views: ViewOptions,
    undecided: Undecided,
) -> Again[PendingRecord] | None:
    """All views of the records whose scores do not decide; None if all models are in float32."""
    exact = exact_forwards(models, forwards, lambda model: _logits_of(model, views))
    if exact is None:
        return None
    bound_of = error_bounds(models, forwards, compiled, exact)

    def choose(pending: PendingRecord, outputs: Sequence[np.ndarray], views: Sequence[np.ndarray]) -> slice | None:
        if pending.is_skipped or pending.error or not all(map(len, views)):
            return None
        record = pending.record
        error = max(float(errors.max()) for errors in bound_of(pending).of(outputs, views))
        if not undecided(record, mean_scores(outputs, models, record), error):
            return None
        record.rescored = 1
        return slice(None)

    return Again(choose, exact)


def extract_features(
    records: Iterable[Record],
    *,
    model: LoadedModel,
    fps: float,
    num_clips: int = 10,
    root: str | None,
    batch_size: int,
    workers: int | None = None,
    at_sec: Callable[[Record], Sequence[float]] | None = None,
    crop: CropFrames = centre_crop,
    on_drop: OnDrop,
) -> Iterator[tuple[Record, np.ndarray, np.ndarray]]:
    """Pooled features before the classifier: of frames (TSN), of segments together (TSM), or of clips (3D models).

    Args:
        records: images (one frame, at 0 s), videos or folders of frames.
        model: its backbone computes the features; the classifier is not used.
        fps: frames per second of a video, for a TSN or a bare backbone.
        num_clips: clips spread over a video, for a 3D model.
        root: folder that relative paths start from.
        batch_size: frames in one forward pass.
        workers: threads that read and decode; default all cores.
        at_sec: gives the times of a record's frames, instead of ``fps``.
        crop: cuts the model's input out of the resized frames.
        on_drop: receives unreadable records, as ``unreadable: why``.

    Yields:
        (record, features (F', D) float32, times (F,) float64 seconds of the frames, or mean times of the clips).

    Raises:
        ModelError: an image for a 3D model.
    """
    # by position, of records that wait for the model: times, and which of the rows that were read each is
    times_of: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    spec = model.spec

    def read(record: Record) -> list[np.ndarray]:
        with open_modality(record, is_flow=spec.flow_pairs > 0, root=root) as source:
            if at_sec is None:
                indices = feature_indices(source, record, model, fps=fps, num_clips=num_clips)  # (F, T)
            else:
                starts = frames_at(source.times, at_sec(record))
                indices = stacks_at(starts, source.num_frames, stack_frames=max(spec.flow_pairs, 1))
            unique, repeats = np.unique(indices, axis=0, return_inverse=True)  # a slow video repeats frames
            is_own = bool(spec.resize) and crop is centre_crop
            frames = source.read(unique.reshape(-1).tolist(), short_side=None if is_own else spec.short_side)
            times_of[record.position] = np.asarray(source.times)[indices].mean(axis=1), repeats.reshape(-1)
        if is_own:
            cropped = own_view(frames, spec.crop_size, spec.resize)
        else:
            cropped = crop(resize_short_side(frames, spec.short_side), spec.crop_size)
        return [cropped.reshape(-1, indices.shape[1], *cropped.shape[1:])]  # (F', T, H, W, 3)

    forwards = [forward_of(model.network.features, model)]
    compiled = compiled_forwards([model], forwards, lambda model: model.network.features, RECORD)
    for record, outputs in predict_records(
        records,
        read=read,
        forwards=forwards,
        compiled=compiled,
        batch_size=batch_size,
        workers=workers,
        on_drop=on_drop,
        keep_in_flight=int(model.device.type == "cuda"),
    ):
        times, repeats = times_of.pop(record.position)
        if outputs is not None:
            per_index = outputs[0].reshape(int(repeats.max()) + 1, -1, outputs[0].shape[-1])  # crops together
            yield record, per_index[repeats].reshape(-1, outputs[0].shape[-1]), times


def half_precision(features: np.ndarray, where: str) -> np.ndarray:
    """Features as float16, the precision they are stored and compared in.

    Args:
        features: any shape.
        where: names the record in the error.

    Raises:
        ModelError: a feature is not finite, or too large for float16.
    """
    with np.errstate(over="ignore"):  # overflow becomes infinity, which the check below refuses
        rounded = features.astype(np.float16)
    if not np.isfinite(rounded).all():
        raise ModelError(f"{where}: features are not finite in float16; is the checkpoint damaged?")
    return rounded


def _logits_of(model: LoadedModel, views: ViewOptions) -> Callable[[Tensor], Tensor]:
    """The function from normalised clips (N, C, T, H, W) to logits (N, K).

    Raises:
        UsageError: ``fully_convolutional`` has no effect on this model or these views.
    """
    network, spec = model.network, model.spec
    if (views.crop_size or views.crops == "full") and not isinstance(network, OnnxModel):
        side = (views.short_side or spec.short_side) if views.crops == "full" else views.crop_size or 0
        check_view_sizes(spec, (side, side + WIDER * (views.crops == "full")))
    if not views.fully_convolutional:
        return network
    if isinstance(network, LibraryModel):
        raise UsageError(f"--fully-convolutional: {model.name} is a {spec.name}, which takes one size; remove it")
    if not isinstance(network, ClipModel):
        raise UsageError(
            f"--fully-convolutional: {model.name} is a 2D model, which averages before the softmax; --crops full gives "
            "the same scores"
        )
    if views.crops != "full" and (views.crop_size or 0) <= spec.crop_size:
        raise UsageError(
            f"--fully-convolutional: {model.name} was trained on {spec.crop_size} pixels and needs larger views; give "
            "--crops full or a larger --crop-size"
        )

    def mean_over_windows(clips: Tensor) -> Tensor:
        """Logits whose scores, at the temperature, are the mean scores of all windows."""
        logits = network.window_logits(clips, crop_size=spec.crop_size) / model.temperature  # (N, P, K)
        if spec.multi_label:
            mean = torch.logit(torch.sigmoid(logits.double()).mean(dim=1))
        else:
            mean = torch.logsumexp(torch.log_softmax(logits, dim=-1), dim=1)
        return mean.float() * model.temperature

    return mean_over_windows
