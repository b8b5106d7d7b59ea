"""Views of media: the frames, crops and sizes that a model is shown at test time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from omnicli.data.frame_sampling import Generation, clip_indices_test, segment_indices_test, stacks_at
from omnicli.data.own_view import own_view
from omnicli.data.transforms import centre_crop, resize_short_side, ten_crops, three_crops
from omnicli.errors import ModelError
from omnicli.media.frame_times import frames_at_rate
from omnicli.media.source import MediaSource, is_image, open_modality
from omnicli.media.source_rate import clip_frames
from omnicli.models.loading import LoadedModel
from omnicli.streams.record import Record

Crops = Literal["centre", "three", "ten", "full"]


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """Frames, crops and sizes of the views; None stands for the model's own value.

    Attributes:
        num_segments: snippets of a video, one per segment (2D models).
        num_clips: clips spread over a video (3D models).
        short_side: pixels that the short side is resized to.
        crop_size: pixels of each square.
        crops: the centre; three along the long side; corners and centre with their mirror images; or the full frame,
            which makes the test fully convolutional (IG-65M Sec. 4.4).
        generation: mmaction2's or old mmaction's choice of frames.
        fully_convolutional: classify every window of the training crop's size and average the scores (3D models,
            IG-65M Sec. 4.4).
        root: folder that relative paths start from.
    """

    num_segments: int | None = None
    num_clips: int = 10
    short_side: int | None = None
    crop_size: int | None = None
    crops: Crops = "centre"
    generation: Generation = "1.x"
    fully_convolutional: bool = False
    root: str | None = None

    @property
    def have_one_size(self) -> bool:
        """Whether all views of a model have one size, and are classified at once: only then it can be compiled."""
        return self.crops != "full" and not self.fully_convolutional


class _Shape(NamedTuple):
    """What decides a model's views: models with the same shape share them."""

    short_side: int
    crop_size: int
    is_framewise: bool
    num_frames: int  # segments of a 2D model
    flow_pairs: int  # that a 2D model stacks; 0 for RGB
    frame_interval: int
    resize: str = ""  # of a model that has its own preprocessing, and is shown nothing else


def read_views(record: Record, *, models: Sequence[LoadedModel], views: ViewOptions) -> list[np.ndarray]:
    """Views (V, T, H, W, 3) uint8 RGB of a record for every model; models with the same input share an array.

    TSN: V = crops x segments, T = 1, or the stacked pairs of flow. TSM: V = crops, T = segments. 3D models: V = crops x
    clips, T = frames per clip.

    Raises:
        MediaError: the media cannot be opened, or a wanted frame does not decode.
        ModelError: an image for a 3D model.
    """
    with open_modality(record, is_flow=bool(one_modality(models)), root=views.root) as source:
        return views_of(source, record, models=models, views=views)


def one_modality(models: Sequence[LoadedModel]) -> int:
    """Pairs of flow that the models take; 0 for RGB. Raises ModelError: some take flow and others RGB."""
    first = models[0]
    for other in models[1:]:
        if bool(other.spec.flow_pairs) != bool(first.spec.flow_pairs):
            names = f"{first.name} takes {first.spec.modality}, {other.name} {other.spec.modality}"
            raise ModelError(f"{names}: score with each alone, and join the scores: omni eval --fuse")
    return first.spec.flow_pairs


def views_of(
    source: MediaSource, record: Record, *, models: Sequence[LoadedModel], views: ViewOptions
) -> list[np.ndarray]:
    """``read_views`` of open media."""
    made: dict[_Shape, np.ndarray] = {}
    shapes = [_shape_of(model, views) for model in models]
    for model, shape in zip(models, shapes, strict=True):
        if shape not in made:
            indices = _view_indices(source, record, model, shape, views)
            made[shape] = _read_crops(source, indices, shape, views.crops)
    return [made[shape] for shape in shapes]


