"""Features of media and of stored rows come in one stream, and never of two models."""

import numpy as np
import pytest
from made_frames import WIDTH, frames_of, reader, stored, target_records

from omnicli.errors import InputError
from omnicli.stages.dedup.frame_features import FrameReader
from omnicli.streams.record import Record


def read(records, **options):
    dropped = []
    found = list(reader(**options).read(records, on_drop=lambda *leaving: dropped.append(leaving)))
    return found, dropped


def test_stored_rows_and_media_give_the_same_in_their_order(tmp_path):
    records = target_records(6)
    rows = stored(tmp_path, records)
    mixed = [records[0], rows[1], rows[2], records[3], rows[4], records[5]]
    found, dropped = read(mixed)
    assert [frames.record for frames in found] == mixed and not dropped
    for frames, record in zip(found, records, strict=True):
        np.testing.assert_array_equal(frames.features, frames_of(record).astype(np.float16))
        np.testing.assert_array_equal(frames.times, [0, 1, 2])
        assert frames.made_of == record


def test_stored_rows_need_no_model(tmp_path):
    def load():
        raise AssertionError("loaded")

    rows = stored(tmp_path, target_records(2))
    alone = FrameReader(load, backbone={"backbone": "made"})
    assert len(list(alone.read(rows, on_drop=None))) == 2


def test_what_cannot_be_read_leaves():
    records = [target_records(1)[0], Record({"id": "x", "frames": [1], "broken": True}, position=1)]
    found, dropped = read(records)
    assert len(found) == 1
    assert dropped == [(records[1], "unreadable: truncated JPEG")]


def test_features_of_two_models_are_refused(tmp_path):
    rows = stored(tmp_path, target_records(2), weights="0123456789abcdef0123")
    with pytest.raises(
        InputError, match=r"weights 0123456789abcdef, but images and videos would get those of backbone"
    ):
        read([*rows, target_records(1)[0]])
    expected = (
        rf"00000\.h5:1: .*00000\.h5 has {WIDTH} features of backbone made, weights 0123456789abcdef, "
        rf"but this run has {WIDTH} features of backbone made; .* --backbone and --weights"
    )
    with pytest.raises(InputError, match=expected):
        read([target_records(1)[0], *rows])


def test_crops_are_those_of_the_frames_asked_for():
    record = target_records(1)[0]
    [(same, crops)] = reader().read_crops([record], at_sec=lambda record: [2.0, 0.0], on_drop=None)
    assert same is record
    assert crops.shape == (2, 5, WIDTH) and crops.dtype == np.float16
    np.testing.assert_allclose(crops.mean(axis=1) - crops.mean(axis=(0, 1)), [
        frames_of(record)[2] / 2 - frames_of(record)[0] / 2, frames_of(record)[0] / 2 - frames_of(record)[2] / 2
    ], atol=0.01)  # fmt: skip
