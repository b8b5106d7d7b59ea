"""Web records that features in bfloat16 do not decide, decided by features in float32 (Ours).

The target is read in float32. Web records are read in bfloat16 first, which is twice as fast. A frame whose similarity
comes closer to the threshold than the error of bfloat16 makes its record a suspect: that is read again in float32, in
batches of the same size, so that its verdict and its match are those of a run in float32.

How large the error is, is measured once: target frames drawn by key are read in both precisions. The largest difference
that this makes to a cosine with any of many target frames, times ``MULTIPLE``, is the margin. It depends on the model
and the target alone, so that parts and resumed runs agree. Where no media of the target can be read, every record is a
suspect.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from omnicli.inference.rescoring import MULTIPLE
from omnicli.media.record_map import Dropped, keep_drops
from omnicli.stages.dedup.frame_database import FrameDatabase
from omnicli.stages.dedup.frame_features import FrameFeatures, FrameReader, FrameTimes
from omnicli.stages.dedup.whitening import Whitening
from omnicli.streams.record import Record

MIN_MARGIN = 0.01  # a target of a few frames that are all alike has hardly any error


class Searched(NamedTuple):
    """A block of records and what was found for their frames.

    Attributes:
        block: as it was read, suspects with their features in float32.
        units: (F, d) float32, the whitened frames of all records of the block.
        similarities: (F,) float64 cosines with the most similar target frame, -inf where none reaches the threshold.
        rows: (F,) int64 numbers of these target frames, -1 there.
    """

    block: Sequence[FrameFeatures | Dropped]
    units: np.ndarray
    similarities: np.ndarray
    rows: np.ndarray


def measure_margin(
    records: Iterable[Record], at_sec: FrameTimes, *, rows: np.ndarray, whitening: Whitening, reader: FrameReader
) -> float:
    """How far a cosine may be off with features of the usual precision; infinite if no record can be read.

    Args:
        records: of the target; media.
        at_sec: the times of their frames that are read.
        rows: (R, d) float32, whitened target frames.
        whitening: fitted on the target.
        reader: has a model in float32, too.
    """
    units = []
    for exact in (False, True):
        frames = reader.read_frames(records, at_sec=at_sec, exact=exact, on_drop=lambda record, reason: None)
        read = [whitening.unit_vectors(features) for _, features in frames]
        if not read:
            return math.inf
        units.append(np.concatenate(read))
    error = float(np.abs((units[0] - units[1]) @ rows.T).max())
    return max(MULTIPLE * error, MIN_MARGIN)


def search_block(
    block: Sequence[FrameFeatures | Dropped],
    database: FrameDatabase,
    whitening: Whitening,
    *,
    floor: float,
    margin: Callable[[], float],
    reader: FrameReader,
) -> Searched:
    """The most similar target frame of each frame, where it reaches the threshold in float32.

    Args:
        block: of the web.
        database: of the target.
        whitening: fitted on the target.
        floor: the threshold.
        margin: how far a cosine may be off; asked for where media were read in another precision than float32.
        reader: that of the block.
    """
    units = whitening.unit_vectors(features_of(block))
    is_coarse = any(map(_is_media, block)) and reader.has_exact
    similarities, rows = database.search(units, max(floor - margin(), -1.0) if is_coarse else floor)
    if not is_coarse:
        return Searched(block, units, similarities, rows)
    parts = _parts(block, units, similarities, rows)
    suspects = [number for number, part in parts.items() if _is_media(block[number]) and (part[2] >= 0).any()]
    again = keep_drops(
        lambda records, on_drop: reader.read(records, exact=True, on_drop=on_drop),
        (block[number].record for number in suspects),
    )
    settled = list(block)
    for number, read in zip(suspects, again, strict=True):
        settled[number] = read
        if isinstance(read, Dropped):
            del parts[number]
        else:
            exact = whitening.unit_vectors(read.features)
            parts[number] = exact, *database.search(exact, floor)
            read.record.rescored = 1
    if not parts:  # the only ones with frames could not be read again
        return Searched(settled, units[:0], similarities[:0], rows[:0])
    units, similarities, rows = (np.concatenate(each) for each in zip(*parts.values(), strict=True))
    is_below = similarities < floor  # rows of shards, which are as exact as they will be
    return Searched(settled, units, np.where(is_below, -np.inf, similarities), np.where(is_below, -1, rows))


def features_of(block: Sequence[FrameFeatures | Dropped]) -> np.ndarray:
    """(ΣF, D) float16, the frames of all records of a block."""
    parts = [item.features for item in block if not isinstance(item, Dropped) and len(item.features)]
    return np.concatenate(parts) if parts else np.empty((0, 0), np.float16)


def _is_media(item: FrameFeatures | Dropped) -> bool:
    """Whether these features were made by this run."""
    return not isinstance(item, Dropped) and item.made_of is item.record


def _parts(
    block: Sequence[FrameFeatures | Dropped], units: np.ndarray, similarities: np.ndarray, rows: np.ndarray
) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """By number in the block, what the arrays hold of the frames of each record."""
    made, start = {}, 0
    for number, item in enumerate(block):
        if not isinstance(item, Dropped):
            part = slice(start, start + len(item.features))
            made[number] = units[part], similarities[part], rows[part]
            start = part.stop
    return made