def _shape_of(model: LoadedModel, views: ViewOptions) -> _Shape:
    spec, network = model.spec, model.network
    is_2d = network.is_2d
    return _Shape(
        short_side=views.short_side or spec.short_side,
        crop_size=views.crop_size or spec.crop_size,
        is_framewise=is_2d and network.is_framewise,
        num_frames=(views.num_segments or spec.num_segments) if is_2d else spec.num_frames,
        frame_interval=0 if is_2d else spec.frame_interval,
        flow_pairs=spec.flow_pairs,
        resize="" if views.short_side or views.crop_size or views.crops != "centre" else spec.resize,
    )


def _view_indices(
    source: MediaSource, record: Record, model: LoadedModel, shape: _Shape, views: ViewOptions
) -> np.ndarray:
    """Frame indices (V', T) of the views, before cropping. Raises ModelError: an image for a 3D model."""
    num_frames, generation = source.num_frames, views.generation
    if not model.network.is_2d:
        _refuse_image(source, record, model)
        choose = partial(
            clip_indices_test, num_clips=views.num_clips, clip_frames=shape.num_frames,
            frame_interval=shape.frame_interval, generation=generation,
        )  # fmt: skip
        return clip_frames(source, choose, frame_interval=shape.frame_interval, where=record.where)
    if shape.flow_pairs:
        return clip_indices_test(
            num_frames, num_clips=shape.num_frames, clip_frames=shape.flow_pairs, frame_interval=1,
            generation=generation,
        )  # fmt: skip
    if num_frames == 1:
        # OmniSource Sec. 3.4: 2D models take images as they are. Ours: a TSM, trained to shift, sees a still clip
        return np.zeros((1, 1 if shape.is_framewise else shape.num_frames), np.int64)
    indices = segment_indices_test(num_frames, num_segments=shape.num_frames, generation=generation)
    return indices[:, None] if shape.is_framewise else indices[None]


def feature_indices(
    source: MediaSource, record: Record, model: LoadedModel, *, fps: float, num_clips: int
) -> np.ndarray:
    """Frame indices (F, T) of F features: single frames at ``fps`` (TSN), segments (TSM), or ``num_clips`` clips (3D).

    Raises:
        ModelError: an image for a 3D model.
    """
    spec, network = model.spec, model.network
    if network.is_framewise:
        starts = frames_at_rate(source.times, source.duration_sec, fps=fps)
        return stacks_at(starts, source.num_frames, stack_frames=spec.flow_pairs or 1)
    if network.is_2d:
        return segment_indices_test(source.num_frames, num_segments=spec.num_segments)[None]
    _refuse_image(source, record, model)
    choose = partial(
        clip_indices_test, num_clips=num_clips, clip_frames=spec.num_frames, frame_interval=spec.frame_interval
    )
    return clip_frames(source, choose, frame_interval=spec.frame_interval, where=record.where)


def _read_crops(source: MediaSource, indices: np.ndarray, shape: _Shape, crops: Crops) -> np.ndarray:
    """Every crop (crops * V', T, H, W, 3) of the frames at ``indices`` (V', T); the full frame keeps its two sides."""
    unique, inverse = np.unique(indices.reshape(-1), return_inverse=True)  # a short video repeats frames: decode once
    if shape.resize:
        own = own_view(source.read(unique.tolist()), shape.crop_size, shape.resize)[inverse]
        return own.reshape(-1, indices.shape[1], *own.shape[1:])
    frames = resize_short_side(source.read(unique.tolist(), short_side=shape.short_side), shape.short_side)[inverse]
    match crops:
        case "three":
            cropped = three_crops(frames, shape.crop_size)
        case "ten":
            cropped = ten_crops(frames, shape.crop_size, is_flow=shape.flow_pairs > 0)
        case "full":
            cropped = frames[None]
        case _:
            cropped = centre_crop(frames, shape.crop_size)[None]
    return cropped.reshape(-1, indices.shape[1], *cropped.shape[2:])


def _refuse_image(source: MediaSource, record: Record, model: LoadedModel) -> None:
    if is_image(source):
        raise ModelError(
            f"{record.where}: an image cannot be scored by the 3D model {model.name}, and deflating a 3D model to "
            "images fails (OmniSource Sec. 3.4); use a 2D model, such as a TSN, for images"
        )
