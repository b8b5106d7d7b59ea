"""How a model looks at media: the views it scores, the frames and clips whose features it gives."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnicli.data.frame_sampling import Generation, clip_indices_test, segment_indices_test
from omnicli.data.test_views import Crops, clip_views, frames_at_rate, snippet_views
from omnicli.errors import ModelError
from omnicli.media.source import MediaSource, is_picture, open_media
from omnicli.models.loading import Teacher
from omnicli.streams.record import Record


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """How a teacher looks at media; what is None is the teacher's own.

    ``num_clips`` and ``fully_convolutional`` are for 3D teachers; the second classifies every window as large as a
    training crop of a picture that is larger, and averages the scores (IG-65M Sec. 4.4).
    """

    num_segments: int | None = None
    num_clips: int = 10
    short_side: int | None = None
    crop_size: int | None = None
    crops: Crops = "centre"
    generation: Generation = "1.x"
    fully_convolutional: bool = False
    root: str | None = None


def read_views(record: Record, *, teachers: Sequence[Teacher], views: ViewOptions) -> list[np.ndarray]:
    """The views (V, T, H, W, 3) uint8 of every teacher; teachers that look the same way share them.

    Raises:
        MediaError: it cannot be opened, or a wanted frame does not decode.
        ModelError: a picture for a 3D teacher.
    """
    made: dict[tuple[int, ...], np.ndarray] = {}
    looks = [_look(teacher, views) for teacher in teachers]
    with open_media(record, root=views.root) as source:
        for teacher, look in zip(teachers, looks, strict=True):
            if look not in made:
                made[look] = _view(source, record, teacher, look, views)
    return [made[look] for look in looks]


def _look(teacher: Teacher, views: ViewOptions) -> tuple[int, ...]:
    """Short side, crop, and whether frames are views of their own; then segments, or frames and interval."""
    spec, model = teacher.spec, teacher.model
    size = (views.short_side or spec.short_side, views.crop_size or spec.crop_size)
    if model.is_2d:
        return (*size, int(model.is_framewise), views.num_segments or spec.num_segments)
    return (*size, 0, spec.num_frames, spec.frame_interval)


def _view(
    source: MediaSource, record: Record, teacher: Teacher, look: tuple[int, ...], views: ViewOptions
) -> np.ndarray:
    """The views (V, T, H, W, 3) of one teacher.

    Raises:
        ModelError: a picture for a 3D teacher.
    """
    short_side, crop_size, is_framewise, *frames = look
    if not teacher.model.is_2d:
        _refuse_pictures(source, record, teacher)
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


def feature_indices(source: MediaSource, record: Record, teacher: Teacher, *, fps: float, num_clips: int) -> np.ndarray:
    """Frames (F, T) that each of F features is made of: single ones at ``fps``, a TSM's segments, ``num_clips`` clips.

    Raises:
        ModelError: a picture for a 3D model.
    """
    spec, model = teacher.spec, teacher.model
    if model.is_framewise:
        return frames_at_rate(source.times, source.duration_sec, fps=fps)[:, None]
    if model.is_2d:
        return segment_indices_test(source.num_frames, num_segments=spec.num_segments)[None]
    _refuse_pictures(source, record, teacher)
    return clip_indices_test(
        source.num_frames, num_clips=num_clips, clip_frames=spec.num_frames, frame_interval=spec.frame_interval
    )


def _refuse_pictures(source: MediaSource, record: Record, teacher: Teacher) -> None:
    if is_picture(source):
        raise ModelError(
            f"{record.where}: a picture cannot be judged by the 3D teacher {teacher.name}, which would have to be "
            f"deflated, and that fails (Sec. 3.4); give pictures to a 2D teacher, such as a TSN"
        )
