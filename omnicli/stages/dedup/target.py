"""The target of de-duplication (OmniSource Sec. 3.3): its whitened frames, and the threshold measured on them.

Paper: "The average similarity among different crops of the same frame is used as the threshold."
Ours: whitening is fitted on, and the threshold measured with, target frames drawn by key; the crops are the four
corners and the centre, so that ten pairs are averaged.
"""

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import torch

from omnicli.errors import InputError
from omnicli.stages.dedup.frame_database import FrameDatabase
from omnicli.stages.dedup.frame_features import FrameFeatures, FrameReader, FrameTimes
from omnicli.stages.dedup.frame_sample import KeyedSample
from omnicli.stages.dedup.suspects import measure_margin
from omnicli.stages.dedup.whitening import DECIMALS, Whitening, fit_whitening, mean_pair_cosine
from omnicli.streams.record import Record
from omnicli.streams.temp_records import NumberedRecords, TempFile

MAX_FIT_FRAMES = 32_768  # Ours: 256 dimensions of 2,048 are settled long before; 1 GB while they are fitted
MAX_CALIBRATION_FRAMES = 1000
MAX_MARGIN_FRAMES = 128  # Ours: read in both precisions
MAX_MARGIN_ROWS = 4096  # Ours: frames that these are compared with
READ_FRAMES = 4096  # target frames whitened at once


@dataclass(frozen=True)
class Target:
    """The target dataset that web records are compared with.

    Attributes:
        database: its frames, whitened.
        whitening: fitted on them.
        threshold: None only where nothing is to be decided and the crops cannot be read.
        origin: how the threshold was chosen, as text.
        unreadable: (id, why) of target records that could not be read; copies of them are not found.
        measure_margin: how far the cosine of a web frame in bfloat16 may be off (``margin``).
    """

    database: FrameDatabase
    whitening: Whitening
    threshold: float | None
    origin: str
    unreadable: Sequence[tuple[str, str]]
    measure_margin: Callable[[], float]

    @cached_property
    def margin(self) -> float:
        """What ``measure_margin`` returns, measured when it is asked for: rows of features alone need none."""
        return self.measure_margin()


def learn_target(
    records: Iterable[Record],
    *,
    reader: FrameReader,
    threshold: float | None,
    needs_threshold: bool,
    whiten_dim: int,
    seed: int,
    device: torch.device,
    precision: torch.dtype,
    fps: float | None = None,
    unreadable: list[tuple[str, str]],
) -> Target:
    """Read the target, fit the whitening, and measure the threshold (OmniSource Sec. 3.3).

    Args:
        records: the target dataset, usually its validation set.
        reader: makes or reads features.
        threshold: used as given; None: measured.
        needs_threshold: raise if it cannot be measured.
        whiten_dim: maximum number of dimensions.
        seed: of the frames that whitening and threshold are taken from.
        device: where the search will run.
        precision: of its screening.
        fps: frames per second of videos (``target_rate``); None: as of the web's.
        unreadable: (id, why) of what the reader of ``records`` drops; more are added.

    Raises:
        InputError: no target record can be read, two have the same id, or the threshold cannot be measured.
    """
    sample = KeyedSample(MAX_FIT_FRAMES, seed=seed, stage="dedup")

    def forget(record: Record, reason: str) -> None:
        unreadable.append((str(record.get("id")), reason))

    gathered = _gather(reader.read(records, fps=fps, exact=True, on_drop=forget), sample, unreadable)
    # OmniSource Sec. 3.3: cosine similarity "after whitening"
    frames, positions = gathered.sample.take()
    whitening = fit_whitening(frames, num_dims=whiten_dim)
    database = FrameDatabase(whitening.num_dims, gathered.records, device=device, precision=precision)
    for features, owners, times in gathered.blocks(frames.shape[1]):
        database.add_frames(owners, whitening.unit_vectors(features), times)
    # OmniSource Sec. 3.3: "The average similarity among different crops of the same frame is used as the threshold."
    origin = "--threshold"
    if threshold is None:
        threshold, origin = _measure_threshold(positions[:MAX_CALIBRATION_FRAMES], gathered, whitening, reader)
    if threshold is None and needs_threshold:
        raise InputError(
            f"the threshold is measured on crops of target frames, but {origin}; give --threshold X, or --root "
            "DIR, the folder with the media of the target's features"
        )
    drawn = _draw(positions[:MAX_MARGIN_FRAMES], gathered)
    rows = whitening.unit_vectors(frames[:MAX_MARGIN_ROWS])
    measure = partial(measure_margin, *drawn, rows=rows, whitening=whitening, reader=reader)
    return Target(database, whitening, threshold, origin, unreadable, measure)


