"""Scores along untrimmed videos: of single frames (2D models) or of short clips (3D models) (OmniSource Sec. 3.5).

A long video is streamed: the models score its frames in chunks while it is decoded, several videos at once, and only
the scores stay in memory.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from omnicli.cpus import available_cores
from omnicli.data.frame_sampling import stacks_at
from omnicli.data.own_view import own_view
from omnicli.data.transforms import centre_crop, resize_short_side
from omnicli.errors import ModelError, OmniError
from omnicli.inference.batcher import Forward
from omnicli.inference.ensemble import chunk_scores
from omnicli.inference.feature_scorer import FeatureRowReader, score_feature_frames
from omnicli.inference.predictor import PendingRecord, compiled_forwards, exact_forwards, forward_of, no_views, predict
from omnicli.inference.protocols import RecordTest, TimedScores, UndecidedFrames
from omnicli.inference.rescoring import Again, Index, error_bounds
from omnicli.inference.switching import Compiled
from omnicli.inference.video_sampling import ROUND_DIGITS, VideoSampling, outside, wanted_clips, wanted_frames
from omnicli.inference.views import ViewOptions, one_modality, views_of
from omnicli.media.parallel import IDLE_SEC, parallel_interleave
from omnicli.media.source import MediaSource, open_modality, part_of
from omnicli.models.loading import LoadedModel
from omnicli.streams.reading import reading
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.shards.features import read_stored_or_media

CHUNK_FRAMES = 16  # frames that a 2D model receives together
READ_AHEAD = 2  # chunks per worker that may wait for the model

Times = np.ndarray
Views = list[np.ndarray]


def score_videos(
    records: Iterable[Record],
    *,
    models: Sequence[LoadedModel],
    sampling: VideoSampling,
    batch_size: int,
    workers: int | None = None,
    skip: RecordTest,
    undecided: UndecidedFrames | None = None,
    on_drop: OnDrop,
) -> Iterator[tuple[Record, TimedScores | None]]:
    """Class scores along every video: the mean over models of their softmax.

    Args:
        records: videos, or rows of features of their frames. Images and rows of images are yielded unscored.
        models: one or more, all 2D or all 3D, with the same classes (see ``check_same_kind`` and ``align_classes``).
        sampling: the frames or clips to score.
        batch_size: views in one forward pass.
        workers: videos read at once, one thread each; default all cores.
        skip: records to yield unread and unscored.
        undecided: frames or clips to score again by the models' ``exact``, if they have one; sets ``rescored``.
        on_drop: receives unreadable records, as ``unreadable: why``.

    Yields:
        (record, scores) in input order; None for a record that is skipped. The scores of a video that is too short for
        one clip are empty.

    Raises:
        InputError: a row of features of another backbone or another frame rate; no labelled interval to leave out.
        ModelError: a row of features for a model that does not score single frames.
    """
    reader = FeatureRowReader(models, sampling.root)
    return read_stored_or_media(
        records,
        rows=partial(_score_rows, reader=reader, sampling=sampling, skip=skip, on_drop=on_drop),
        media=partial(
            _score_media, models=models, sampling=sampling, batch_size=batch_size, workers=workers, skip=skip,
            undecided=undecided, on_drop=on_drop,
        ),
    )  # fmt: skip


def check_same_kind(models: Sequence[LoadedModel]) -> bool:
    """True if all models are 2D (they score frames), False if all are 3D (they score clips).

    Raises:
        ModelError: there are both.
    """
    first = models[0]
    for other in models[1:]:
        if other.network.is_2d != first.network.is_2d:
            kinds = ("2D" if model.network.is_2d else "3D" for model in (first, other))
            raise ModelError(
                f"{first.name} is {next(kinds)}, {other.name} {next(kinds)}: one scores frames, the other clips; "
                "give teachers of one kind"
            )
    return first.network.is_2d


def _score_rows(
    records: Iterable[Record], reader: FeatureRowReader, sampling: VideoSampling, skip: RecordTest, on_drop: OnDrop
) -> Iterator[tuple[Record, TimedScores | None]]:
    fps = sampling.fps if sampling.frames == "exact" else None
    for record, scored in score_feature_frames(records, reader, fps=fps, skip=skip, on_drop=on_drop):
        if scored is not None:
            is_scored = outside(scored.times_sec, sampling.left_out(record))
            scored = TimedScores(np.round(scored.times_sec[is_scored], ROUND_DIGITS), scored.scores[is_scored])
        yield record, scored


@dataclass
class _PendingVideo(PendingRecord):
    """A video that is being read, and the scores of its chunks so far."""

    is_read: bool = False
    chunks: list[TimedScores] = field(default_factory=list)

    def scored(self) -> TimedScores | None:
        if self.is_skipped:
            return None
        if not self.chunks:
            return TimedScores(np.empty((0, 2)), np.empty((0, 0)))
        times_sec, scores = zip(*self.chunks, strict=True)
        return TimedScores(np.concatenate(times_sec), np.concatenate(scores))


class _Chunk(NamedTuple):
    """Frames, or one clip, that the models score together; the last chunk of a video is empty."""

    video: _PendingVideo
    times_sec: Times
    is_last: bool = False


def _score_media(
    records: Iterable[Record],
    *,
    models: Sequence[LoadedModel],
    sampling: VideoSampling,
    batch_size: int,
    workers: int | None,
    skip: RecordTest,
    undecided: UndecidedFrames | None,
    on_drop: OnDrop,
) -> Iterator[tuple[Record, TimedScores | None]]:
    num_workers = workers or available_cores()
    pending: deque[_PendingVideo] = deque()  # in input order

    def videos() -> Iterator[_PendingVideo]:
        for record in records:
            video = _PendingVideo(record)
            pending.append(video)
            yield video

    read = partial(_read_video, models=models, sampling=sampling, skip=skip)
    chunks = parallel_interleave(read, videos(), workers=num_workers, ahead=READ_AHEAD * num_workers, idle_sec=IDLE_SEC)
    forwards = [forward_of(model.network, model) for model in models]
    keep_in_flight = int(models[0].device.type == "cuda")
    compiled = compiled_forwards(models, forwards, attrgetter("network"), attrgetter("video.record"))
    again = None if undecided is None else _scored_again(models, forwards, compiled, undecided)
    for chunk, outputs in predict(
        chunks, forwards, batch_size=batch_size, keep_in_flight=keep_in_flight, again=again, compiled=compiled
    ):
        if len(chunk.times_sec):
            scores = chunk_scores(outputs, models, chunk.video.record)
            chunk.video.chunks.append(TimedScores(chunk.times_sec, scores))
        chunk.video.is_read = chunk.is_last
        while pending and pending[0].is_read:
            video = pending.popleft()
            if not video.is_dropped(on_drop):
                yield video.record, video.scored()


def _scored_again(
    models: Sequence[LoadedModel],
    forwards: Sequence[Forward],
    compiled: Compiled[_Chunk] | None,
    undecided: UndecidedFrames,
) -> Again[_Chunk] | None:
    """The frames or clips whose scores do not decide; None if all models are in float32."""
    exact = exact_forwards(models, forwards, lambda model: model.network)
    if exact is None:
        return None
    bound_of = error_bounds(models, forwards, compiled, exact)

    def choose(chunk: _Chunk, outputs: Sequence[np.ndarray], views: Sequence[np.ndarray]) -> Index | None:
        if not len(chunk.times_sec):
            return None
        is_2d = models[0].network.is_2d
        errors = [own if is_2d else own.max(keepdims=True) for own in bound_of(chunk).of(outputs, views)]  # (M,) each
        record = chunk.video.record
        chosen = undecided(record, chunk_scores(outputs, models, record), np.max(errors, axis=0))
        record.rescored += int(chosen.sum())
        return None if not chosen.any() else chosen if is_2d else slice(None)

    return Again(choose, exact)


def _read_video(
    video: _PendingVideo, *, models: Sequence[LoadedModel], sampling: VideoSampling, skip: RecordTest
) -> Iterator[tuple[_Chunk, Views]]:
    """The video's views for every model, chunk by chunk."""
    video.is_skipped = skip(video.record)
    if not video.is_skipped:
        try:
            is_flow = one_modality(models) > 0
            with reading(video.record), open_modality(video.record, is_flow=is_flow, root=sampling.root) as source:
                video.is_skipped = source.duration_sec == 0  # an image without the field ``media``
                if not video.is_skipped:
                    read = _frame_chunks if models[0].network.is_2d else _clip_chunks
                    for times_sec, views in read(source, video.record, models, sampling):
                        yield _Chunk(video, times_sec), views
        except OmniError as error:
            video.error = error
    yield _Chunk(video, np.empty(0), is_last=True), no_views(len(models))


