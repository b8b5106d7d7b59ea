"""A record as a training clip: which frames, which crop, which way round."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from omnicli.data.keyed_random import keyed_rng
from omnicli.data.sampling import clip_indices_train
from omnicli.data.transforms import flip, multi_scale_crop, random_resized_crop, resize_short_side
from omnicli.media.source import open_media
from omnicli.streams.records import Record

Crop = Literal["random-resized", "multi-scale"]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training looks at media.

    Attributes:
        num_segments: snippets, one in each of so many equal parts of the video (TSN, TSM); 1 for 3D models.
        short_side: pixels the short side is resized to first.
        crop_size: pixels of the square the model sees.
        crop: ``random-resized`` or ``multi-scale`` (CHECKPOINTS section 4); one box for all snippets of a clip.
        min_area: smallest share of the picture a random-resized crop takes; the released code has 0.08.
        seed: of all draws.
        stage: whose draws; part of the key.
        root: folder that relative paths start from.
        num_frames: of a snippet; 1 for TSN and TSM, the 4 of "4x16" for a 3D model.
        frame_interval: from one of them to the next, the 16 of "4x16".
    """

    num_segments: int
    short_side: int
    crop_size: int
    crop: Crop = "random-resized"
    min_area: float = 0.08
    seed: int = 0
    stage: str = "teacher-train"
    root: str | None = None
    num_frames: int = 1
    frame_interval: int = 1


def read_training_clip(record: Record, look: Augmentation, *, epoch: int) -> np.ndarray:
    """One random view of a picture, video or folder of frames; the same for the same id, epoch and seed.

    Returns:
        (S, crop_size, crop_size, 3) uint8 RGB, S = segments x frames of a snippet. A picture is repeated S times.

    Raises:
        MediaError: it cannot be opened, or a wanted frame does not decode.
    """
    rng = keyed_rng(look.seed, look.stage, str(record.get("id")), epoch)
    with open_media(record, root=look.root) as source:
        indices = clip_indices_train(
            source.num_frames, num_clips=look.num_segments, clip_frames=look.num_frames,
            frame_interval=look.frame_interval, rng=rng,
        ).reshape(-1)  # fmt: skip
        unique, inverse = np.unique(indices, return_inverse=True)
        frames = source.read(unique.tolist(), short_side=look.short_side)[inverse]
    frames = resize_short_side(frames, look.short_side)  # (S, H, W, 3)
    if look.crop == "multi-scale":
        cropped = multi_scale_crop(frames, look.crop_size, rng)
    else:
        cropped = random_resized_crop(frames, look.crop_size, rng, area_range=(look.min_area, 1.0))
    return np.ascontiguousarray(flip(cropped) if rng.random() < 0.5 else cropped)
