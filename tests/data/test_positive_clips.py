"""One positive clip of a long video per visit."""

import numpy as np
import pytest

from omnicli.data.positive_clips import draw_clip, first_clip
from omnicli.errors import InputError
from omnicli.streams.record import Record

FOLDER = {"id": "v", "path": "raw/v", "media": "clips", "label": 3, "positive_clips": [2, 5, 9]}
VIDEO = {"id": "v", "path": "v.mp4", "media": "video", "positive_clips": [[0.0, 10.0], [30.0, 40.0]]}


def drawn(fields: dict, seed: int) -> Record:
    return draw_clip(Record(fields), np.random.default_rng(seed))


def test_a_clip_of_a_folder_is_a_file_with_the_id_of_the_video():
    paths = [drawn(FOLDER, seed)["path"] for seed in range(300)]
    assert sorted(set(paths)) == [f"raw/v/part_{i}.mp4" for i in (2, 5, 9)]
    assert min(paths.count(path) for path in set(paths)) > 70, "clips are equally likely"
    assert drawn(FOLDER, 0) == {"id": "v", "path": drawn(FOLDER, 0)["path"], "label": 3}


def test_a_clip_of_a_video_is_an_interval():
    assert first_clip(Record(VIDEO)) == {
        "id": "v", "path": "v.mp4", "media": "video", "start_sec": 0.0, "end_sec": 10.0
    }  # fmt: skip
    assert {drawn(VIDEO, seed)["start_sec"] for seed in range(20)} == {0.0, 30.0}


def test_other_records_stay():
    record = Record({"id": "a"})
    assert first_clip(record) is record


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"positive_clips": []}, "positive_clips is empty"),
        ({"media": "clips", "path": "v", "positive_clips": [[0, 1]]}, "expected numbers of clips"),
    ],
)
def test_clips_that_cannot_be_are_named(fields, expected):
    with pytest.raises(InputError, match=f"x:7: .*{expected}"):
        first_clip(Record(fields, origin="x", line=7))
