"""Inflating web images to clips, by a moving camera (OmniSource Sec. 3.5, Eq. 2, Table 8).

    in    records: images; other media pass untouched
    out   the same records in the same order, images with `inflation`: the recipe of their clip; or, with pixels, as
          `PARENT#0`, `media: clip`, with the array `frames` of JPEG files

Paper: each step of the camera is drawn from N(μ, Σ), estimated on videos; Table 8 compares five ways.
Ours: a recipe instead of pixels unless pixels are asked for, so that each epoch of training sees a new motion and no
disk is filled. A recipe keeps the id, for the image is still what it was; pixels are a new medium and get their own.
"perspective-specific" takes the motion of the first of `pseudo_class`, `class_name`, `query` that the motion file
knows; an image of which it knows none gets the agnostic motion (counted: the paper finds that "all videos might share
similar camera motion statistics"), and its recipe has `class: null`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from omnicli.media.image import encode_jpeg
from omnicli.media.record_map import map_records
from omnicli.media.source import open_media
from omnicli.motion.camera import draw_path, image_aspect, recipe_for, render_path
from omnicli.motion.motion_file import Motion
from omnicli.streams.record import OnDrop, Record


@dataclass(frozen=True, kw_only=True)
class Camera:
    """How images are seen.

    Attributes:
        mode: one of ``data.inflation.MODES``.
        motion: what was fitted; not needed to stand still.
        seed: of what is drawn.
    """

    mode: str
    motion: Motion | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ClipShape:
    """Pixels of a clip.

    Attributes:
        num_frames: T.
        frame_interval: source frames from one to the next; 4 frames 16 apart are "4x16".
        short_side: pixels; the shape is the image's.
        quality: of the JPEG files, 1 to 100.
        workers: threads that decode, warp and encode.
    """

    num_frames: int = 4
    frame_interval: int = 16
    short_side: int = 256
    quality: int = 85
    workers: int = 1


def inflate_records(
    records: Iterable[Record],
    *,
    camera: Camera,
    shape: ClipShape | None = None,
    root: str | None = None,
    on_drop: OnDrop,
) -> Iterator[Record]:
    """Turn images into clips.

    Args:
        records: any media.
        camera: how images are seen.
        shape: of the pixels; None: recipes.
        root: folder that relative paths start from.
        on_drop: takes images that cannot be read; a recipe reads none.

    Yields:
        Every record. Pixels are in ``arrays``: ``frames``, and ``num_redrawn`` and ``gave_up`` for the counters.
    """
    inflate = partial(_inflate, camera=camera, shape=shape, root=root)
    return map_records(inflate, records, workers=shape.workers if shape else 0, on_drop=on_drop)


def _inflate(record: Record, *, camera: Camera, shape: ClipShape | None, root: str | None) -> Record:
    """An image with its recipe or the pixels of its clip; other media as they are. Raises MediaError."""
    if not _is_image(record, root):
        return record
    made = record.derive(media="image", inflation=recipe_for(record, camera.mode, camera.motion, seed=camera.seed))
    return made if shape is None else _clip(made, shape, root)


def _is_image(record: Record, root: str | None) -> bool:
    """By ``media``; a record that does not say is opened."""
    media = record.get("media")
    if media is not None:
        return bool(media == "image")
    with open_media(record, root=root) as source:
        return source.num_frames == 1 and not source.fps


def _clip(record: Record, shape: ClipShape, root: str | None) -> Record:
    """The image as pixels of its clip of epoch 0. Raises MediaError."""
    with open_media(record, root=root) as source:
        path = draw_path(
            record, aspect=image_aspect(source), num_frames=shape.num_frames, frame_interval=shape.frame_interval
        )
        frames = render_path(source, path, short_side=shape.short_side)  # (T, H, W, 3)
    made = record.derive(
        id=f"{record['id']}#0",
        parent=record.get("parent") or record["id"],
        media="clip",
        inflation={**record["inflation"], "frame_interval": shape.frame_interval},
        num_frames=shape.num_frames,
        width=frames.shape[2],
        height=frames.shape[1],
    )
    made.arrays = {
        "frames": [encode_jpeg(frame, quality=shape.quality) for frame in frames],
        "num_redrawn": path.num_redrawn,
        "gave_up": path.gave_up,
    }
    return made
