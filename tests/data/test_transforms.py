import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicli.data.frame_sampling import clip_indices_test, segment_indices_test
from omnicli.data.transforms import (
    centre_crop,
    erase_box,
    five_crops,
    flip,
    multi_scale_crop,
    normalise,
    random_crop,
    random_resized_crop,
    resize_short_side,
    ten_crops,
    three_crops,
    to_clip,
)
from omnicli.media.video import VideoSource

torch.set_num_threads(1)
REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "transforms.npz"
needs_reference = pytest.mark.skipif(not REFERENCE.exists(), reason="no ../shared/reference")
sides = st.integers(1, 90)


class LegacyDraws:
    """What the released code draws with: NumPy's old generator for floats, Python's for integers."""

    def __init__(self, seed):
        self.floats = np.random.RandomState(seed)
        self.whole = random.Random(seed)

    def uniform(self, low, high, size):
        return self.floats.uniform(low, high, size=size)

    def integers(self, high):
        return self.whole.randint(0, high - 1)


def coordinates(height, width, num_frames=2):
    """Frames whose pixel (t, y, x) holds (y, x, t): a crop shows where it was cut."""
    frames = np.zeros((num_frames, height, width, 3), np.uint8)
    frames[..., 0] = np.arange(height)[:, None]
    frames[..., 1] = np.arange(width)
    frames[..., 2] = np.arange(num_frames)[:, None, None]
    return frames


@needs_reference
def test_resizing_and_fixed_crops_are_those_of_the_released_code():
    reference = np.load(REFERENCE)
    frames = reference["img"][None]
    at_256 = resize_short_side(frames, 256)
    assert np.array_equal(at_256, reference["resize256_from_340x256"])
    assert np.array_equal(resize_short_side(frames, 128), reference["resize128"])
    portrait = np.ascontiguousarray(frames.transpose(0, 2, 1, 3))
    assert resize_short_side(portrait, 128).shape == reference["resize128_portrait"].shape
    assert np.array_equal(centre_crop(at_256, 224), reference["center224"])
    assert np.array_equal(three_crops(at_256, 256)[:, 0], reference["three256"])
    assert np.array_equal(ten_crops(at_256, 224)[:, 0], reference["ten224"])


@needs_reference
def test_random_resized_crops_are_those_of_the_released_code_given_its_draws():
    boxes = np.load(REFERENCE)["rrc_boxes_256x340_seed0_19"]
    frames = np.zeros((1, 256, 340, 3), np.uint8)
    frames[..., 0] = np.arange(256)[:, None]
    frames[..., 1:] = np.stack(np.divmod(np.arange(340), 256), -1)
    for seed, (left, top, right, bottom) in enumerate(boxes.tolist()):
        cut = cv2.resize(frames[0, top:bottom, left:right], (224, 224))
        assert np.array_equal(random_resized_crop(frames, 224, LegacyDraws(seed))[0], cut), seed


@given(sides, sides, sides)
def test_resizing_makes_the_short_side_exact_and_rounds_the_long_one(height, width, short_side):
    resized = resize_short_side(coordinates(height, width), short_side)
    long_side = int(max(height, width) * (short_side / min(height, width)) + 0.5)
    expected = (short_side, long_side) if height <= width else (long_side, short_side)
    assert resized.shape == (2, *expected, 3)


def test_each_frame_is_resized_as_cv2_resizes_it():
    frames = np.random.default_rng(0).integers(0, 256, (3, 60, 80, 3), dtype=np.uint8)
    resized = resize_short_side(frames, 33)
    for frame, ours in zip(frames, resized, strict=True):
        assert np.array_equal(ours, cv2.resize(frame, (44, 33), interpolation=cv2.INTER_LINEAR))


