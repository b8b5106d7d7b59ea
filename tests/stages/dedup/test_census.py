"""A signature is what the definition says, bit for bit, and what copying leaves of a frame."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.stages.dedup.census import FPS, SIZE, WHOLE, sign, take_census
from omnicli.stages.dedup.margins import CropBox, inside_mirrors


def scenes(seed, count=2):
    """(count, 112, 112) uint8 random scenes with coarse and fine detail."""
    rng = np.random.default_rng(seed)
    layers = [
        np.stack([cv2.resize(rng.normal(0, scale, (SIZE // scale, SIZE // scale)), (SIZE, SIZE)) for _ in range(count)])
        for scale in (4, 8, 16, 32)
    ]
    return (sum(layers) * 1.2 + 120).clip(0, 255).astype(np.uint8)


def bits_by_hand(frame, crop):
    """Ranks by counting, cells by cutting each pixel into 16 x 18 pieces, comparisons one by one."""
    top, bottom, left, right = crop
    image = frame[top // 2 : -(-bottom // 2), left // 2 : -(-right // 2)]
    values, inverse = np.unique(frame, return_inverse=True)
    rank = np.array([int(((image < value).sum() + (image == value).sum() / 2) * 255 / image.size) for value in values])
    pieces = rank[inverse].reshape(frame.shape).repeat(16, axis=0).repeat(18, axis=1)
    height, width = bottom - top, right - left  # pieces of a cell
    bits = []
    for row in range(8):
        for column in range(8):
            cells = [
                pieces[top * 8 + row * height : top * 8 + (row + 1) * height,
                       left * 9 + at * width : left * 9 + (at + 1) * width].sum()
                for at in (column, column + 1)
            ]  # fmt: skip
            bits.append(bool(cells[1] > cells[0]))
    return sum(bit << (place // 8 * 8 + 7 - place % 8) for place, bit in enumerate(bits))


@pytest.mark.parametrize("crop", [WHOLE, CropBox(11, 203, 30, 195), CropBox(0, 75, 80, 224)])
@pytest.mark.parametrize("seed", [0, 1])
def test_bits_are_those_of_the_definition(seed, crop):
    frames = scenes(seed)
    assert sign(frames, crop).bits.tolist() == [bits_by_hand(frame, crop) for frame in frames]


@given(seed=st.integers(0, 1000), data=st.data())
def test_no_change_that_keeps_the_order_of_brightness_changes_a_bit(seed, data):
    frames = scenes(seed) // 4  # 64 levels
    levels = sorted(data.draw(st.sets(st.integers(0, 255), min_size=64, max_size=64)))
    changed = np.array(levels, np.uint8)[frames]
    assert np.array_equal(sign(changed).bits, sign(frames).bits)
    assert np.array_equal(sign(changed).flipped, sign(frames).flipped)


@given(seed=st.integers(0, 1000), crop=st.sampled_from([WHOLE, CropBox(5, 201, 13, 224)]))
def test_flipped_is_what_the_flipped_frame_has(seed, crop):
    frames = scenes(seed)
    mirrored = crop._replace(left=2 * SIZE - crop.right, right=2 * SIZE - crop.left)
    assert np.array_equal(sign(frames, crop).flipped, sign(frames[:, :, ::-1].copy(), mirrored).bits)


@given(seed=st.integers(0, 1000))
def test_a_frame_has_its_bits_whatever_stands_beside_it(seed):
    frames = scenes(seed, count=5)
    alone = [sign(frames[place : place + 1]) for place in range(5)]
    for together, one_by_one in zip(sign(frames), zip(*alone, strict=True), strict=True):
        assert np.array_equal(together, np.concatenate(one_by_one))


@given(seed=st.integers(0, 1000))
def test_a_worse_copy_is_near_and_other_scenes_are_far(seed):
    frames = scenes(seed, count=8)
    coarse = [cv2.resize(cv2.resize(frame, (70, 50), interpolation=cv2.INTER_AREA), (SIZE, SIZE)) for frame in frames]
    noise = np.random.default_rng(seed).normal(0, 4, frames.shape)
    copies = (np.stack(coarse) + noise).clip(0, 255).astype(np.uint8)
    differing = np.bitwise_count(sign(frames).bits[:, None] ^ sign(copies).bits[None])
    assert np.diag(differing).max() <= 8
    assert differing.argmin(axis=1).tolist() == list(range(8))
    assert np.median(differing) > 16


def test_only_texture_votes():
    rng = np.random.default_rng(0)
    black = rng.integers(14, 19, (SIZE, SIZE)).astype(np.uint8)
    logo = black.copy()
    logo[90:100, 90:100] = 200
    faded = (scenes(0, 1)[0] // 40 + 100).astype(np.uint8)
    assert sign(np.stack([np.zeros_like(black), black, logo, faded, scenes(0, 1)[0]])).votes.tolist() == [False] * 4 + [
        True
    ]


class ClipAnimation:
    """Frames at a rate; reads only what is wanted, once, in order."""

    def __init__(self, frames, fps, start_sec=0.0):
        self.frames, self.fps = frames, fps
        self.num_frames, self.duration_sec = len(frames), len(frames) / fps
        self.times = start_sec + np.arange(len(frames)) / fps
        self.read = []

    def walk_grey(self, indices, *, size):
        assert size == SIZE
        assert list(indices) == sorted(set(indices))
        for index in indices:
            self.read.append(index)
            yield self.frames[index]


@pytest.mark.parametrize("fps", [25.0, 16.0, 10.0])
def test_a_video_has_sixteen_signatures_a_second_of_the_frames_on_screen(fps):
    film = ClipAnimation(scenes(0, count=50), fps, start_sec=3.0)
    census = take_census(film)
    on_screen = [int(second / FPS * fps + 1e-6) for second in range(round(film.duration_sec * FPS))]
    assert census.framings[0].bits.tolist() == sign(film.frames).bits[on_screen].tolist()
    assert (census.num_frames, census.start_sec) == (len(on_screen), 3.0)
    assert film.read == sorted(set(on_screen))


def test_a_letterboxed_video_has_the_framing_of_the_original_too():
    frames = scenes(0, count=40)
    letterboxed = np.zeros_like(frames)
    letterboxed[:, 14:98] = [cv2.resize(frame, (SIZE, 84), interpolation=cv2.INTER_AREA) for frame in frames]
    original, census = take_census(ClipAnimation(frames, 16.0)), take_census(ClipAnimation(letterboxed, 16.0))
    differing = [np.bitwise_count(framing.bits ^ original.framings[0].bits).max() for framing in census.framings]
    assert len(original.framings) == 1
    assert len(census.framings) == 2
    assert differing[0] > 12
    assert differing[1] <= 6


def test_a_sky_under_a_bar_which_looks_mirrored_does_not_hide_the_bar():
    frames = scenes(0, count=16) // 2
    frames[:, :42] = 200
    frames[:, :14] = frames[:, 98:] = 0
    assert inside_mirrors(frames) != WHOLE
    census = take_census(ClipAnimation(frames, 16.0))
    expected = sign(frames, CropBox(28, 196, 0, 224)).bits.tolist()
    assert expected in [framing.bits.tolist() for framing in census.framings]


def test_frames_without_texture_are_counted():
    frames = np.concatenate([scenes(0, count=20), np.zeros((12, SIZE, SIZE), np.uint8)])
    assert take_census(ClipAnimation(frames, 16.0)).num_textureless == 12


def test_frames_that_claim_to_stay_for_hours_take_no_more_memory():
    film = ClipAnimation(scenes(0, count=40), 25 / 65537)
    census = take_census(film)
    assert census.num_frames == 40 * 10 * FPS
    assert film.read == list(range(40))
