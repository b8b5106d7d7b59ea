"""Each kind of model gets the frames it was made for."""

import numpy as np
import pytest
import torch

from omnicli.data.frame_sampling import clip_indices_test, segment_indices_test
from omnicli.errors import ModelError
from omnicli.inference.views import ViewOptions, feature_indices, read_views
from omnicli.media.source import open_media
from omnicli.models.architectures import new_model
from omnicli.models.factory import model_spec
from omnicli.models.loading import Teacher
from omnicli.streams.record import Record


def made_teacher(name, **spec):
    whole = model_spec(name, classes=["a", "b"], short_side=36, crop_size=32, **spec)
    return Teacher(new_model(name, 2).eval(), whole, 1.0, "", f"{name}.pth", torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def tsn():
    return made_teacher("tsn-resnet10t")


@pytest.fixture(scope="module")
def tsm():
    return made_teacher("tsm-resnet18", num_segments=4)


@pytest.fixture(scope="module")
def r3d():
    return made_teacher("r3d-r18", num_frames=4, frame_interval=2)


@pytest.fixture(scope="module")
def video(world):
    path = sorted((world / "target" / "val").rglob("*.mp4"))[0]
    return Record({"id": "v", "path": str(path)}, origin="a.jsonl", line=1)


@pytest.fixture(scope="module")
def picture(world):
    return Record({"id": "p", "path": str(next((world / "web").rglob("*.jpg")))}, origin="a.jsonl", line=2)


def test_views_of_each_kind_of_model(tsn, tsm, r3d, video):
    shapes = [views.shape for views in read_views(video, teachers=[tsn, tsm, r3d], views=ViewOptions(num_clips=5))]
    assert shapes == [(3, 1, 32, 32, 3), (1, 4, 32, 32, 3), (5, 4, 32, 32, 3)]


def test_teachers_that_look_alike_share_what_was_read(tsn, r3d, video):
    first, again, _ = read_views(video, teachers=[tsn, tsn, r3d], views=ViewOptions())
    assert first is again


def test_a_picture_is_one_segment_and_a_still_clip_and_nothing_for_a_3d_model(tsn, tsm, r3d, picture):
    alone, still = read_views(picture, teachers=[tsn, tsm], views=ViewOptions())
    assert alone.shape == (1, 1, 32, 32, 3)
    assert still.shape == (1, 4, 32, 32, 3)
    assert (still == still[:, :1]).all()
    with pytest.raises(ModelError, match=r"a\.jsonl:2: a picture cannot be judged by the 3D teacher r3d-r18\.pth"):
        read_views(picture, teachers=[r3d], views=ViewOptions())


def test_features_are_made_of_single_frames_of_segments_or_of_clips(tsn, tsm, r3d, video):
    with open_media(video) as source:
        rate = source.num_frames / source.duration_sec
        single, segments, clips = (
            feature_indices(source, video, teacher, fps=rate, num_clips=3) for teacher in (tsn, tsm, r3d)
        )
        num_frames = source.num_frames
    np.testing.assert_array_equal(single[:, 0], np.arange(num_frames))
    np.testing.assert_array_equal(segments, segment_indices_test(num_frames, num_segments=4)[None])
    np.testing.assert_array_equal(clips, clip_indices_test(num_frames, num_clips=3, clip_frames=4, frame_interval=2))


def test_there_are_no_features_of_a_picture_by_a_3d_model(tsn, r3d, picture):
    with open_media(picture) as source:
        assert feature_indices(source, picture, tsn, fps=1, num_clips=1).tolist() == [[0]]
        with pytest.raises(ModelError, match="deflated"):
            feature_indices(source, picture, r3d, fps=1, num_clips=1)
