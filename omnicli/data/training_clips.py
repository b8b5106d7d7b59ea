"""A record as a training clip: frame sampling, crop and flip."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from omnicli.data.frame_sampling import clip_indices_train, draw_snippets, stacks_at
from omnicli.data.positive_clips import draw_clip
from omnicli.data.randaugment import NONE, parse_randaugment
from omnicli.data.transforms import (
    erase_box,
    flip,
    multi_scale_crop,
    random_crop,
    random_resized_crop,
    resize_short_side,
)
from omnicli.errors import InputError, MediaError
from omnicli.media.frame_times import frames_at
from omnicli.media.source import MediaSource, is_image, open_modality
from omnicli.media.source_rate import clip_frames
from omnicli.motion.camera import inflate_image, recipe_motion
from omnicli.rng import keyed_rng
from omnicli.streams.files.media_files import media_path
from omnicli.streams.record import Record
from omnicli.streams.shards.features import BACKBONE_ATTRIBUTES, check_backbone, describe_backbone
from omnicli.streams.shards.reader import open_shard

Crop = Literal["random-resized", "multi-scale", "random"]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training clips are drawn from media.

    Attributes:
        num_segments: snippets, one per equal part of the video (TSN, TSM); 1 for 3D models.
        short_side: pixels the short side is resized to first.
        crop_size: pixels of the square input.
        crop: ``random-resized`` or ``multi-scale`` (mmaction2), or ``random``, a square without resizing, as in
            IG-65M Sec. 3.3; one box for all snippets of a clip.
        min_area: smallest share of the image in a random-resized crop; 0.08 in the released code.
        flip: mirror half of the clips; of optical flow, x changes its sign.
        randaugment: operations on the frames before the crop (``data.randaugment``); "none" for none.
        random_erasing: probability that a box of the clip becomes noise.
        mean: of that noise, RGB on the scale 0-255.
        std: of that noise.
        seed: of all draws.
        stage: part of the key of all draws.
        root: folder that relative paths start from.
        num_frames: frames per snippet; 1 for TSN and TSM, the 4 of "4x16" for a 3D model, the stacked pairs of flow.
        frame_interval: source frames between them, the 16 of "4x16".
        num_positive: positive snippets of a segmented video (OmniSource Sec. 3.5); None is a third of all snippets, the
            1 of 3 of the paper.
        images_once: an image is one frame, not a still clip. A TSN averages over its segments, and the mean over equal
            frames is that of one of them; a TSM, trained to shift, sees a still clip.
        is_flow: the model takes optical flow.
    """

    num_segments: int
    short_side: int
    crop_size: int
    crop: Crop = "random-resized"
    min_area: float = 0.08
    flip: bool = True
    randaugment: str = NONE
    random_erasing: float = 0.0
    mean: Sequence[float] = (0.0, 0.0, 0.0)
    std: Sequence[float] = (1.0, 1.0, 1.0)
    seed: int = 0
    stage: str = "teacher-train"
    root: str | None = None
    num_frames: int = 1
    frame_interval: int = 1
    num_positive: int | None = None
    images_once: bool = False
    is_flow: bool = False


def read_training_clip(record: Record, augmentation: Augmentation, *, epoch: int, draw: int = 0) -> np.ndarray:
    """One random clip of any media (OmniSource Sec. 3.5); the same for the same id, epoch, draw and seed.

    A video gives a random frame of each segment, or a dense clip; a segmented video (``positive_sec``) gives positive
    and negative snippets; a long video (``positive_clips``) is read as one of its positive clips; an image is a still
    clip, or for a 3D model a clip of a moving camera if it has an ``inflation``, or with ``augmentation.images_once`` a
    single frame.

    Returns:
        (S, crop_size, crop_size, 3) uint8 RGB, S = segments x frames of a snippet, or 1.

    Raises:
        MediaError: it cannot be opened, or a frame does not decode.
    """
    rng = keyed_rng(augmentation.seed, augmentation.stage, str(record.get("id")), epoch, draw)
    if record.get("positive_clips") is not None:
        key = (str(record.get("id")), epoch, draw)
        record = draw_clip(record, keyed_rng(augmentation.seed, f"{augmentation.stage} clip", *key))
    with open_modality(record, is_flow=augmentation.is_flow, root=augmentation.root) as source:
        if record.get("inflation") is not None and augmentation.num_frames > 1 and is_image(source):
            frames = inflate_image(
                source, record, num_frames=augmentation.num_frames, frame_interval=augmentation.frame_interval,
                short_side=augmentation.short_side, epoch=epoch, draw=draw,
            )  # fmt: skip
            inverse = None
        else:
            indices = _frame_indices(source, record, augmentation, rng)  # (S,)
            if augmentation.images_once and is_image(source):
                indices = indices[:1]
            unique, inverse = np.unique(indices, return_inverse=True)
            frames = source.read(unique.tolist(), short_side=augmentation.short_side)
    frames = _augment(resize_short_side(frames, augmentation.short_side), augmentation, rng)  # (S, H, W, 3)
    clip = np.ascontiguousarray(frames if inverse is None else frames[inverse])
    if augmentation.random_erasing and rng.random() < augmentation.random_erasing:
        erase_box(clip, rng, mean=augmentation.mean, std=augmentation.std)
    return clip


