"""One training view of a record."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from omnicli.data.dataset import Augmentation, read_training_clip
from omnicli.errors import MediaError
from omnicli.streams.records import Record

LOOK = Augmentation(num_segments=3, short_side=48, crop_size=32)


@pytest.fixture
def clip(world: Path):
    path = sorted((world / "target" / "train").rglob("*.mp4"))[0]
    return Record({"id": "a", "path": str(path)})


@pytest.mark.parametrize("crop", ["random-resized", "multi-scale"])
def test_the_same_record_and_epoch_give_the_same_view_and_others_another(clip, crop):
    look = Augmentation(num_segments=3, short_side=48, crop_size=32, crop=crop)
    first = read_training_clip(clip, look, epoch=0)
    assert first.shape == (3, 32, 32, 3)
    assert first.dtype == np.uint8
    assert (first == read_training_clip(clip, look, epoch=0)).all()
    assert (first != read_training_clip(clip, look, epoch=1)).any()
    assert (first != read_training_clip(clip.derive(id="b"), look, epoch=0)).any()


def test_one_box_serves_all_snippets_of_a_clip(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    view = read_training_clip(Record({"id": "a", "path": str(tmp_path / "a.png")}), LOOK, epoch=0)
    assert view.shape == (3, 32, 32, 3)
    assert (view == view[:1]).all()


def test_the_smallest_area_is_kept(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 255, 96).astype(np.uint8)[None, :, None], (96, 96, 3))
    cv2.imwrite(str(tmp_path / "a.png"), np.ascontiguousarray(ramp))
    record = Record({"id": "a", "path": str(tmp_path / "a.png")})
    widths = {}
    for min_area in (0.08, 0.9):
        look = Augmentation(num_segments=1, short_side=96, crop_size=32, min_area=min_area)
        views = [read_training_clip(record, look, epoch=epoch) for epoch in range(30)]
        widths[min_area] = min(int(view.max()) - int(view.min()) for view in views)
    assert widths[0.9] > 200
    assert widths[0.08] < 150


def test_half_of_the_views_are_mirrored(tmp_path):
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = 255
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    record = Record({"id": "a", "path": str(tmp_path / "a.png")})
    look = Augmentation(num_segments=1, short_side=64, crop_size=32, min_area=0.95)
    mirrored = [read_training_clip(record, look, epoch=epoch)[0, :, 0].mean() > 128 for epoch in range(200)]
    assert 70 < sum(mirrored) < 130


def test_relative_paths_start_from_the_root_and_bad_media_are_media_errors(world, clip):
    path = Path(clip["path"]).relative_to(world)
    rooted = Augmentation(num_segments=3, short_side=48, crop_size=32, root=str(world))
    inside = read_training_clip(Record({"id": "a", "path": str(path)}), rooted, epoch=0)
    assert (inside == read_training_clip(clip, LOOK, epoch=0)).all()
    with pytest.raises(MediaError):
        read_training_clip(Record({"id": "a", "path": "nowhere.mp4"}), rooted, epoch=0)
