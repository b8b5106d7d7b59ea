"""Displacements survive 8 bits, and a mirror negates x."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from omnicli.media.flow_pixels import BOUND, as_frame, flow_colours, mirror_flow, to_levels, to_pixels


@given(st.integers(0, 2**32 - 1))
def test_a_displacement_comes_back_to_within_half_a_level(seed):
    flow = np.random.default_rng(seed).uniform(-30, 30, (6, 8, 2)).astype(np.float32)
    back = to_pixels(to_levels(flow))
    assert np.abs(back - np.clip(flow, -BOUND, BOUND)).max() <= BOUND / 255 + 1e-4


def test_levels_are_those_of_the_released_programs():
    assert to_levels(np.array([-99.0, -20.0, 0.0, 20.0, 99.0])).tolist() == [0, 0, 128, 255, 255]


def test_a_mirrored_frame_is_mirrored_and_moves_the_other_way():
    x, y = np.random.default_rng(0).integers(0, 256, (2, 4, 6), dtype=np.uint8)
    mirrored = mirror_flow(as_frame(x, y)[None])[0]
    np.testing.assert_array_equal(mirrored[..., 0], 255 - x[:, ::-1])
    np.testing.assert_array_equal(mirrored[..., 1], y[:, ::-1])
    assert (mirrored[..., 2] == 128).all()
    np.testing.assert_array_equal(mirror_flow(mirrored), as_frame(x, y))


def test_colours_tell_directions_and_rest_is_white():
    shown = [flow_colours(as_frame(*np.full((2, 4, 4), [[[x]], [[y]]], np.uint8))) for x, y in
             ((255, 128), (0, 128), (128, 255), (128, 0))]  # fmt: skip
    assert len({frame[0, 0].tobytes() for frame in shown}) == 4
    assert flow_colours(as_frame(*np.full((2, 4, 4), 128, np.uint8))).min() >= 240
