"""A match names the record, both times and the cosine."""

import numpy as np
import torch

from omnicli.stages.dedup.frame_database import FrameDatabase
from omnicli.stages.dedup.whitening import on_grid
from omnicli.streams.record import Record
from omnicli.streams.temp_records import NumberedRecords


def test_a_frame_is_traced_to_its_record_and_time():
    units = on_grid(np.eye(4))
    database = FrameDatabase(4, NumberedRecords(), device=torch.device("cpu"), precision=torch.float32)
    database.add(Record({"id": "a.mp4", "path": "x/a.mp4", "label": 3}), units[:3], np.array([0.0, 1.0, 2.0]))
    database.add(Record({"id": "b.jpg"}), units[3:], np.array([0.0]))
    assert len(database) == 4
    cosines, rows = database.search(units[[1, 3]], 0.5)
    assert cosines.tolist() == [1.0, 1.0]
    matches, owners = zip(*[database.match(row, time_sec=7.00001, cosine=0.5) for row in rows.tolist()], strict=True)
    assert [owner.get("label") for owner in owners] == [3, None]
    assert list(matches) == [
        {"id": "a.mp4", "path": "x/a.mp4", "time_sec": 7.0, "target_time_sec": 1.0, "cosine": 0.5},
        {"id": "b.jpg", "time_sec": 7.0, "target_time_sec": 0.0, "cosine": 0.5},
    ]
    assert len(database.alike()) == 0