def _augment(frames: np.ndarray, augmentation: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Frames (T, H, W, 3) → (T, crop_size, crop_size, 3), all of them alike; may be a view."""
    if (randaugment := parse_randaugment(augmentation.randaugment)) is not None:
        frames = randaugment(frames, rng)
    if augmentation.crop == "multi-scale":
        cropped = multi_scale_crop(frames, augmentation.crop_size, rng)
    elif augmentation.crop == "random":
        cropped = random_crop(frames, augmentation.crop_size, rng)
    else:
        cropped = random_resized_crop(frames, augmentation.crop_size, rng, area_range=(augmentation.min_area, 1.0))
    is_mirrored = augmentation.flip and rng.random() < 0.5
    return flip(cropped, is_flow=augmentation.is_flow) if is_mirrored else cropped


def _frame_indices(
    source: MediaSource, record: Record, augmentation: Augmentation, rng: np.random.Generator
) -> np.ndarray:
    """(S,) frames of a random clip."""
    if record.get("positive_sec"):
        starts = frames_at(source.times, _draw_snippets(record, augmentation, rng))
        return stacks_at(starts, source.num_frames, stack_frames=augmentation.num_frames).reshape(-1)
    draw = partial(
        clip_indices_train, num_clips=augmentation.num_segments, clip_frames=augmentation.num_frames,
        frame_interval=augmentation.frame_interval, rng=rng,
    )  # fmt: skip
    if augmentation.num_frames == 1:
        return draw(source.num_frames).reshape(-1)
    return clip_frames(source, draw, frame_interval=augmentation.frame_interval, where=record.where).reshape(-1)


def _draw_snippets(record: Record, augmentation: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """(S,) times of positive and negative frames."""
    num_positive = (
        max(1, round(augmentation.num_segments / 3)) if augmentation.num_positive is None else augmentation.num_positive
    )
    return draw_snippets(
        record["positive_sec"], record.get("negative_sec") or [], rng,
        num_positive=num_positive, num_negative=augmentation.num_segments - num_positive,
    )  # fmt: skip


def check_media(
    records: Iterable[Record],
    *,
    is_2d: bool,
    is_frozen: bool,
    backbone: str | None,
    signature: str,
    content: Callable[[], str],
    root: str | None = None,
) -> None:
    """Refuse records that the model cannot learn from, before the first step.

    Args:
        records: all records of a training.
        is_2d: the model takes snippets, not clips.
        is_frozen: only the classifier is trained.
        backbone: weights of a frozen backbone (``training.setup.frozen_backbone``).
        signature: the backbone's architecture and input (``ModelSpec.signature``).
        content: digest of the backbone itself (``models.content``).
        root: folder that relative paths start from.

    Raises:
        InputError: features if the backbone is trained, or of another backbone; a segmented video for a 3D model or
            without a positive frame; an invalid inflation; names FILE:LINE.
    """
    checked: set[str] = set()
    for record in records:
        if record.get("inflation") is not None:
            recipe_motion(record["inflation"], record.where)
        if record.get("positive_sec") is not None:
            _check_snippets(record, is_2d)
        if record.get("media") != "features":
            continue
        if not is_frozen:
            raise InputError(
                f"{record.where}: features, from which only a classifier learns: give --freeze backbone, or the media"
            )
        path = media_path(record, root)
        if path not in checked:
            _check_backbone(record, path, backbone, signature, content)
            checked.add(path)


def _check_snippets(record: Record, is_2d: bool) -> None:
    if not is_2d:
        raise InputError(
            f"{record.where}: positive and negative frames are for 2D models; cut the video into clips: omni segment "
            "with a 3D teacher"
        )
    if not record["positive_sec"]:
        raise InputError(f"{record.where}: positive_sec is empty; omni segment leaves such videos out")


def _check_backbone(
    record: Record, path: str, backbone: str | None, signature: str, content: Callable[[], str]
) -> None:
    """The features of a shard are those of the backbone. Raises InputError."""
    attributes = open_shard(path).attributes
    if backbone is None:
        if any(attributes.get(name) for name in BACKBONE_ATTRIBUTES):  # shards without any are accepted
            raise InputError(
                f"{record.where}: features by {describe_backbone(attributes)}, and --init scratch draws other weights, "
                "which the classifier would not fit; give --init what omni features had"
            )
        return
    advice = "give the --model and --init that omni features had"
    check_backbone(
        record, attributes, model="the model", signature=signature, weights=backbone, digests={backbone},
        content=content, advice=advice,
    )  # fmt: skip


def read_feature(
    record: Record,
    num_features: int,
    root: str | None = None,
    *,
    augmentation: Augmentation | None = None,
    epoch: int = 0,
) -> np.ndarray:
    """A row of a feature shard as one vector: the mean over its frames or clips, as TSN averages.

    With ``augmentation``, a segmented video (``positive_sec``) gives the mean of its snippets, drawn as those of
    ``read_training_clip`` are.

    Returns:
        (num_features,) float32.

    Raises:
        MediaError: the shard cannot be read, or its features have another length.
    """
    try:
        features, times = open_shard(media_path(record, root)).features(record.require("row"))  # (F, D) float16
    except MediaError:
        raise
    except InputError as error:
        raise MediaError(str(error)) from None
    if not len(features) or features.shape[1] != num_features:
        raise MediaError(f"features {features.shape}, and the model's have {num_features} numbers")
    if augmentation is not None and record.get("positive_sec"):
        rng = keyed_rng(augmentation.seed, augmentation.stage, str(record.get("id")), epoch, 0)
        drawn = _draw_snippets(record, augmentation, rng)  # (S,) seconds
        features = features[np.abs(times[:, None] - drawn).argmin(axis=0)]
    mean: np.ndarray = features.astype(np.float32).mean(axis=0)
    return mean
