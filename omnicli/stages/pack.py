"""Packing: frames decoded and resized once, so that training reads them ten times faster than from videos.

    in    records of any media: images, videos, folders of frames, packed rows, and parts of them
    out   the same records in the same order, each with the arrays `frames` (F JPEG files), `times` (F,) seconds and
          `span_sec`, and with `width`, `height`, `fps`, `num_frames` and `duration_sec` of what was packed

Ours: JPEG at quality 85, a quarter smaller than 90 and still finer than web video is coded; the short side as models of
the paper are trained (256), never enlarged; images under a moving camera keep room to move, so that their smallest
crop is enlarged by 1.15 at most; all frames by default. Times stay those of the original file, so
`start_sec`, `end_sec`, `positive_sec` and `negative_sec` mean what they meant; where frames are left out, `source_fps`
says the rate of the video, in whose frames intervals are counted. Of a video whose 1-FPS frames were
scored (OmniSource Sec. 3.5), only those frames are packed, and of one with positive clips only these: training draws
no other.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np

from omnicli.data.frame_sampling import segment_indices_test
from omnicli.errors import MediaError
from omnicli.media.frame_times import frames_at, frames_at_rate
from omnicli.media.image import encode_jpeg
from omnicli.media.record_map import Dropped, keep_drops, map_records
from omnicli.media.resizing import resize_short_side
from omnicli.media.source import SLACK_SEC, MediaSource, is_image, open_media
from omnicli.media.source_rate import source_rate
from omnicli.motion.camera import MIN_CROP
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.stage_run import Stage

ROUND_DIGITS = 6
MAX_UPSCALE = 1.15  # of the smallest crop of an image under a moving camera


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """What is kept of media.

    Attributes:
        short_side: pixels; smaller media keep their size, images with an ``inflation`` 1.45 times as much.
        for_camera: all images 1.45 times as much, for a camera that is added later.
        quality: of the JPEG files, 1 to 100.
        fps: frames per second; None: all.
        max_frames: of longer media so many, evenly spread; None: all.
        root: folder that relative paths start from.
    """

    short_side: int = 256
    quality: int = 85
    fps: float | None = None
    max_frames: int | None = None
    for_camera: bool = False
    root: str | None = None


def pack_records(records: Iterable[Record], *, packing: PackOptions, workers: int, on_drop: OnDrop) -> Iterator[Record]:
    """Attach the packed frames of every record that can be read.

    Args:
        records: media.
        packing: what is kept of them.
        workers: threads that decode, resize and encode.
        on_drop: takes what cannot be read.

    Yields:
        Records whose ``arrays`` hold ``frames``, ``times`` and ``span_sec``, in order.
    """
    return map_records(partial(pack_record, packing=packing), records, workers=workers, on_drop=on_drop)


def packed_stage(stage: Stage, *, packing: PackOptions, workers: int, passes: Callable[[Record], bool]) -> Stage:
    """A stage followed by packing, as one stage: records go out with their frames.

    Ours: if one clip of a video does not decode, the video is rejected with all of its clips, as other damaged videos
    do; so the JPEG files of its clips are in memory until the last is read.

    Args:
        stage: records in, records or clips of them out.
        packing: what is kept of them.
        workers: threads that decode, resize and encode.
        passes: records for which it is true stay as they are.
    """

    def pack(record: Record) -> Record:
        return record if passes(record) else pack_record(record, packing)

    def run(records: Iterator[Record], on_drop: OnDrop) -> Iterator[Record]:
        packed = keep_drops(
            lambda records, on_drop: map_records(pack, records, workers=workers, on_drop=on_drop),
            keep_drops(stage, records),
        )
        for _, group in groupby(packed, key=_position):
            outcomes = list(group)
            dropped = next((outcome for outcome in outcomes if isinstance(outcome, Dropped)), None)
            if dropped:
                on_drop(*dropped)
            else:
                yield from (outcome for outcome in outcomes if not isinstance(outcome, Dropped))

    return run


def _position(outcome: Record | Dropped) -> int:
    return (outcome.record if isinstance(outcome, Dropped) else outcome).position


def pack_record(record: Record, packing: PackOptions) -> Record:
    """One record with its frames; the pixels of one frame at a time are in memory, the JPEG files all.

    Raises:
        MediaError: it cannot be opened, or a frame does not decode.
    """
    if record.get("media") == "flow":
        raise MediaError("optical flow, which is packed already")
    with open_media(record, root=packing.root) as source:
        if is_image(source):  # whatever the record says, or does not: its row is opened as one
            record = record.derive(media="image")
        indices = wanted_frames(record, source, packing)
        short_side = min(packed_side(record, packing), source.height, source.width)
        frames, packed, shape = [], list[int](), (0, 0)
        for index, pixels in source.walk(indices.tolist(), short_side=short_side):
            packed.append(index)
            resized = resize_short_side(pixels[None], short_side)[0]
            shape = resized.shape[:2]
            frames.append(encode_jpeg(resized, quality=packing.quality))
        rate = source_rate(source) or (source.fps if len(packed) < source.num_frames else None)
        times = np.asarray(source.times)[packed]
        span_sec = (source.start_sec, source.start_sec + source.duration_sec)
        duration_sec = round(float(source.duration_sec), ROUND_DIGITS)
    facts: dict[str, float] = {"width": shape[1], "height": shape[0]}
    if duration_sec:  # an image has none
        fps = round(len(frames) / duration_sec, ROUND_DIGITS)
        facts |= {"num_frames": len(frames), "fps": fps, "duration_sec": duration_sec}
        if rate:
            facts["source_fps"] = round(float(rate), ROUND_DIGITS)
    made = record.derive(**facts)
    made.arrays = {"frames": frames, "times": times, "span_sec": span_sec}
    return made


def packed_side(record: Record, packing: PackOptions) -> int:
    """The short side of the packed frames of a record: more for an image that a camera moves over.

    A crop of such an image, at least ``MIN_CROP`` of its sides, becomes a frame of ``short_side`` (OmniSource Eq. 2).

    >>> moving, other = Record({"inflation": {"mode": "perspective-agnostic"}}), Record({"media": "image"})
    >>> packed_side(moving, PackOptions()), packed_side(other, PackOptions())
    (372, 256)
    """
    recipe = record.get("inflation")
    is_moving = packing.for_camera and record.get("media") == "image" if recipe is None else recipe["mode"] != "still"
    return math.ceil(packing.short_side / (MIN_CROP * MAX_UPSCALE)) if is_moving else packing.short_side


def wanted_frames(record: Record, source: MediaSource, packing: PackOptions) -> np.ndarray:
    """Indices (F,) of the frames to pack, ascending, without repeats, F >= 1."""
    scored_sec = [*(record.get("positive_sec") or ()), *(record.get("negative_sec") or ())]
    if scored_sec:
        return np.unique(frames_at(source.times, scored_sec))
    if packing.fps is None:
        indices = np.arange(source.num_frames)
    else:
        indices = np.unique(frames_at_rate(source.times, source.duration_sec, fps=packing.fps))
    if clips := record.get("positive_clips"):
        times = np.asarray(source.times)[indices]
        is_inside = np.logical_or.reduce(
            [(times >= start - SLACK_SEC) & (times < end - SLACK_SEC) for start, end in clips]
        )
        indices = indices[is_inside] if is_inside.any() else indices[:1]
    if packing.max_frames is None or len(indices) <= packing.max_frames:
        return indices
    middles: np.ndarray = indices[segment_indices_test(len(indices), num_segments=packing.max_frames)]
    return middles