@given(st.integers(20, 60), st.integers(20, 60))
def test_centre_crop_leaves_the_odd_pixel_right_and_below(height, width):
    crop = centre_crop(coordinates(height, width), 20)
    assert crop.shape == (2, 20, 20, 3)
    assert crop[0, 0, 0, :2].tolist() == [(height - 20) // 2, (width - 20) // 2]


@given(st.integers(20, 60), st.integers(20, 60))
def test_three_crops_touch_both_ends_of_the_long_side(height, width):
    crops = three_crops(coordinates(height, width), 20)
    assert crops.shape == (3, 2, 20, 20, 3)
    along, across = (1, 0) if width >= height else (0, 1)
    starts = crops[:, 0, 0, 0, along].tolist()
    free = max(height, width) - 20
    assert starts == [0, free // 2 * 2, free // 2]
    assert set(crops[:, 0, 0, 0, across].tolist()) == {(min(height, width) - 20) // 2}


@given(st.integers(20, 60), st.integers(20, 60))
def test_ten_crops_are_five_places_each_followed_by_its_mirror(height, width):
    crops = ten_crops(coordinates(height, width), 20)
    assert crops.shape == (10, 2, 20, 20, 3)
    assert np.array_equal(crops[1::2], crops[::2, :, :, ::-1])
    corners = crops[::2, 0, 0, 0, :2].tolist()
    step_y, step_x = (height - 20) // 4, (width - 20) // 4
    assert corners == [[y * step_y, x * step_x] for y, x in ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2))]


def test_flipping_twice_changes_nothing():
    frames = coordinates(5, 7)
    assert flip(frames)[0, 0, 0, 1] == 6
    assert np.array_equal(flip(flip(frames)), frames)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 3))
@settings(deadline=None)
def test_random_crops_of_any_image_have_the_asked_size_and_one_place_for_all_frames(height, width, seed):
    frames = coordinates(height, width, num_frames=3)
    for crop in (random_resized_crop, multi_scale_crop):
        cut = crop(frames, 16, np.random.default_rng(seed))
        assert cut.shape == (3, 16, 16, 3)
        assert np.array_equal(cut[0, ..., :2], cut[2, ..., :2])
        assert cut[0, ..., 0].max() < height and cut[0, ..., 1].max() < width
        assert np.array_equal(cut, crop(frames, 16, np.random.default_rng(seed)))  # the same draws, the same crop


def test_a_plain_random_crop_is_every_square_of_the_frames_as_it_is():
    frames = coordinates(7, 9, num_frames=2)
    places = set()
    for seed in range(300):
        cut = random_crop(frames, 6, np.random.default_rng(seed))
        top, left = (int(value) for value in cut[0, 0, 0, :2])
        assert np.array_equal(cut, frames[:, top : top + 6, left : left + 6])
        places.add((top, left))
    assert places == {(top, left) for top in range(2) for left in range(4)}


def test_multi_scale_crops_take_each_allowed_pair_of_sides_at_each_of_five_places():
    frames = np.random.default_rng(0).integers(0, 256, (1, 100, 140, 3), dtype=np.uint8)
    pairs = [(100, 100), (100, 87), (87, 100), (87, 87), (87, 75), (75, 87), (75, 75), (75, 66), (66, 75), (66, 66)]
    seen = set()
    for seed in range(300):
        draws = np.random.default_rng(seed)
        (height, width), place = pairs[draws.integers(10)], int(draws.integers(5))
        free_y, free_x = (100 - height) // 4, (140 - width) // 4
        top, left = ((0, 0), (0, 4 * free_x), (4 * free_y, 0), (4 * free_y, 4 * free_x), (2 * free_y, 2 * free_x))[
            place
        ]
        cut = cv2.resize(frames[0, top : top + height, left : left + width], (50, 50))
        assert np.array_equal(multi_scale_crop(frames, 50, np.random.default_rng(seed))[0], cut)
        seen.add((height, width, place))
    assert len(seen) == 50


def test_a_side_close_to_the_result_is_not_resampled():
    frames = coordinates(256, 256)
    cut = multi_scale_crop(frames, 222, np.random.default_rng(0), scales=(0.875,))  # int(256 * 0.875) = 224
    assert set(np.diff(cut[0, :, 0, 0].astype(int)).tolist()) == {1}


def test_a_strip_that_no_rectangle_fits_gives_its_middle_square():
    cut = random_resized_crop(coordinates(2, 200), 2, np.random.default_rng(0), area_range=(0.9, 1.0))
    assert cut[0, 0, :, 1].tolist() == [99, 100]