class _Gathered(NamedTuple):
    """Features of all target frames, on disk, and whose they are."""

    records: NumberedRecords
    file: TempFile
    owners: "array[int]"
    times: "array[float]"
    sample: KeyedSample

    def blocks(self, width: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(features (F, D) float16, owners (F,), times (F,)) of many frames at once."""
        for start in range(0, len(self.owners), READ_FRAMES):
            part = slice(start, start + READ_FRAMES)
            read = self.file.read(start * width * 2, READ_FRAMES * width * 2)
            features = np.frombuffer(read, np.float16).reshape(-1, width)
            yield features, np.array(self.owners[part], np.int64), np.array(self.times[part])


def _gather(read: Iterable[FrameFeatures], sample: KeyedSample, unreadable: Sequence[tuple[str, str]]) -> _Gathered:
    """Read the whole target once."""
    gathered = _Gathered(NumberedRecords(), TempFile(), array("Q"), array("d"), sample)
    seen: set[str] = set()
    for record, features, times, made_of in read:
        name = str(record.get("id"))
        if name in seen:
            raise InputError(f"{record.where}: the target has two records with id {name!r}; a match must name one")
        seen.add(name)
        owner = gathered.records.add({**made_of, "id": name})
        gathered.file.write(features.tobytes())
        gathered.owners.extend([owner] * len(features))
        gathered.times.extend(times.tolist())
        sample.offer(name, owner, np.asarray(features))
    if not gathered.owners:
        why = f"; the first of {len(unreadable):,}: {': '.join(unreadable[0])}" if unreadable else ""
        raise InputError(f"no target record can be read: nothing to compare with{why}")
    return gathered


def _draw(positions: np.ndarray, gathered: _Gathered) -> tuple[list[Record], FrameTimes]:
    """The records of these target frames (owner, number) that have media, and the times of the frames."""
    first_of: dict[int, int] = {}
    for index, owner in enumerate(gathered.owners):
        first_of.setdefault(owner, index)
    wanted: dict[int, list[float]] = {}
    for owner, number in sorted(map(tuple, positions.tolist())):
        wanted.setdefault(owner, []).append(gathered.times[first_of[owner] + number])
    records = [gathered.records[owner] for owner in wanted]
    return [record for record in records if record.get("path")], lambda record: wanted[record.position]


def _measure_threshold(
    positions: np.ndarray, gathered: _Gathered, whitening: Whitening, reader: FrameReader
) -> tuple[float | None, str]:
    """Mean cosine of the 10 pairs of five crops of each of these target frames (owner, number), and how it came about.

    None, and why, where no media can be read.
    """
    failures: list[str] = []

    def fail(record: Record, reason: str) -> None:
        failures.append(f"{record.get('path') or record.get('id')}: {reason.removeprefix('unreadable: ')}")

    media, at_sec = _draw(positions, gathered)
    found = [
        mean_pair_cosine(whitening.unit_vectors(crops.reshape(-1, crops.shape[2])).reshape(*crops.shape[:2], -1))
        for _, crops in reader.read_crops(media, at_sec=at_sec, on_drop=fail)
    ]
    count = sum(map(len, found))
    if not count:
        return None, f"these cannot be read ({failures[0] if failures else 'its features name no media'})"
    threshold = round(math.fsum(np.concatenate(found).tolist()) / count, DECIMALS)
    return threshold, f"mean similarity of five crops of the same frame, {count:,} target frames"
