"""How a model looks at media: the views it scores, the frames and clips whose features it gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from omnicli.data.frame_sampling import Generation, clip_indices_test, segment_indices_test
from omnicli.data.transforms import centre_crop, resize_short_side, ten_crops, three_crops
from omnicli.errors import ModelError
from omnicli.media.source import MediaSource, is_image, open_media
from omnicli.models.loading import LoadedModel
from omnicli.streams.record import Record

Crops = Literal["centre", "three", "ten", "full"]


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """How a teacher looks at media; what is None is the teacher's own.

    ``num_clips`` and ``fully_convolutional`` are for 3D teachers; the second classifies every window as large as a
    training crop of an image that is larger, and averages the scores (IG-65M Sec. 4.4).
    """

    num_segments: int | None = None
    num_clips: int = 10
    short_side: int | None = None
    crop_size: int | None = None
    crops: Crops = "centre"
    generation: Generation = "1.x"
    fully_convolutional: bool = False
    root: str | None = None


def read_views(record: Record, *, teachers: Sequence[LoadedModel], views: ViewOptions) -> list[np.ndarray]:
    """The views (V, T, H, W, 3) uint8 of every teacher; teachers that look the same way share them.

    Raises:
        MediaError: it cannot be opened, or a wanted frame does not decode.
        ModelError: an image for a 3D teacher.
    """
    made: dict[tuple[int, ...], np.ndarray] = {}
    looks = [_look(teacher, views) for teacher in teachers]
    with open_media(record, root=views.root) as source:
        for teacher, look in zip(teachers, looks, strict=True):
            if look not in made:
                made[look] = _view(source, record, teacher, look, views)
    return [made[look] for look in looks]


def _look(teacher: LoadedModel, views: ViewOptions) -> tuple[int, ...]:
    """Short side, crop, and whether frames are views of their own; then segments, or frames and interval."""
    spec, model = teacher.spec, teacher.model
    size = (views.short_side or spec.short_side, views.crop_size or spec.crop_size)
    if model.is_2d:
        return (*size, int(model.is_framewise), views.num_segments or spec.num_segments)
    return (*size, 0, spec.num_frames, spec.frame_interval)


def _view(
    source: MediaSource, record: Record, teacher: LoadedModel, look: tuple[int, ...], views: ViewOptions
) -> np.ndarray:
    """The views (V, T, H, W, 3) of one teacher.

    Raises:
        ModelError: an image for a 3D teacher.
    """
    short_side, crop_size, is_framewise, *frames = look
    if not teacher.model.is_2d:
        _refuse_images(source, record, teacher)
        return clip_views(
            source, num_clips=views.num_clips, num_frames=frames[0], frame_interval=frames[1],
            short_side=short_side, crop_size=crop_size, crops=views.crops, generation=views.generation,
        )  # fmt: skip
    snippets = snippet_views(
        source, num_segments=frames[0], short_side=short_side, crop_size=crop_size,
        crops=views.crops, generation=views.generation,
    )  # fmt: skip
    if is_framewise:
        return snippets
    if source.num_frames == 1:  # Ours: a TSM sees a still clip, for its shift was trained with neighbours to take from
        return snippets.repeat(frames[0], axis=1)  # (crops, S, H, W, 3)
    return snippets.reshape(-1, frames[0], *snippets.shape[2:])  # (crops, S, H, W, 3)


def feature_indices(
    source: MediaSource, record: Record, teacher: LoadedModel, *, fps: float, num_clips: int
) -> np.ndarray:
    """Frames (F, T) that each of F features is made of: single ones at ``fps``, a TSM's segments, ``num_clips`` clips.

    Raises:
        ModelError: an image for a 3D model.
    """
    spec, model = teacher.spec, teacher.model
    if model.is_framewise:
        return frames_at_rate(source.times, source.duration_sec, fps=fps)[:, None]
    if model.is_2d:
        return segment_indices_test(source.num_frames, num_segments=spec.num_segments)[None]
    _refuse_images(source, record, teacher)
    return clip_indices_test(
        source.num_frames, num_clips=num_clips, clip_frames=spec.num_frames, frame_interval=spec.frame_interval
    )


def _refuse_images(source: MediaSource, record: Record, teacher: LoadedModel) -> None:
    if is_image(source):
        raise ModelError(
            f"{record.where}: an image cannot be judged by the 3D teacher {teacher.name}, which would have to be "
            f"deflated, and that fails (Sec. 3.4); give images to a 2D teacher, such as a TSN"
        )


def snippet_views(
    source: MediaSource,
    *,
    num_segments: int,
    short_side: int,
    crop_size: int,
    crops: Crops = "centre",
    generation: Generation = "1.x",
) -> np.ndarray:
    """Views of a 2D model: every crop of one snippet a segment.

    An image is a video of one frame, so it has one segment (Sec. 3.4: images go to 2D teachers as they are).

    Args:
        source: an open image, video or folder of frames.
        num_segments: equal parts of a video; one snippet each (CHECKPOINTS section 4).
        short_side: pixels the short side is resized to.
        crop_size: pixels of each square.
        crops: the middle; three along the long side; corners, middle and their mirrors; or the full frame, which makes
            the test fully convolutional (IG-65M Sec. 4.4).
        generation: which released code's choice of frames.

    Returns:
        (V, 1, crop_size, crop_size, 3) uint8 RGB, V = segments x crops; the full frame keeps its two sides.

    Raises:
        MediaError: a wanted frame does not decode.
    """
    num_frames = source.num_frames
    indices = (
        np.zeros(1, dtype=np.int64)
        if num_frames == 1
        else segment_indices_test(num_frames, num_segments=num_segments, generation=generation)
    )
    cropped = _cropped(source, indices, short_side=short_side, crop_size=crop_size, crops=crops)
    return cropped.reshape(-1, 1, *cropped.shape[2:])  # (crops * S, 1, H, W, 3)


def clip_views(
    source: MediaSource,
    *,
    num_clips: int,
    num_frames: int,
    frame_interval: int,
    short_side: int,
    crop_size: int,
    crops: Crops = "centre",
    generation: Generation = "1.x",
) -> np.ndarray:
    """Views of a 3D model: every crop of dense clips spread over the video (CHECKPOINTS section 4: 10 x 3).

    Args:
        source: an open video or folder of frames.
        num_clips: clips.
        num_frames: frames of each.
        frame_interval: from one to the next.
        short_side: pixels the short side is resized to.
        crop_size: pixels of each square.
        crops: the middle; three along the long side; corners, middle and their mirrors; or the full frame, which makes
            the test fully convolutional (IG-65M Sec. 4.4).
        generation: which released code's choice of frames.

    Returns:
        (V, num_frames, crop_size, crop_size, 3) uint8 RGB, V = crops x clips; the full frame keeps its two sides.

    Raises:
        MediaError: a wanted frame does not decode.
    """
    indices = clip_indices_test(
        source.num_frames,
        num_clips=num_clips,
        clip_frames=num_frames,
        frame_interval=frame_interval,
        generation=generation,
    )
    cropped = _cropped(source, indices.reshape(-1), short_side=short_side, crop_size=crop_size, crops=crops)
    return cropped.reshape(-1, num_frames, *cropped.shape[2:])  # (crops * clips, T, H, W, 3)


def _cropped(source: MediaSource, indices: np.ndarray, *, short_side: int, crop_size: int, crops: Crops) -> np.ndarray:
    """Every crop (crops, F, H, W, 3) of the frames at ``indices`` (F,)."""
    unique, inverse = np.unique(indices, return_inverse=True)  # short videos repeat frames: decode each once
    frames = resize_short_side(source.read(unique.tolist(), short_side=short_side), short_side)[inverse]  # (F, H, W, 3)
    match crops:
        case "three":
            return three_crops(frames, crop_size)
        case "ten":
            return ten_crops(frames, crop_size)
        case "full":
            return frames[None]
        case _:
            return centre_crop(frames, crop_size)[None]


def frames_at_rate(times: np.ndarray, duration_sec: float, *, fps: float) -> np.ndarray:
    """Frames on screen at 0, 1/fps, 2/fps, ... seconds after the first (Sec. 3.5: 1 FPS for untrimmed videos).

    Args:
        times: (N,) presentation times, ascending, seconds.
        duration_sec: how long the video is on screen; the last wanted time lies before its end.
        fps: wanted frames a second, > 0.

    Returns:
        (F,) int64 frame indices, F >= 1; a frame is repeated where the video is slower than ``fps``.

    >>> frames_at_rate(np.arange(50) / 25, 2.0, fps=2)
    array([ 0, 12, 25, 37])
    """
    count = max(1, int(np.ceil(duration_sec * fps - 1e-9)))
    return frames_at_times(times, times[0] + np.arange(count) / fps)


def frames_at_times(times: np.ndarray, wanted_sec: np.ndarray) -> np.ndarray:
    """Frames on screen at the wanted times (F,); (F,) int64 indices into ``times`` (N,)."""
    last_begun = np.searchsorted(times, wanted_sec + 1e-6, side="right") - 1
    indices: np.ndarray = np.clip(last_begun, 0, len(times) - 1).astype(np.int64)
    return indices
