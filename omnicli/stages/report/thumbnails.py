"""A record as a small image inside a page: the middle frame, or three frames side by side for what moves."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from omnicli.errors import OmniError
from omnicli.media.flow_pixels import flow_colours
from omnicli.media.frame_times import frames_at
from omnicli.media.source import open_media
from omnicli.streams.reading import reading
from omnicli.streams.record import Record
from omnicli.streams.shards.features import is_stored, made_of

SHORT_SIDE = 128  # pixels decoded and stored; the page shows them a little smaller
NARROWEST, WIDEST = 1 / 1.6, 2.2  # width / height of what is shown; what lies beyond is cut off evenly
JPEG_QUALITY = 80
SMALL_SIDE, SMALL_QUALITY = 108, 70  # as large as shown, for pages of very many
ROUNDING_SEC = 0.0005  # a match and a segmented video have rounded times: the frame is on screen from then on
STRIP_AT = (1 / 6, 1 / 2, 5 / 6)  # where in a video the three frames are taken


@dataclass(frozen=True)
class Thumbnail:
    """What the page shows of one record.

    Attributes:
        uri: ``data:`` URI of a JPEG; "" where there is nothing to show.
        aspect: width / height of one frame.
        num_frames: frames side by side in it, the middle one being the one to show.
        duration_sec: of a video, 0 for an image.
        why_not: why there is no image.
    """

    uri: str = ""
    aspect: float = 4 / 3
    num_frames: int = 1
    duration_sec: float = 0.0
    why_not: str = ""


def make_thumbnail(
    record: Record, *, root: str | None = None, at_sec: float | None = None, small: bool = False
) -> Thumbnail:
    """A small image of the record, or why there is none; never raises for bad media.

    Args:
        record: an image, video, folder of frames or row of a shard; of features, the media that they were made from.
        root: folder that relative paths start from.
        at_sec: show the frame at this time alone, seconds; None: the whole.
        small: about half as many bytes.
    """
    side, quality = (SMALL_SIDE, SMALL_QUALITY) if small else (SHORT_SIDE, JPEG_QUALITY)
    if not record.get("path"):
        return Thumbnail(why_not="no path")
    try:
        with reading(record):
            if is_stored(record):
                record = made_of(record, root)
            frames, duration_sec = _frames(record, root, at_sec)
            if record.get("media") == "flow":
                frames = [flow_colours(frame) for frame in frames]
    except OmniError as error:
        return Thumbnail(why_not=str(error))
    reduced = [_small(frame, side) for frame in frames]
    ok, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(np.hstack(reduced), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not ok:
        return Thumbnail(why_not="cannot be drawn")
    height, width = reduced[0].shape[:2]
    uri = "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
    return Thumbnail(uri=uri, aspect=width / height, num_frames=len(reduced), duration_sec=duration_sec)


def _frames(record: Record, root: str | None, at_sec: float | None) -> tuple[Sequence[np.ndarray], float]:
    """Frames to show, (H, W, 3) uint8 RGB each, and the duration in seconds."""
    with open_media(record, root=root, flow=True) as source:
        last = source.num_frames - 1
        indices = _strip(last) if at_sec is None else frames_at(source.times, [at_sec + ROUNDING_SEC]).tolist()
        short_side = min(SHORT_SIDE, source.height, source.width)
        return list(source.read(indices, short_side=short_side)), source.duration_sec


def _strip(last: int) -> list[int]:
    """Indices of three frames, or of the middle one where there are fewer than three."""
    return [round(part * last) for part in STRIP_AT] if last >= 2 else [last // 2]


def _small(frame: np.ndarray, side: int) -> np.ndarray:
    """The frame cut to a presentable shape and at most ``side`` high."""
    height, width = frame.shape[:2]
    if width > WIDEST * height:
        start = (width - round(WIDEST * height)) // 2
        frame = frame[:, start : start + round(WIDEST * height)]
    elif width < NARROWEST * height:
        start = (height - round(width / NARROWEST)) // 2
        frame = frame[start : start + round(width / NARROWEST)]
    height, width = frame.shape[:2]
    scale = min(side / height, 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return cv2.resize(np.ascontiguousarray(frame), size, interpolation=cv2.INTER_AREA)
