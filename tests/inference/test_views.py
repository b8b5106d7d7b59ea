"""Each kind of model gets its frames, crops and sizes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from omnicli.data.frame_sampling import clip_indices_test, segment_indices_test
from omnicli.data.transforms import centre_crop, resize_short_side
from omnicli.errors import ModelError
from omnicli.inference.views import ViewOptions, feature_indices, read_views, views_of
from omnicli.media.source import open_media
from omnicli.models.architectures import new_model
from omnicli.models.factory import model_spec
from omnicli.models.loading import LoadedModel
from omnicli.streams.record import Record


def made_model(name, **spec):
    torch.manual_seed(0)  # whatever ran before
    whole = model_spec(name, classes=["a", "b"], short_side=36, crop_size=32, **spec)
    return LoadedModel(new_model(name, 2).eval(), whole, 1.0, "", f"{name}.pth", torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def tsn():
    return made_model("tsn-resnet10t")


@pytest.fixture(scope="module")
def tsm():
    return made_model("tsm-resnet18", num_segments=4)


@pytest.fixture(scope="module")
def r3d():
    return made_model("r3d-r18", num_frames=4, frame_interval=2)


@pytest.fixture(scope="module")
def video(world):
    path = sorted((world / "target" / "val").rglob("*.mp4"))[0]
    return Record({"id": "v", "path": str(path)}, origin="a.jsonl", line=1)


@pytest.fixture(scope="module")
def image(world):
    return Record({"id": "p", "path": str(next((world / "web").rglob("*.jpg")))}, origin="a.jsonl", line=2)


def test_views_of_each_kind_of_model(tsn, tsm, r3d, video):
    shapes = [views.shape for views in read_views(video, models=[tsn, tsm, r3d], views=ViewOptions(num_clips=5))]
    assert shapes == [(3, 1, 32, 32, 3), (1, 4, 32, 32, 3), (5, 4, 32, 32, 3)]


def test_models_with_the_same_input_share_views(tsn, r3d, video):
    first, again, _ = read_views(video, models=[tsn, tsn, r3d], views=ViewOptions())
    assert first is again


def test_an_image_is_one_view_or_a_still_clip_and_refused_by_3d_models(tsn, tsm, r3d, image):
    alone, still = read_views(image, models=[tsn, tsm], views=ViewOptions())
    assert alone.shape == (1, 1, 32, 32, 3)
    assert still.shape == (1, 4, 32, 32, 3)
    assert (still == still[:, :1]).all()
    with pytest.raises(ModelError, match=r"a\.jsonl:2: an image cannot be scored by the 3D model r3d-r18\.pth"):
        read_views(image, models=[r3d], views=ViewOptions())


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


def test_a_3d_model_has_no_features_of_an_image(tsn, r3d, image):
    with open_media(image) as source:
        assert feature_indices(source, image, tsn, fps=1, num_clips=1).tolist() == [[0]]
        with pytest.raises(ModelError, match="deflating"):
            feature_indices(source, image, r3d, fps=1, num_clips=1)


class FakeVideo:
    """N frames of 20x30 pixels, each filled with its number; records the frames read."""

    def __init__(self, num_frames, *, height=20, width=30):
        self.num_frames, self.fps = num_frames, 25.0
        self.frames = np.arange(num_frames, dtype=np.uint8)[:, None, None, None] + np.zeros(
            (height, width, 3), np.uint8
        )
        self.frames[..., 0] = np.arange(width)  # so that crops can be told apart
        self.wanted = []

    def read(self, frame_indices, *, short_side=None):
        self.wanted += frame_indices
        return self.frames[frame_indices]


TSN = made_model("tsn-resnet10t")
R3D = made_model("r3d-r18", num_frames=4, frame_interval=3)


def views(film, model=TSN, **options):
    chosen = ViewOptions(**{"num_segments": 3, "short_side": 20, "crop_size": 16} | options)
    return views_of(film, Record({"id": "film"}), models=[model], views=chosen)[0]


@given(st.integers(2, 60), st.integers(1, 30))
def test_one_snippet_per_segment_as_in_the_released_code(num_frames, num_segments):
    film = FakeVideo(num_frames)
    got = views(film, num_segments=num_segments)
    assert got.shape == (num_segments, 1, 16, 16, 3)
    expected = segment_indices_test(num_frames, num_segments=num_segments)
    np.testing.assert_array_equal(got[:, 0, 0, 0, 1], expected)
    assert len(film.wanted) == len(set(film.wanted))  # a short video repeats frames: each is decoded once


def test_an_image_is_one_view_for_any_number_of_segments():
    assert len(views(FakeVideo(1), num_segments=25)) == 1


@pytest.mark.parametrize(("crops", "count"), [("centre", 1), ("three", 3), ("ten", 10)])
def test_every_crop_of_every_snippet_is_a_view(crops, count):
    got = views(FakeVideo(9), crops=crops)
    assert len(got) == 3 * count
    pairs = {(view[0, 0, 0, 1], view[0, 0, 0, 0], view[0, 0, -1, 0]) for view in got}
    assert len(pairs) == 3 * {"centre": 1, "three": 3, "ten": 6}[crops]  # top and bottom are equal here


def test_the_full_frame_keeps_its_sides():
    got = views(FakeVideo(9), crops="full")
    assert got.shape == (3, 1, 20, 30, 3)
    clips = views(FakeVideo(50), R3D, num_clips=2, crops="full")
    assert clips.shape == (2, 4, 20, 30, 3)


def test_the_image_is_resized_then_cropped():
    film = FakeVideo(1, height=40, width=60)
    expected = centre_crop(resize_short_side(film.frames, 20), 16)
    np.testing.assert_array_equal(views(film)[:, 0], expected)


@pytest.mark.parametrize(("crops", "count"), [("centre", 1), ("three", 3), ("ten", 10)])
def test_clips_are_dense_and_every_crop_holds_all_their_frames(crops, count):
    film = FakeVideo(50)
    got = views(film, R3D, num_clips=2, crops=crops)
    expected = clip_indices_test(50, num_clips=2, clip_frames=4, frame_interval=3)
    assert got.shape == (2 * count, 4, 16, 16, 3)
    np.testing.assert_array_equal(got[:, :, 0, 0, 1], np.tile(expected, (count, 1)))