def _frame_chunks(
    source: MediaSource, record: Record, models: Sequence[LoadedModel], sampling: VideoSampling
) -> Iterator[tuple[Times, Views]]:
    """Frames at ``fps``: "we first extract frames from the entire video at a low frame rate" (OmniSource Sec. 3.5)."""
    indices = wanted_frames(source, sampling, sampling.left_out(record))
    if any(model.spec.flow_pairs for model in models):
        yield from _flow_chunks(source, indices, models)
        return
    short_sides = {0 if model.spec.resize else model.spec.short_side for model in models}  # 0: of full size
    short_side = short_sides.pop() if len(short_sides) == 1 else None
    walk = source.walk(indices.tolist(), short_side=short_side or None)
    while found := list(islice(walk, CHUNK_FRAMES)):
        frames = np.stack([frame for _, frame in found])  # (F, H, W, 3)
        times_sec = source.times[[index for index, _ in found]]
        yield np.round(times_sec, ROUND_DIGITS), [_frame_views(frames, model) for model in models]


def _flow_chunks(
    source: MediaSource, indices: np.ndarray, models: Sequence[LoadedModel]
) -> Iterator[tuple[Times, Views]]:
    """The flow from these frames on: as many pairs as each model stacks."""
    for some in np.array_split(indices, range(CHUNK_FRAMES, len(indices), CHUNK_FRAMES)):
        views = []
        for model in models:
            spec = model.spec
            stacks = stacks_at(some, source.num_frames, stack_frames=spec.flow_pairs)  # (F, P)
            unique, inverse = np.unique(stacks, return_inverse=True)
            frames = source.read(unique.tolist(), short_side=spec.short_side)[inverse.reshape(-1)]
            cropped = centre_crop(resize_short_side(frames, spec.short_side), spec.crop_size)
            views.append(cropped.reshape(*stacks.shape, *cropped.shape[1:]))  # (F, P, H, W, 3)
        yield np.round(source.times[some], ROUND_DIGITS), views


def _frame_views(frames: np.ndarray, model: LoadedModel) -> np.ndarray:
    """Views (F, T, H, W, 3), one per frame: T = 1, or for a TSM the frame repeated, because it shifts channels."""
    spec = model.spec
    if spec.resize:
        return own_view(frames, spec.crop_size, spec.resize)[:, None]
    cropped = centre_crop(resize_short_side(frames, spec.short_side), spec.crop_size)[:, None]
    return cropped if model.network.is_framewise else cropped.repeat(spec.num_segments, axis=1)


def _clip_chunks(
    source: MediaSource, record: Record, models: Sequence[LoadedModel], sampling: VideoSampling
) -> Iterator[tuple[Times, Views]]:
    """One clip at a time: "we first cut untrimmed videos into 10-second clips" (OmniSource Sec. 3.5)."""
    options = ViewOptions(num_clips=sampling.num_clips)
    without = sampling.left_out(record)
    for start_sec, end_sec in wanted_clips(source, clip_sec=sampling.clip_sec, without=without):
        part = part_of(source, start_sec, end_sec)
        yield np.array([[start_sec, end_sec]]), views_of(part, record, models=models, views=options)