def test_a_crop_larger_than_the_frames_is_refused():
    for crop in (centre_crop, three_crops, ten_crops):
        with pytest.raises(ValueError, match="frames of 20x30 pixels are smaller than a crop of 32x32"):
            crop(coordinates(20, 30), 32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_normalising_equals_the_formula_pixel_by_pixel(dtype):
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    clips = torch.randint(0, 256, (2, 3, 5, 7, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ours = normalise(clips, mean=mean, std=std, dtype=dtype)
    assert ours.shape == (2, 3, 3, 5, 7) and ours.dtype == dtype
    for channel in range(3):
        expected = (clips[..., channel].float() - mean[channel]) / std[channel]
        assert torch.equal(ours[:, channel], expected.to(dtype))


def test_normalising_leaves_the_bytes_alone_and_the_memory_channels_last():
    clips = torch.full((1, 2, 4, 4, 3), 7, dtype=torch.uint8)
    ours = normalise(clips, mean=(1, 2, 3), std=(1, 1, 1))
    assert (clips == 7).all()
    assert ours[0].transpose(0, 1).is_contiguous(memory_format=torch.channels_last)


def test_a_mirrored_view_becomes_a_clip_that_holds_the_mirrored_pixels():
    frames = coordinates(4, 6)
    frames.setflags(write=False)
    clip = to_clip(flip(frames))
    assert clip.shape == (2, 4, 6, 3) and clip.dtype == torch.uint8
    assert np.array_equal(clip.numpy(), frames[:, :, ::-1])
    assert to_clip(frames).is_contiguous()


@needs_reference
@pytest.mark.parametrize(("name", "kind"), [("tsn_val.PyAV", "segments"), ("slowonly_val.PyAV", "clip")])
def test_a_real_video_becomes_the_input_that_the_released_code_makes_of_it(name, kind):
    expected = json.loads((REFERENCE.parent / "e2e.json").read_text())[name]
    with VideoSource(str(REFERENCE.parent / "clip.mp4")) as source:
        if kind == "segments":
            indices = segment_indices_test(source.num_frames, num_segments=3)
        else:
            indices = clip_indices_test(source.num_frames, num_clips=1, clip_frames=4, frame_interval=16)[0]
        frames = centre_crop(resize_short_side(source.read(indices.tolist()), 256), 224)
        assert np.array_equal(frames, centre_crop(source.read(indices.tolist(), short_side=256), 224))
    assert frames.shape == (len(indices), 224, 224, 3)
    assert frames.mean() == pytest.approx(expected["input_mean"], abs=1e-4)


def test_five_crops_are_the_places_of_ten_frame_by_frame():
    frames = np.random.default_rng(0).integers(0, 255, (3, 30, 41, 3), dtype=np.uint8)
    crops = five_crops(frames, 20).reshape(3, 5, 20, 20, 3)
    for frame, five in zip(frames, crops, strict=True):
        np.testing.assert_array_equal(five, ten_crops(frame[None], 20)[::2, 0])


def test_erasing_fills_one_box_of_every_frame_with_noise_of_the_moments():
    mean, std = (120.0, 110.0, 100.0), (30.0, 20.0, 10.0)
    shares, aspects, noise = [], [], []
    for seed in range(300):
        clip = np.zeros((2, 60, 80, 3), np.uint8)
        erase_box(clip, np.random.default_rng(seed), mean=mean, std=std)
        erased = clip.any(axis=3)
        assert (erased[0] == erased[1]).all()
        rows, columns = (np.flatnonzero(erased[0].any(axis=axis)) for axis in (1, 0))
        assert erased[0][rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        shares.append(erased[0].mean())
        aspects.append(len(columns) / len(rows))
        noise.append(clip[:, erased[0]].reshape(-1, 3))
        assert (clip[0][erased[0]] != clip[1][erased[0]]).any()
    assert 0.015 < min(shares) < 0.03
    assert 0.31 < max(shares) < 0.35
    assert 0.25 < min(aspects) < 0.4
    assert 2.5 < max(aspects) < 4
    values = np.concatenate(noise).astype(float)
    assert values.mean(axis=0) == pytest.approx(mean, abs=0.3)
    assert values.std(axis=0) == pytest.approx(std, rel=0.02)


def test_mirrored_flow_is_that_of_the_mirrored_video():
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 10, 3), dtype=np.uint8)
    crops = ten_crops(frames, 4, is_flow=True)
    np.testing.assert_array_equal(crops[1][..., 0], 255 - crops[0][:, :, ::-1, 0])
    np.testing.assert_array_equal(crops[1][..., 1], crops[0][:, :, ::-1, 1])
    np.testing.assert_array_equal(flip(frames), frames[:, :, ::-1])
