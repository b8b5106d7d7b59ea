"""Optical flow of videos (the second stream of OmniSource Tables 4 and 6), written to shards.

    in    records of moving media: videos, folders of frames, packed rows, and parts of them
    out   the same records in the same order, each with the arrays `frames` (2F grey JPEG files: x and y of each pair of
          consecutive frames), `times` (2F,) seconds of the first frame of each pair, and `span_sec`

Displacements are pixels of the resized frames, clipped to ±20 and stored in 8 bits, as two-stream models were trained.

Ours: frames are resized before the flow is computed; DIS in its medium preset on brightness; JPEG at quality 95, with
which the mean error of storage is below 0.1 pixel; the last frame has no flow, so a video of N frames has N - 1.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import cv2
import numpy as np
import simplejpeg

from omnicli.errors import MediaError
from omnicli.media.flow_pixels import BOUND, to_levels
from omnicli.media.record_map import map_records
from omnicli.media.resizing import resize_short_side
from omnicli.media.source import is_image, open_media
from omnicli.media.source_rate import consecutive_pairs, source_rate
from omnicli.streams.record import OnDrop, Record

ROUND_DIGITS = 6
MAX_JPEG_SIDE = 65_500
SMALL, DIS_MULTIPLE = 64, 16  # pixels

ComputeFlow = Callable[[Iterator[np.ndarray]], Iterator[np.ndarray]]
"""Frames (H, W, 3) uint8 RGB, N of them, to flow (H, W, 2) float32 in pixels, N - 1."""


@dataclass(frozen=True, kw_only=True)
class FlowOptions:
    """How flow is computed and stored.

    Attributes:
        short_side: pixels that frames are resized to first; smaller media keep their size.
        quality: of the JPEG files, 1 to 100.
        bound: pixels; larger displacements are clipped.
        root: folder that relative paths start from.
    """

    short_side: int = 256
    quality: int = 95
    bound: float = BOUND
    root: str | None = None


def flow_records(
    records: Iterable[Record], *, compute: ComputeFlow, options: FlowOptions, workers: int, on_drop: OnDrop
) -> Iterator[Record]:
    """Attach the flow of every record that can be read.

    Args:
        records: media.
        compute: the method, called from several threads.
        options: how flow is stored.
        workers: threads that decode, compute and encode.
        on_drop: takes what cannot be read, or does not move.

    Yields:
        Records whose ``arrays`` hold ``frames``, ``times`` and ``span_sec``, in order.
    """
    function = partial(flow_record, compute=compute, options=options)
    return map_records(function, records, workers=workers, on_drop=on_drop)


def flow_record(record: Record, compute: ComputeFlow, options: FlowOptions) -> Record:
    """One record with its flow; the pixels of a few frames at a time are in memory, the JPEG files all.

    Raises:
        MediaError: it cannot be opened, a frame does not decode, or it has fewer than two frames.
        InputError: frames between the packed ones were left out.
    """
    if record.get("media") == "flow":
        raise MediaError("optical flow already")
    with open_media(record, root=options.root) as source:
        if is_image(source) or source.num_frames < 2:
            raise MediaError("a single frame has no flow")
        is_next = consecutive_pairs(source, where=record.where)
        short_side = min(options.short_side, source.height, source.width)
        walked: list[int] = []  # without frames that do not decode: what moves over such a gap is no step

        def frames() -> Iterator[np.ndarray]:
            for index, pixels in source.walk(range(source.num_frames), short_side=short_side):
                walked.append(index)
                yield resize_short_side(pixels[None], short_side)[0]

        files, firsts, shape = [], list[int](), (0, 0)
        for number, flow in enumerate(compute(frames())):
            first, following = walked[number : number + 2]
            if following == first + 1 and (is_next is None or is_next[first]):
                firsts.append(first)
                shape = flow.shape[:2]
                files += encode_flow(flow, options)
        times = np.asarray(source.times)
        rate = source_rate(source) or (source.fps if len(firsts) < source.num_frames - 1 else None)
    span_sec = (float(times[0]), float(times[-1]))
    duration_sec = round(span_sec[1] - span_sec[0], ROUND_DIGITS)
    if not duration_sec:
        raise MediaError("all frames are shown at once: no flow")
    if not firsts:
        raise MediaError("no two frames in a row decode: no flow")
    num_pairs = len(files) // 2
    facts: dict[str, float] = {
        "width": shape[1], "height": shape[0], "num_frames": num_pairs,
        "fps": round(num_pairs / duration_sec, ROUND_DIGITS), "duration_sec": duration_sec,
    }  # fmt: skip
    if rate:
        facts["source_fps"] = round(float(rate), ROUND_DIGITS)
    made = record.derive(**facts)
    made.arrays = {"frames": files, "times": times[firsts].repeat(2), "span_sec": span_sec}
    return made


def encode_flow(flow: np.ndarray, options: FlowOptions) -> list[bytes]:
    """Grey JPEG files of x and y. Raises MediaError."""
    levels = to_levels(flow, options.bound)
    if max(levels.shape) > MAX_JPEG_SIDE:
        raise MediaError(f"flow of {levels.shape[1]} x {levels.shape[0]} pixels does not fit a JPEG")
    return [
        simplejpeg.encode_jpeg(np.ascontiguousarray(levels[..., axis : axis + 1]), options.quality, "GRAY", "444")
        for axis in (0, 1)
    ]


def dis_flow(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Dense inverse search (Kroeger et al., 2016): flow (H, W, 2) from each frame (H, W, 3) to the next."""
    if not hasattr(_of_thread, "dis"):  # it keeps buffers, so each thread has its own
        _of_thread.dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis = _of_thread.dis
    grey = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)
    for one, following in pairwise(grey):
        height, width = one.shape
        yield dis.calc(_padded(one), _padded(following), None)[:height, :width]


def _padded(image: np.ndarray) -> np.ndarray:
    """A small image (H, W) with its edges repeated.

    On images under 16 pixels DIS crashes, and on some under 48 it reads what an earlier pair left in its buffers.
    """
    if min(image.shape) >= SMALL:
        return image
    below, right = (max(-(-side // DIS_MULTIPLE), 2) * DIS_MULTIPLE - side for side in image.shape)
    return cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)


_of_thread = threading.local()
