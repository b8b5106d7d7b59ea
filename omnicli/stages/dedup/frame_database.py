"""Frames to be searched, and the records they belong to."""

from array import array
from typing import Any

import numpy as np
import torch

from omnicli.stages.dedup.pair_check import shown_fields
from omnicli.stages.dedup.search import FrameIndex
from omnicli.streams.record import Record
from omnicli.streams.temp_records import NumberedRecords


class FrameDatabase:
    """Unit vectors of frames with their owners and times.

    Memory: 2 d + 16 bytes per frame (4 d + 16 where float32 screens) and 8 per record; TMPDIR: 4 d bytes per frame
    and the records' lines.

    Args:
        num_dims: d.
        records: of the owners.
        device: where the search runs.
        precision: of its screening.
    """

    def __init__(
        self, num_dims: int, records: NumberedRecords, *, device: torch.device, precision: torch.dtype
    ) -> None:
        self.records = records
        self._num_dims, self._device, self._precision = num_dims, device, precision
        self._index = FrameIndex(num_dims, device=device, precision=precision)
        self._owners = array("Q")
        self._times = array("d")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._index)

    def alike(self) -> "FrameDatabase":
        """An empty one for frames of the same width."""
        return FrameDatabase(self._num_dims, NumberedRecords(), device=self._device, precision=self._precision)

    def add(self, record: Record, units: np.ndarray, times: np.ndarray) -> None:
        """Take in a record: its frames (F, d) float32 and their times (F,) in seconds."""
        owner = self.records.add(record)
        self.add_frames(np.full(len(units), owner), units, times)

    def add_frames(self, owners: np.ndarray, units: np.ndarray, times: np.ndarray) -> None:
        """Take in frames (F, d) at ``times`` (F,) of records whose numbers in ``records`` are ``owners`` (F,)."""
        self._index.append(units)
        self._owners.extend(owners.tolist())
        self._times.extend(times.tolist())

    def search(self, units: np.ndarray, floor: float = -1.0) -> tuple[np.ndarray, np.ndarray]:
        """Cosine (Q,) and number (Q,) of the most similar frame; see ``FrameIndex.search``."""
        return self._index.search(units, floor)

    def match(self, row: int, *, time_sec: float, cosine: float) -> tuple[dict[str, Any], Record]:
        """The ``match`` field (the target record, the times of both frames, their cosine), and the target record.

        Args:
            row: number of the frame.
            time_sec: of the frame that resembles it.
            cosine: of the two.
        """
        owner = self.records[self._owners[row]]
        times = {"time_sec": round(time_sec, 3), "target_time_sec": round(self._times[row], 3)}
        return {**shown_fields(owner), **times, "cosine": cosine}, owner
