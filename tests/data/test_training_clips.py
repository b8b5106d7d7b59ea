"""One training view of a record."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from omnicli.data.training_clips import Augmentation, check_media, read_feature, read_training_clip
from omnicli.errors import InputError, MediaError
from omnicli.media.source import open_media
from omnicli.motion.camera import inflate_image, make_recipe
from omnicli.motion.homography import STILL, Gaussian
from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter

LOOK = Augmentation(num_segments=3, short_side=48, crop_size=32)


@pytest.fixture
def clip(world: Path):
    path = sorted((world / "target" / "train").rglob("*.mp4"))[0]
    return Record({"id": "a", "path": str(path)})


@pytest.mark.parametrize("crop", ["random-resized", "multi-scale", "random"])
def test_the_same_record_and_epoch_give_the_same_view_and_others_another(clip, crop):
    look = Augmentation(num_segments=3, short_side=48, crop_size=32, crop=crop)
    first = read_training_clip(clip, look, epoch=0)
    assert first.shape == (3, 32, 32, 3)
    assert first.dtype == np.uint8
    assert (first == read_training_clip(clip, look, epoch=0)).all()
    assert (first != read_training_clip(clip, look, epoch=1)).any()
    assert (first != read_training_clip(clip.derive(id="b"), look, epoch=0)).any()


def test_one_box_serves_all_snippets_of_a_clip(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
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


@pytest.mark.parametrize(("flip", "seen"), [(True, {200, 55}), (False, {200})])
def test_mirrored_flow_moves_the_other_way_and_without_mirrors_none_does(tmp_path, flip, seen):
    """Left and right are classes in --no-flip; a stack of flow is consecutive pairs from each segment."""
    for index in range(1, 13):
        for axis, level in (("x", 200), ("y", 10 * index)):
            cv2.imwrite(str(tmp_path / f"flow_{axis}_{index:05d}.png"), np.full((48, 64), level, np.uint8))
    record = Record({"id": "a", "path": str(tmp_path), "media": "flow"})
    look = replace(LOOK, num_segments=2, num_frames=5, is_flow=True, flip=flip)
    views = [read_training_clip(record, look, epoch=epoch) for epoch in range(12)]
    assert {int(level) for view in views for level in np.unique(view[..., 0])} == seen
    for view in views:
        starts = view[:, 0, 0, 1].reshape(2, 5) // 10
        np.testing.assert_array_equal(np.diff(starts, axis=1), 1)


def test_half_of_the_views_are_mirrored(tmp_path):
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    record = Record({"id": "a", "path": str(tmp_path / "a.png")})
    look = Augmentation(num_segments=1, short_side=64, crop_size=32, min_area=0.95)
    mirrored = [read_training_clip(record, look, epoch=epoch)[0, :, 0].mean() > 128 for epoch in range(200)]
    assert 70 < sum(mirrored) < 130
    as_filmed = replace(look, flip=False)
    assert not any(read_training_clip(record, as_filmed, epoch=epoch)[0, :, 0].mean() > 128 for epoch in range(50))


def test_randaugment_and_erasing_change_a_clip_and_leave_the_crop_where_it_was(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    record = Record({"id": "a", "path": str(tmp_path / "a.png")})
    plain = read_training_clip(record, LOOK, epoch=0)
    erasing = replace(LOOK, random_erasing=1.0, mean=(120, 110, 100), std=(60, 60, 60))
    erased = read_training_clip(record, erasing, epoch=0)
    share = (erased != plain).any(axis=3).mean()
    assert 0.01 < share < 0.4
    assert (erased == read_training_clip(record, erasing, epoch=0)).all()
    augmenting = replace(LOOK, randaugment="rand-m9-n4-p1-inc1")
    views = [read_training_clip(record, augmenting, epoch=epoch) for epoch in range(2)]
    assert (views[0] != plain).any()
    assert all((view == view[:1]).all() for view in views)  # every snippet of a still image alike
    assert (views[0] == read_training_clip(record, augmenting, epoch=0)).all()


def test_the_share_of_erased_clips_is_the_probability(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((64, 64, 3), 90, np.uint8))
    record = Record({"id": "a", "path": str(tmp_path / "a.png")})
    look = replace(LOOK, num_segments=1, short_side=64, random_erasing=0.25, mean=(90,) * 3, std=(20,) * 3)
    erased = [read_training_clip(record, look, epoch=epoch).std() > 0 for epoch in range(400)]
    assert 0.19 < np.mean(erased) < 0.31


def test_relative_paths_start_from_the_root_and_bad_media_are_media_errors(world, clip):
    path = Path(clip["path"]).relative_to(world)
    rooted = Augmentation(num_segments=3, short_side=48, crop_size=32, root=str(world))
    inside = read_training_clip(Record({"id": "a", "path": str(path)}), rooted, epoch=0)
    assert (inside == read_training_clip(clip, LOOK, epoch=0)).all()
    with pytest.raises(MediaError):
        read_training_clip(Record({"id": "a", "path": "nowhere.mp4"}), rooted, epoch=0)


def test_a_second_draw_of_an_epoch_is_another_view(clip):
    views = [read_training_clip(clip, LOOK, epoch=0, draw=draw) for draw in (0, 1)]
    assert (views[0] != views[1]).any()
    assert (views[1] == read_training_clip(clip, LOOK, epoch=0, draw=1)).all()


WHOLE = {"short_side": 32, "crop_size": 32, "min_area": 1.0}  # a square image is seen as it is, or mirrored


@pytest.fixture
def numbered(tmp_path):
    """A folder of 30 frames, each one grey: which was read can be told from its level."""
    for index in range(30):
        cv2.imwrite(str(tmp_path / f"img_{index:05d}.png"), np.full((32, 32, 3), 8 * index, np.uint8))
    return Record({"id": "v", "path": str(tmp_path), "media": "frames", "fps": 1.0}, origin="w.jsonl", line=4)


def seen(record, look, epoch):
    return (read_training_clip(record, look, epoch=epoch)[:, 0, 0, 0] // 8).tolist()


def test_a_segmented_video_gives_one_positive_and_two_negative_snippets(numbered):
    record = numbered.derive(positive_sec=[3.0, 9.0], negative_sec=[1.0, 4.0, 20.0, 21.0])
    look = Augmentation(num_segments=3, **WHOLE)
    clips = [seen(record, look, epoch) for epoch in range(40)]
    assert all(len({3, 9} & set(frames)) == 1 and len({1, 4, 20, 21} & set(frames)) == 2 for frames in clips)
    assert {frame for frames in clips for frame in frames} == {3, 9, 1, 4, 20, 21}
    only_positive = Augmentation(num_segments=3, num_positive=3, **WHOLE)
    assert set(seen(record, only_positive, 0)) <= {3, 9}
    six = Augmentation(num_segments=6, **WHOLE)
    assert sum(frame in (3, 9) for frame in seen(record, six, 0)) == 2


def test_a_piece_of_a_video_gives_frames_of_that_piece(numbered):
    record = numbered.derive(start_sec=10.0, end_sec=16.0)
    look = Augmentation(num_segments=3, **WHOLE)
    for epoch in range(20):
        frames = seen(record, look, epoch)
        assert 10 <= min(frames) <= max(frames) < 16
        assert frames == sorted(frames)


def test_a_long_video_gives_one_of_its_positive_clips_per_visit(numbered):
    look = Augmentation(num_segments=1, num_frames=4, **WHOLE)
    record = numbered.derive(positive_clips=[[3.0, 7.0], [20.0, 24.0]])
    clips = [seen(record, look, epoch) for epoch in range(20)]
    assert {tuple(frames) for frames in clips} == {(3, 4, 5, 6), (20, 21, 22, 23)}
    assert clips == [seen(record, look, epoch) for epoch in range(20)], "keyed"
    draws = {read_training_clip(record, look, epoch=0, draw=draw)[0, 0, 0, 0] for draw in range(9)}
    assert len(draws) == 2, "each draw of an epoch is another"


def test_a_folder_of_clips_gives_one_of_them(world, tmp_path):
    files = sorted((world / "target" / "train").rglob("*.mp4"))[:2]
    for number, file in zip((1, 4), files, strict=True):
        (tmp_path / f"part_{number}.mp4").write_bytes(file.read_bytes())
    record = Record({"id": "v", "path": tmp_path.name, "media": "clips", "positive_clips": [1, 4]})
    look = replace(LOOK, root=str(tmp_path.parent))
    views = [read_training_clip(record, look, epoch=epoch) for epoch in range(12)]
    assert len({view.tobytes() for view in views}) == 12
    with pytest.raises(InputError, match="a folder of clips, of which training draws one; omni index --each-clip"):
        open_media(record, root=str(tmp_path.parent))


@pytest.fixture
def inflated(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), cv2.GaussianBlur(noise, (0, 0), 4))
    motion = Gaussian(STILL + 1e-4, np.diag(np.full(8, 1e-5)))
    recipe = make_recipe("perspective-agnostic", motion, seed=0)
    return Record({"id": "p", "path": str(tmp_path / "a.png"), "inflation": recipe}, origin="w.jsonl", line=7)


def test_a_3d_model_sees_an_image_as_the_clip_of_its_recipe_a_new_one_each_epoch(inflated):
    look = Augmentation(num_segments=1, num_frames=4, frame_interval=4, **WHOLE)
    clips = []
    for epoch in range(2):
        with open_media(inflated) as source:
            clip = inflate_image(source, inflated, num_frames=4, frame_interval=4, short_side=32, epoch=epoch)
        found = read_training_clip(inflated, look, epoch=epoch)
        assert (found == clip).all() or (found == clip[:, :, ::-1]).all()
        assert (found[0] != found[3]).any()
        clips.append(clip)
    assert (clips[0] != clips[1]).any()


def test_each_draw_of_an_image_in_an_epoch_is_another_motion(inflated):
    look = Augmentation(num_segments=1, num_frames=4, frame_interval=4, **WHOLE)
    whole = [read_training_clip(inflated, look, epoch=0, draw=draw).astype(int) for draw in range(3)]
    for row, first in enumerate(whole):
        for second in whole[row + 1 :]:
            assert (first != second).any() and (first != second[:, :, ::-1]).any()


def test_without_a_recipe_or_for_a_2d_model_an_image_stands_still(inflated):
    plain = inflated.derive(inflation=None)
    for record, look in (
        (plain, Augmentation(num_segments=1, num_frames=4, frame_interval=4, **WHOLE)),
        (inflated, Augmentation(num_segments=4, **WHOLE)),
    ):
        clip = read_training_clip(record, look, epoch=0)
        assert clip.shape[0] == 4
        assert (clip == clip[:1]).all()


def feature_row(tmp_path, features, times=None, **provenance):
    times = range(len(features)) if times is None else times
    shards = ShardWriter(tmp_path / "s", stage="features", kind="features", provenance=provenance)
    record = Record({"id": "f"}, origin="f.h5", line=1)
    record.arrays = {"features": np.array(features, np.float16), "times": np.array(times, float)}
    row = shards.add(record)
    shards.close()
    return row


def test_features_are_the_mean_over_frames_and_must_fit_the_model(tmp_path):
    row = feature_row(tmp_path, [[1.0, 2.0], [3.0, 6.0]])
    assert read_feature(row, 2).tolist() == [2.0, 4.0]
    with pytest.raises(MediaError, match="and the model's have 3 numbers"):
        read_feature(row, 3)
    with pytest.raises(MediaError, match="no row 9"):
        read_feature(row.derive(row=9), 2)


def test_a_segmented_row_gives_one_positive_and_two_negative_frames_other_ones_each_epoch(tmp_path):
    """Frame f has the feature f: 100 and more are positive, so a mean tells which three were drawn."""
    times = [0.0, 1.0, 2.0, 100.0, 101.0]
    row = feature_row(tmp_path, [[time] for time in times], times=times)
    row = row.derive(positive_sec=times[3:], negative_sec=times[:3])
    drawn = [read_feature(row, 1, augmentation=LOOK, epoch=epoch).item() for epoch in range(40)]
    negatives = [(0.0, 1.0), (0.0, 2.0), (1.0, 2.0)]
    possible = {np.float32(positive + sum(pair)) / np.float32(3) for positive in times[3:] for pair in negatives}
    assert {round(mean, 4) for mean in drawn} == {round(float(mean), 4) for mean in possible}
    assert drawn == [read_feature(row, 1, augmentation=LOOK, epoch=epoch).item() for epoch in range(40)]
    assert read_feature(row, 1).item() == pytest.approx(np.mean(times), rel=1e-3)  # nothing is drawn to judge by


@pytest.mark.parametrize(
    ("fields", "options", "says"),
    [
        ({"positive_sec": [1.0]}, {"is_2d": False}, "w.jsonl:4: positive and negative frames are for 2D models"),
        ({"positive_sec": []}, {}, "w.jsonl:4: positive_sec is empty"),
        ({"inflation": {"mode": "spin"}}, {}, "w.jsonl:4: inflation: mode 'spin'"),
        ({"media": "features"}, {}, "w.jsonl:4: features, from which only a classifier learns"),
    ],
)
def test_what_the_model_cannot_learn_from_is_refused_with_its_line(numbered, fields, options, says):
    with pytest.raises(InputError, match=says):
        check_media(
            [numbered.derive(**fields)],
            **{"is_2d": True, "is_frozen": False, "backbone": None, "signature": "", "content": str, **options},
        )


def test_features_of_another_backbone_are_refused(tmp_path):
    import hashlib

    weights = tmp_path / "w.pth"
    weights.write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    options = {"is_2d": True, "is_frozen": True, "signature": "tsn-resnet18 256/224", "content": lambda: "c" * 64}
    row = feature_row(tmp_path, [[1.0]], checkpoint=sha256)
    check_media([row], backbone=sha256, **options)
    with pytest.raises(
        InputError, match=f"features by {sha256[:12]}, and the model is tsn-resnet18 256/224 of ImageNet"
    ):
        check_media([row], backbone="", **options)
    with pytest.raises(InputError, match="--init scratch draws other weights"):
        check_media([row], backbone=None, **options)
    looks = options["signature"]
    equal = feature_row(tmp_path / "equal", [[1.0]], checkpoint="b" * 64, looks=looks, content="c" * 64)
    check_media([equal], backbone=sha256, **options)
    other = feature_row(tmp_path / "other", [[1.0]], checkpoint="b" * 64, looks=looks, content="d" * 64)
    with pytest.raises(InputError, match="features by tsn-resnet18 256/224 of bbbbbbbbbbbb, and the model is"):
        check_media([other], backbone=sha256, **options)
