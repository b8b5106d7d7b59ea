"""Scores of moments: single frames of a video for 2D teachers, short pieces of it for 3D teachers (Sec. 3.5).

A long video is read as a stream: its frames go to the model in chunks while they are decoded, several videos at once,
and only their scores are kept.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from omnicli.cpus import available_cores
from omnicli.data.transforms import centre_crop, resize_short_side
from omnicli.errors import MediaError, ModelError, OmniError
from omnicli.inference.ensemble import moment_scores
from omnicli.inference.feature_scorer import RowReader, score_frames
from omnicli.inference.predictor import predict
from omnicli.inference.scorer import forward_of
from omnicli.inference.views import clip_views, frames_at_rate
from omnicli.media.parallel import Idle, parallel_interleave
from omnicli.media.source import MediaSource, open_media, part_of
from omnicli.media.video import nearest_frames
from omnicli.models.loading import LoadedModel
from omnicli.reasons import unreadable
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.shards.features import in_turn

CHUNK_FRAMES = 16  # frames that go to the model together
READ_AHEAD = 2  # chunks a worker may be ahead of the model
ROUND_DIGITS = 6  # microseconds

Times = np.ndarray
Views = list[np.ndarray]


@dataclass(frozen=True, kw_only=True)
class VideoSampling:
    """Which moments of a video are looked at, and how.

    Attributes:
        fps: frames a second, for 2D teachers.
        frames: "exact": those on screen at 0, 1/fps, ...; "keyframe": the keyframes nearest to them.
        clip_sec: length of the pieces, for 3D teachers.
        num_clips: clips of a piece that a 3D teacher looks at.
        root: folder that relative paths start from.
    """

    fps: float = 1.0
    frames: Literal["exact", "keyframe"] = "exact"
    clip_sec: float = 10.0
    num_clips: int = 10
    root: str | None = None


class TimedScores(NamedTuple):
    """What the teachers say of every moment of a video.

    Attributes:
        times_sec: (M,) when each frame is shown, or (M, 2) [start, end) of each piece; in the clock of the file.
        scores: (M, K) float64, each row sums to 1.
    """

    times_sec: Times
    scores: np.ndarray


def score_videos(
    records: Iterable[Record],
    *,
    teachers: Sequence[LoadedModel],
    moments: VideoSampling,
    batch_size: int,
    workers: int | None = None,
    passes: Callable[[Record], bool],
    on_drop: OnDrop,
) -> Iterator[tuple[Record, TimedScores | None]]:
    """Class scores of every moment of every video, in order: the mean over teachers of their softmax.

    Args:
        records: videos, or rows of features of their frames; images pass, and rows that are theirs.
        teachers: one or more, all 2D or all 3D, with the same classes (see ``check_alike`` and ``align_classes``).
        moments: which, and how they are looked at.
        batch_size: views in one forward pass.
        workers: videos that are read at once, each in a thread.
        passes: records for which it is true keep their place in the stream, unread and unscored.
        on_drop: takes what cannot be read, as ``unreadable: why``.

    Yields:
        (record, scored); None for records that pass. ``scored`` is empty for a video too short for one piece.

    Raises:
        InputError: a row of features of another backbone, or taken at another rate.
        ModelError: a row of features for a 3D teacher.
    """
    rows = RowReader(teachers, moments.root)
    return in_turn(
        records,
        rows=partial(_score_rows, rows=rows, moments=moments, passes=passes, on_drop=on_drop),
        media=partial(
            _score_videos, teachers=teachers, moments=moments, batch_size=batch_size, workers=workers, passes=passes,
            on_drop=on_drop,
        ),
    )  # fmt: skip


def _score_rows(
    records: Iterable[Record],
    rows: RowReader,
    moments: VideoSampling,
    passes: Callable[[Record], bool],
    on_drop: OnDrop,
) -> Iterator[tuple[Record, TimedScores | None]]:
    wanted_fps = moments.fps if moments.frames == "exact" else None
    for record, found in score_frames(records, rows, fps=wanted_fps, passes=passes, on_drop=on_drop):
        if found is None:
            yield record, None
            continue
        times_sec, scores = found
        yield record, TimedScores(np.round(times_sec, ROUND_DIGITS), scores)


def _score_videos(
    records: Iterable[Record],
    *,
    teachers: Sequence[LoadedModel],
    moments: VideoSampling,
    batch_size: int,
    workers: int | None,
    passes: Callable[[Record], bool],
    on_drop: OnDrop,
) -> Iterator[tuple[Record, TimedScores | None]]:
    num_workers = workers or available_cores()
    books: deque[_Book] = deque()  # of the videos in flight, in the order of the input

    def open_books() -> Iterator[_Book]:
        for record in records:
            book = _Book(record)
            books.append(book)
            yield book

    def settled() -> Iterator[tuple[Record, TimedScores | None]]:
        while books and books[0].is_done:
            book = books.popleft()
            if isinstance(book.error, MediaError):
                on_drop(book.record, unreadable(book.error))
            elif book.error:
                raise book.error
            else:
                yield book.record, book.scored()

    read = partial(_read_video, teachers=teachers, moments=moments, passes=passes)
    chunks = parallel_interleave(read, open_books(), workers=num_workers, ahead=READ_AHEAD * num_workers)
    forwards = [forward_of(teacher.model, teacher) for teacher in teachers]
    keep_in_flight = int(teachers[0].device.type == "cuda")
    for chunk, outputs in predict(chunks, forwards, batch_size=batch_size, keep_in_flight=keep_in_flight):
        if len(chunk.times_sec):
            chunk.book.add(chunk.times_sec, moment_scores(outputs, teachers, chunk.book.record))
        chunk.book.is_done = chunk.is_last
        yield from settled()


def check_alike(teachers: Sequence[LoadedModel]) -> bool:
    """True if the teachers judge frames (2D), False if they judge clips (3D).

    Raises:
        ModelError: there are both.
    """
    first = teachers[0]
    for other in teachers[1:]:
        if other.model.is_2d != first.model.is_2d:
            kinds = ("2D" if teacher.model.is_2d else "3D" for teacher in (first, other))
            raise ModelError(
                f"{first.name} is {next(kinds)}, {other.name} {next(kinds)}: one judges frames, the other clips; "
                "give teachers of one kind"
            )
    return first.model.is_2d


@dataclass
class _Book:
    """One video on its way: what was scored so far."""

    record: Record
    is_passed: bool = False
    is_done: bool = False
    error: OmniError | None = None
    times_sec: list[Times] = field(default_factory=list)
    scores: list[np.ndarray] = field(default_factory=list)

    def add(self, times_sec: Times, scores: np.ndarray) -> None:
        self.times_sec.append(times_sec)
        self.scores.append(scores)

    def scored(self) -> TimedScores | None:
        if self.is_passed:
            return None
        if not self.scores:
            return TimedScores(np.empty((0, 2)), np.empty((0, 0)))
        return TimedScores(np.concatenate(self.times_sec), np.concatenate(self.scores))


class _Chunk(NamedTuple):
    """Moments that go to the model together."""

    book: _Book
    times_sec: Times
    is_last: bool = False


def _read_video(
    book: _Book, *, teachers: Sequence[LoadedModel], moments: VideoSampling, passes: Callable[[Record], bool]
) -> Iterator[tuple[_Chunk, Views] | Idle]:
    """The video's moments as views for every teacher, chunk by chunk; an empty chunk at the end settles it."""
    nothing = [np.empty((0, 0, 0, 0, 0), np.uint8)] * len(teachers)
    book.is_passed = passes(book.record)
    if not book.is_passed:
        try:
            with open_media(book.record, root=moments.root) as source:
                book.is_passed = source.duration_sec == 0  # an image that did not say so
                read = _frame_chunks if teachers[0].model.is_2d else _pieces
                for times_sec, views in () if book.is_passed else read(source, teachers, moments):
                    yield _Chunk(book, times_sec), views
        except OmniError as error:
            book.error = error
    yield _Chunk(book, np.empty(0), is_last=True), nothing


