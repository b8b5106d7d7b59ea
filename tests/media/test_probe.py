"""Media facts."""

import cv2
import numpy as np
import pytest

from omnicli.errors import InputError, MediaError
from omnicli.media.probe import probe_media
from omnicli.streams.record import Record


def test_an_image_has_a_size_and_its_kind_is_told_where_it_was_not(tmp_path):
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((6, 10, 3), np.uint8))
    assert probe_media(Record({"path": "a.png"}), root=str(tmp_path)) == {"width": 10, "height": 6, "media": "image"}
    assert probe_media(Record({"path": str(tmp_path / "a.png"), "media": "image"})) == {"width": 10, "height": 6}


def test_a_video_has_frames_and_a_length(world):
    video = next(path for path in sorted(world.rglob("*.mp4")) if path.stat().st_size > 5000)
    facts = probe_media(Record({"path": str(video), "media": "video"}))
    capture = cv2.VideoCapture(str(video))
    assert (facts["width"], facts["height"]) == (
        capture.get(cv2.CAP_PROP_FRAME_WIDTH),
        capture.get(cv2.CAP_PROP_FRAME_HEIGHT),
    )
    assert facts["num_frames"] == capture.get(cv2.CAP_PROP_FRAME_COUNT)
    assert facts["fps"] == pytest.approx(capture.get(cv2.CAP_PROP_FPS), rel=1e-3)
    assert facts["duration_sec"] == pytest.approx(facts["num_frames"] / facts["fps"], rel=1e-3)
    capture.release()


def test_a_folder_of_frames_has_a_size_and_a_count(tmp_path):
    for i in range(3):
        assert cv2.imwrite(str(tmp_path / f"{i}.jpg"), np.zeros((6, 10, 3), np.uint8))
    facts = probe_media(Record({"path": str(tmp_path), "media": "frames"}))
    assert facts == {"width": 10, "height": 6, "num_frames": 3}


def test_what_does_not_open_says_why_and_a_record_without_path_is_named(tmp_path):
    with pytest.raises(MediaError, match="no such file"):
        probe_media(Record({"path": str(tmp_path / "none.jpg"), "media": "image"}))
    with pytest.raises(InputError, match=r"^web\.jsonl:4: no field 'path'"):
        probe_media(Record({"id": "a"}, origin="web.jsonl", line=4))
