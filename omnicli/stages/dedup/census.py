"""A video as 64 bits per frame, by which its copies are recognised (IG-65M A.2).

Paper: 16 frames per second, 112 x 112, a census transform, 64 dimensions per frame.
Ours, for the paper says no more: pixels are replaced by their rank among the pixels of the frame; the frame is divided
into 8 x 9 cells; a bit says whether a cell is brighter than its left neighbour. Ranks make a signature independent of
any change that keeps the order of brightness (brightness, contrast, gamma); means over cells, of size and compression.
A frame with little texture (black, faded, blank) gets a signature by noise: it does not vote. Of an image that has
bars or mirrored margins around it further signatures are taken, without them.

All sums are of integers below 2^24, exact in float32: no order of computing changes a bit.
"""

from functools import lru_cache
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np

from omnicli.media.frame_times import frames_at_rate
from omnicli.media.source import MediaSource
from omnicli.stages.dedup.margins import CropBox, full_crop, inside_bars, inside_mirrors

FPS = 16  # A.2
SIZE = 112  # A.2
ROWS, COLUMNS = 8, 9  # cells; 8 comparisons a row make 64 bits
MIN_CONTRAST = 1  # grey levels between the means of two cells: less is noise
MIN_CLEAR_BITS = 16  # a frame votes if a quarter of its bits have that contrast
WHOLE = full_crop(SIZE)
NUM_FRAMINGS = 4
CHUNK = FPS  # frames for which margins are looked for together
MARGIN_FRAMES = 4  # frames per chunk in which margins are searched


class Framing(NamedTuple):
    """What is known of the frames of a video in one framing.

    Attributes:
        bits: (F,) uint64, one per frame at 16 frames per second.
        flipped: (F,) uint64, the same as seen in a mirror.
        votes: (F,) bool, false where there is too little texture to distinguish frames.
    """

    bits: np.ndarray
    flipped: np.ndarray
    votes: np.ndarray


class Census(NamedTuple):
    """The signatures of a video.

    Attributes:
        framings: of the whole canvas; then, where they differ, of the image without bars, without mirrored margins,
            and without either.
        start_sec: when the first frame is shown, in the time of the file.
    """

    framings: list[Framing]
    start_sec: float

    @property
    def num_frames(self) -> int:
        """F."""
        return len(self.framings[0].bits)

    @property
    def num_textureless(self) -> int:
        """Frames that do not vote."""
        return int((~self.framings[0].votes).sum())


def take_census(source: MediaSource) -> Census:
    """The signatures of a video, decoded once from end to end, a second of small frames in memory.

    Margins are looked for second by second, since a video may be pasted together of others.

    Raises:
        MediaError: a wanted frame does not decode.
    """
    wanted = frames_at_rate(source.times, source.duration_sec, fps=FPS)
    unique, repeats = np.unique(wanted, return_counts=True)  # a slow video repeats frames
    frames = source.walk_grey(unique.tolist(), size=SIZE)
    seconds: list[list[Framing]] = []
    are_new = np.zeros(NUM_FRAMINGS, bool)
    for first in range(0, len(unique), CHUNK):
        chunk = np.stack(list(islice(frames, CHUNK)))
        crops = _crops(chunk[:: max(len(chunk) // MARGIN_FRAMES, 1)])
        are_new |= [crop not in crops[:index] for index, crop in enumerate(crops)]
        signed = {crop: sign(chunk, crop) for crop in dict.fromkeys(crops)}
        count = repeats[first : first + CHUNK]
        seconds.append([Framing(*(values.repeat(count) for values in signed[crop])) for crop in crops])
    framings = [
        Framing(*(np.concatenate(values) for values in zip(*parts, strict=True)))
        for parts, is_new in zip(zip(*seconds, strict=True), are_new, strict=True)
        if is_new
    ]
    return Census(framings, float(source.times[0]))


def _crops(frames: np.ndarray) -> list[CropBox]:
    """The four framings of a second: whole, without bars, without mirrored margins, without either.

    A sky between a bar and the sea can pass for a mirrored margin, so bars are also removed from the whole frame.
    """
    unmirrored = inside_mirrors(frames)
    return [WHOLE, inside_bars(frames, WHOLE), unmirrored, inside_bars(frames, unmirrored)]


def sign(frames: np.ndarray, crop: CropBox = WHOLE) -> Framing:
    """Signatures of small grey frames.

    Args:
        frames: (F, 112, 112) uint8.
        crop: the part of them that is the image.
    """
    cells = _cells(_ranked(frames, crop), crop)  # (F, 8, 9)
    contrast = np.abs(np.diff(_cells(frames, crop), axis=2)) / _cell_weight(crop)
    votes = (contrast >= MIN_CONTRAST).sum(axis=(1, 2)) >= MIN_CLEAR_BITS
    return Framing(_packed(cells), _packed(cells[:, :, ::-1]), votes)


def _packed(cells: np.ndarray) -> np.ndarray:
    """(F, 8, 9) brightness of cells → (F,) uint64: whether each cell is brighter than its left neighbour."""
    is_brighter = cells[:, :, 1:] > cells[:, :, :-1]
    packed: np.ndarray = np.packbits(is_brighter.reshape(len(cells), -1), axis=1).view("<u8")[:, 0].astype(np.uint64)
    return packed


def _ranked(frames: np.ndarray, crop: CropBox) -> np.ndarray:
    """Each pixel's rank among those of its frame's image, 0 to 255, ties at the middle of what they share."""
    top, bottom, left, right = crop.top // 2, (crop.bottom + 1) // 2, crop.left // 2, (crop.right + 1) // 2
    ranked = np.empty_like(frames)
    for frame, target in zip(frames, ranked, strict=True):
        counts = cv2.calcHist([np.ascontiguousarray(frame[top:bottom, left:right])], [0], None, [256], [0, 256]).ravel()
        below = np.cumsum(counts) - counts / 2  # exact: at most 12,544 pixels and a half
        cv2.LUT(frame, (below * 255 / counts.sum()).astype(np.uint8), dst=target)
    return ranked


def _cells(frames: np.ndarray, crop: CropBox) -> np.ndarray:
    """Sums over the cells, each pixel by the area of it that a cell covers: (F, 8, 9) float32 integers."""
    rows = _coverage(crop.top, crop.bottom, ROWS)
    columns = _coverage(crop.left, crop.right, COLUMNS)
    sums: np.ndarray = rows @ frames.astype(np.float32) @ columns.T
    return sums


def _cell_weight(crop: CropBox) -> int:
    """What the coverage of a cell adds up to."""
    return (crop.bottom - crop.top) * (crop.right - crop.left)


@lru_cache(maxsize=4096)
def _coverage(first: int, last: int, num_cells: int) -> np.ndarray:
    """How much of each pixel lies in each of the cells between two edges in half pixels.

    Returns:
        (num_cells, 112) float32 integers, in 1 / (2 num_cells) pixels: each row adds up to last - first.
    """
    edges = first * num_cells + (last - first) * np.arange(num_cells + 1)  # in 1 / (2 num_cells) pixels
    pixels = np.arange(SIZE + 1) * 2 * num_cells
    begin = np.maximum(edges[:-1, None], pixels[None, :-1])
    end = np.minimum(edges[1:, None], pixels[None, 1:])
    covered: np.ndarray = np.maximum(end - begin, 0).astype(np.float32)
    return covered