def _frame_chunks(
    source: MediaSource, teachers: Sequence[LoadedModel], moments: VideoSampling
) -> Iterator[tuple[Times, Views]]:
    """Frames at ``fps`` ("we first extract frames from the entire video at a low frame rate (1 FPS)", Sec. 3.5)."""
    indices = wanted_frames(source, moments)
    short_sides = {teacher.spec.short_side for teacher in teachers}
    short_side = short_sides.pop() if len(short_sides) == 1 else None
    walk = source.walk(indices.tolist(), short_side=short_side)
    for start in range(0, len(indices), CHUNK_FRAMES):
        chunk = indices[start : start + CHUNK_FRAMES]
        frames = np.stack([next(walk)[1] for _ in chunk])  # (F, H, W, 3)
        yield np.round(source.times[chunk], ROUND_DIGITS), [_frame_views(frames, teacher) for teacher in teachers]


def wanted_frames(source: MediaSource, moments: VideoSampling) -> np.ndarray:
    """Indices (F,) of the frames to look at, ascending, without repeats, F >= 1."""
    exact = frames_at_rate(source.times, source.duration_sec, fps=moments.fps)
    if moments.frames == "exact":
        return np.unique(exact)
    grid_sec = source.times[0] + np.arange(len(exact)) / moments.fps
    return np.unique(nearest_frames(source.times, source.keyframes, grid_sec))


