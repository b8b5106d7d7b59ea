from fractions import Fraction

import numpy as np
import pytest

from omnicli.media.video import VideoSource

NUM_FRAMES = 60


def test_times_of_a_varying_rate_are_those_written(tmp_path, film, moving):
    stamps = np.cumsum(np.random.default_rng(0).integers(10, 90, NUM_FRAMES)).tolist()
    frames = moving(NUM_FRAMES)
    path = film(tmp_path / "a.mkv", frames, stamps=stamps, time_base=Fraction(1, 1000))
    with VideoSource(str(path)) as source:
        expected = (np.array(stamps) - stamps[0]) / 1000
        assert np.allclose(source.times, expected, atol=1e-9)
        assert np.array_equal(source.read(source.frames_at(expected[[3, 40, 7]])), frames[[3, 40, 7]])
        between = (expected[10] + expected[11]) / 2
        assert source.frames_at([between, -1.0, 1e9]).tolist() == [10, 0, NUM_FRAMES - 1]
        assert source.fps == pytest.approx(NUM_FRAMES / source.duration_sec)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_time_begins_with_the_first_frame_wherever_the_stamps_begin(tmp_path, film, moving, name):
    frames = moving(20)
    codec = "libx264rgb" if name != "a.ts" else "libx264"
    path = film(tmp_path / name, frames, stamps=range(500, 520), codec=codec)
    with VideoSource(str(path)) as source:
        assert source.times[0] == 0 and source.times[-1] == pytest.approx(19 / 25, abs=1e-3)
        assert source.duration_sec == pytest.approx(20 / 25, abs=2e-3)
