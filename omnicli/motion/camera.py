"""An image as a clip seen by a moving camera: from a recipe to pixels (OmniSource Sec. 3.5, Eq. 2, Table 8).

The recipe of a clip is the field ``inflation`` of its record. It holds everything but the image, so the clip is
computed when a model reads it:

    {"mode": "perspective-agnostic", "seed": 0, "mean": [8 numbers], "covariance": [36 numbers]}

``mean`` and ``covariance`` describe the steps from one source frame to the next (``motion.homography``), the covariance
as its lower triangle, row by row; translations have 2 and 3 numbers instead, "still" has none.

Ours:
- Translations use the translation part of the fitted distribution: "translate-constant" draws one velocity per clip,
  "translate-random" one per frame.
- The crop of ``motion.homography.place_crop``. A draw whose crop is under 60 % of the image's sides, or whose frames
  fold over, is drawn again, up to 20 times; after that the image stays still.
- Draws are keyed by (seed, "inflate", id of the record, epoch, draw) alone: every epoch has a new motion, and so has
  every further draw of an image in an epoch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from omnicli.errors import InputError, MediaError
from omnicli.media.codecs import quiet_codecs
from omnicli.media.source import MediaSource
from omnicli.motion.homography import STILL, TRANSLATION, Gaussian, compose, place_crop
from omnicli.motion.motion_file import Motion, round_digits
from omnicli.rng import keyed_rng
from omnicli.streams.record import Record

STAGE = "inflate"
MODES = ("still", "translate-random", "translate-constant", "perspective-agnostic", "perspective-specific")
SPECIFIC = "perspective-specific"
TRANSLATIONS = ("translate-random", "translate-constant")
MIN_CROP = 0.6
MAX_DRAWS = 20
MEAN_DIGITS, COVARIANCE_DIGITS = 9, 6  # significant digits; more make no difference after 64 steps

quiet_codecs()


@dataclass(frozen=True)
class CameraPath:
    """The part of an image that each frame of a clip shows.

    Attributes:
        views: (T, 3, 3) from a point of a frame to a point of the image, in the coordinates of ``motion.homography``.
        scale: sides of the crop as a share of the image's, in [0.6, 1].
        num_redrawn: rejected draws.
        gave_up: all draws were rejected, and the image stays still.
    """

    views: np.ndarray
    scale: float
    num_redrawn: int = 0
    gave_up: bool = False


def make_recipe(mode: str, motion: Gaussian | None, *, seed: int) -> dict[str, Any]:
    """The field ``inflation`` of a record, with rounded numbers.

    Args:
        mode: one of ``MODES``.
        motion: (8,) distribution of the steps; None for "still".
        seed: of every draw.
    """
    if mode == "still":
        return {"mode": mode}
    if motion is None:
        raise ValueError(f"mode {mode!r} needs a motion")
    if mode in TRANSLATIONS:
        motion = motion.part(TRANSLATION)
    lower = motion.covariance[np.tril_indices(len(motion.mean))]
    return {
        "mode": mode,
        "seed": seed,
        "mean": round_digits(motion.mean, MEAN_DIGITS),
        "covariance": round_digits(lower, COVARIANCE_DIGITS),
    }


def recipe_for(record: Record, mode: str, motion: Motion | None, *, seed: int) -> dict[str, Any]:
    """The recipe of one image; "perspective-specific" uses the motion of its class and stores the class in ``class``.

    Ours: an image whose class has no fitted motion gets the agnostic motion, and ``class`` is null.
    """
    if motion is None or mode != SPECIFIC:
        return make_recipe(mode, motion.agnostic.gaussian if motion else None, seed=seed)
    name = next((known for named in class_names(record) if (known := motion.find_class(named))), None)
    fitted = motion.classes[name] if name else motion.agnostic
    return {**make_recipe(mode, fitted.gaussian, seed=seed), "class": name}


def class_names(record: Record) -> Iterator[str]:
    """Class names of a record, the most reliable first: pseudo-label, label, queries."""
    for field in ("pseudo_class", "class_name", "queries", "query"):
        value = record.get(field)
        yield from value if isinstance(value, list) else [value] if value else []


def inflate_image(
    source: MediaSource,
    record: Record,
    *,
    num_frames: int,
    frame_interval: int,
    short_side: int,
    epoch: int = 0,
    draw: int = 0,
) -> np.ndarray:
    """The clip of an image (OmniSource Eq. 2).

    The same record, epoch, draw and clip shape give the same clip in any order, batch and process. ``omni inflate
    --shards`` writes the clip of epoch 0, draw 0. Shown frames are ``frame_interval`` source frames apart, each of
    which is one step: a 4x16 clip spans 64 source frames and shows the 1st, 17th, 33rd and 49th.

    Args:
        source: the image, open.
        record: its ``id`` and ``inflation`` are read.
        num_frames: T, frames of the clip.
        frame_interval: source frames from one shown frame to the next.
        short_side: pixels of the clip; its shape is the image's.
        epoch: part of the key of the motion.
        draw: how often the image was drawn before in this epoch; part of the key of the motion.

    Returns:
        (T, H, W, 3) uint8 RGB.

    Raises:
        MediaError: the image does not decode, or is a video.
        InputError: no recipe, or an invalid one; names the record.
    """
    aspect, shape = image_aspect(source), {"num_frames": num_frames, "frame_interval": frame_interval}
    path = draw_path(record, aspect=aspect, **shape, epoch=epoch, draw=draw)
    return render_path(source, path, short_side=short_side)


def draw_path(
    record: Record, *, aspect: float, num_frames: int, frame_interval: int, epoch: int = 0, draw: int = 0
) -> CameraPath:
    """The path of the camera over the image; see ``inflate_image``.

    Args:
        record: its ``id`` and ``inflation`` are read.
        aspect: width / height of the image.
        num_frames: T.
        frame_interval: source frames from one to the next.
        epoch: part of the key of the motion.
        draw: part of the key of the motion.

    Raises:
        InputError: no recipe, or an invalid one; names the record.
    """
    recipe = record.require("inflation")
    motion = recipe_motion(recipe, record.where)
    if motion is None or num_frames == 1:
        return CameraPath(_stay(num_frames), 1.0)
    num_steps = (num_frames - 1) * frame_interval
    for num_redrawn in range(MAX_DRAWS):
        key = draw * MAX_DRAWS + num_redrawn
        rng = keyed_rng(int(recipe["seed"]), STAGE, str(record.require("id")), epoch, key)
        steps = draw_steps(str(recipe["mode"]), motion, num_steps, rng)
        scale, views = place_crop(compose(steps, frame_interval=frame_interval), aspect=aspect)
        if scale >= MIN_CROP:
            return CameraPath(views, float(scale), num_redrawn=num_redrawn)
    return CameraPath(_stay(num_frames), 1.0, num_redrawn=MAX_DRAWS - 1, gave_up=True)


def render_path(source: MediaSource, path: CameraPath, *, short_side: int) -> np.ndarray:
    """The frames of a camera on ``path``, (T, H, W, 3) uint8 RGB.

    The image is read at the size at which the crop has the pixels of the clip, so the warp does not change the scale.
    Every frame is warped from the image, so the last is as sharp as the second.

    Raises:
        MediaError: the image does not decode.
    """
    wanted = int(short_side / path.scale + 0.5)
    image = source.read([0], short_side=wanted)[0]
    ratio = short_side / min(source.height, source.width)
    height, width = (max(int(side * ratio + 0.5), 1) for side in (source.height, source.width))
    return warp_image(image, path.views, height=height, width=width, aspect=image_aspect(source))


def warp_image(image: np.ndarray, views: np.ndarray, *, height: int, width: int, aspect: float) -> np.ndarray:
    """Frames warped from an image.

    The views stay on the image, so no border shows. Between its outermost pixel centres and its edge, the outermost
    pixels are repeated, as in resizing.

    Args:
        image: (H, W, 3) uint8, of any size.
        views: (T, 3, 3) from ``place_crop``.
        height: of the frames, pixels.
        width: of the frames, pixels.
        aspect: width / height that ``place_crop`` was given.

    Returns:
        (T, height, width, 3) uint8.
    """
    to_image = _to_pixels(image.shape[0], image.shape[1], aspect)
    matrices = to_image @ views @ _from_pixels(height, width, aspect)
    frames = np.empty((len(views), height, width, 3), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moves = (np.diff(matrices, axis=0) != 0).any(axis=(1, 2)).tolist()
    for index, (matrix, is_new) in enumerate(zip(matrices, [True, *moves], strict=True)):
        if is_new:
            cv2.warpPerspective(image, matrix, (width, height), frames[index], flags, cv2.BORDER_REPLICATE)
        else:
            frames[index] = frames[index - 1]
    return frames


def draw_steps(mode: str, motion: Gaussian, num_steps: int, rng: np.random.Generator) -> np.ndarray:
    """(num_steps, 8) parameters of the steps of one clip."""
    if mode not in TRANSLATIONS:
        return motion.draw(num_steps, rng)  # "each matrix H_i is randomly sampled from … N(μ, Σ)"
    steps = np.tile(STILL, (num_steps, 1))
    steps[:, TRANSLATION] = motion.draw(1 if mode == "translate-constant" else num_steps, rng)
    return steps


def try_paths(
    mode: str, motion: Gaussian, *, num_frames: int, frame_interval: int, num_clips: int = 500, aspect: float = 4 / 3
) -> np.ndarray:
    """The crops of random clips of a motion, a measure of its strength.

    Returns:
        (num_clips,) sides of the crop as a share of the image's; a draw under 0.6 would be drawn again.
    """
    if mode in TRANSLATIONS:
        motion = motion.part(TRANSLATION)
    rng = np.random.default_rng(0)
    num_steps = (num_frames - 1) * frame_interval
    steps = np.stack([draw_steps(mode, motion, num_steps, rng) for _ in range(num_clips)])
    return place_crop(compose(steps, frame_interval=frame_interval), aspect=aspect)[0]


def image_aspect(source: MediaSource) -> float:
    """Width / height of an open image. Raises MediaError for a video."""
    if source.num_frames != 1 or source.fps:
        raise MediaError("a video, not an image to inflate")
    return source.width / source.height


def recipe_motion(recipe: Mapping[str, Any], where: str) -> Gaussian | None:
    """The distribution in a recipe; None for a still image.

    Args:
        recipe: the field ``inflation``.
        where: names the record in errors.

    Raises:
        InputError: an invalid recipe.
    """
    mode = recipe.get("mode")
    if mode == "still":
        return None
    if mode not in MODES:
        raise InputError(f"{where}: inflation: mode {mode!r}, expected one of {', '.join(MODES)}")
    if type(recipe.get("seed")) is not int:
        raise InputError(f"{where}: inflation: seed {recipe.get('seed')!r}, expected a whole number")
    size = len(TRANSLATION) if mode in TRANSLATIONS else len(STILL)
    try:
        return _gaussian(tuple(recipe["mean"]), tuple(recipe["covariance"]), size)
    except (KeyError, TypeError, ValueError):
        expected = f"a mean of {size} and a covariance of {size * (size + 1) // 2} numbers"
        raise InputError(f"{where}: inflation: mode {mode!r} needs {expected}") from None


@lru_cache(maxsize=1024)  # the records of a stream share one, or one per class
def _gaussian(mean: tuple[float, ...], lower: tuple[float, ...], size: int) -> Gaussian:
    covariance = np.zeros((size, size))
    covariance[np.tril_indices(size)] = np.array(lower, np.float64)
    if len(lower) < size:  # a single number was broadcast
        raise ValueError(lower)
    return Gaussian(np.array(mean, np.float64).reshape(size), covariance + np.tril(covariance, -1).T)


def _stay(num_frames: int) -> np.ndarray:
    """(T, 3, 3) views of a camera that does not move."""
    return np.tile(np.eye(3), (num_frames, 1, 1))


def _to_pixels(height: int, width: int, aspect: float) -> np.ndarray:
    """(3, 3) from normalised coordinates to pixels whose centres are whole numbers; edges map to edges."""
    across, down = max(aspect, 1.0), max(1 / aspect, 1.0)
    return np.array([[width / 2 / across, 0, (width - 1) / 2], [0, height / 2 / down, (height - 1) / 2], [0, 0, 1]])


def _from_pixels(height: int, width: int, aspect: float) -> np.ndarray:
    """(3, 3), the inverse of ``_to_pixels``."""
    across, down = 2 * max(aspect, 1.0) / width, 2 * max(1 / aspect, 1.0) / height
    return np.array([[across, 0, across * (1 - width) / 2], [0, down, down * (1 - height) / 2], [0, 0, 1]])