def _frame_views(frames: np.ndarray, teacher: LoadedModel) -> np.ndarray:
    """Every frame as a view (F, T, H, W, 3), T = 1; a TSM sees a still clip, since its shift takes from neighbours."""
    spec = teacher.spec
    cropped = centre_crop(resize_short_side(frames, spec.short_side), spec.crop_size)[:, None]
    return cropped if teacher.model.is_framewise else cropped.repeat(spec.num_segments, axis=1)


def _pieces(
    source: MediaSource, teachers: Sequence[LoadedModel], moments: VideoSampling
) -> Iterator[tuple[Times, Views]]:
    """Pieces of ``clip_sec`` ("we first cut untrimmed videos into 10-second clips", Sec. 3.5), one at a time."""
    for start_sec, end_sec in cut(source.start_sec, source.duration_sec, clip_sec=moments.clip_sec):
        part = part_of(source, start_sec, end_sec)
        made: dict[tuple[int, ...], np.ndarray] = {}
        for look in map(_look, teachers):
            if look not in made:
                num_frames, frame_interval, short_side, crop_size = look
                made[look] = clip_views(
                    part, num_clips=moments.num_clips, num_frames=num_frames, frame_interval=frame_interval,
                    short_side=short_side, crop_size=crop_size,
                )  # fmt: skip
        yield np.array([[start_sec, end_sec]]), [made[_look(teacher)] for teacher in teachers]


def cut(start_sec: float, duration_sec: float, *, clip_sec: float) -> list[tuple[float, float]]:
    """Intervals [start, end) of ``clip_sec`` seconds; the last one is shorter, or left out if under half of it.

    >>> cut(0.0, 24.0, clip_sec=10.0)
    [(0.0, 10.0), (10.0, 20.0)]
    >>> cut(2.0, 15.0, clip_sec=10.0)
    [(2.0, 12.0), (12.0, 17.0)]
    """
    end_sec = start_sec + duration_sec
    count = int(duration_sec / clip_sec + 0.5 + 1e-9)
    bounds = [round(min(start_sec + place * clip_sec, end_sec), ROUND_DIGITS) for place in range(count + 1)]
    return list(pairwise(bounds))


def _look(teacher: LoadedModel) -> tuple[int, int, int, int]:
    spec = teacher.spec
    return (spec.num_frames, spec.frame_interval, spec.short_side, spec.crop_size)
