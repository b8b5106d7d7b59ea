import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.media.frame_times import claims_too_long, frames_at, frames_at_rate, nearest_frames


def test_a_frame_on_screen_is_found_in_spite_of_rounding():
    times = np.arange(100) * 1001 / 30000
    rounded = np.round(times, 6)
    assert frames_at(times, rounded).tolist() == list(range(100))
    assert frames_at(times, times + 0.03).tolist() == list(range(100))


def test_frames_on_screen_at_given_times():
    times = np.array([0.0, 0.5, 2.0])
    assert frames_at(times, np.array([2.0, 0.0, 0.49, 1.9, 9.0, -1.0])).tolist() == [2, 0, 0, 1, 2, 0]


@given(
    steps=st.lists(st.integers(1, 50), min_size=1, max_size=30),
    chosen=st.sets(st.integers(0, 29), min_size=1),
    wanted=st.lists(st.integers(-20, 1600), max_size=10),
)
def test_the_nearest_frame_is_the_earlier_of_two_as_near(steps, chosen, wanted):
    times = np.cumsum(steps).astype(float)
    indices = np.array(sorted({index % len(times) for index in chosen}))
    slow = [min(indices.tolist(), key=lambda index: (abs(times[index] - time), index)) for time in wanted]
    assert nearest_frames(times, indices, wanted).tolist() == slow


def test_what_a_header_claims_does_not_decide_how_much_is_sampled():
    times = np.arange(40) * 2621.48
    assert claims_too_long(40, 104_859.0) and not claims_too_long(40, 3_700.0) and not claims_too_long(90_000, 3_600.0)
    indices = frames_at_rate(times, 104_859.0, fps=1)
    assert np.bincount(indices).tolist() == [10] * 40
    assert np.bincount(frames_at_rate(times, 1e18, fps=16)).tolist() == [160] * 40
    broken = frames_at_rate(np.append(np.arange(500) / 25, 1e12), 2e12, fps=2)  # one time stamp of many
    assert broken[:40].tolist() == frames_at_rate(np.arange(500) / 25, 20, fps=2).tolist()
    assert len(broken) <= 40 + 4 * 10


@pytest.mark.parametrize("num_frames", [1, 2, 40])
def test_a_long_still_counts_as_long_as_it_stays(num_frames):
    indices = frames_at_rate(np.arange(num_frames) * 60.0, num_frames * 60.0, fps=1)
    assert np.bincount(indices).tolist() == [60] * num_frames


@given(
    st.lists(st.floats(0.01, 0.5), min_size=1, max_size=60), st.floats(0.01, 0.5), st.sampled_from([0.5, 1, 2, 12.5])
)
def test_frames_at_a_rate_are_those_on_screen(gaps, last, fps):
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    duration = times[-1] + last
    indices = frames_at_rate(times, duration, fps=fps)
    wanted = [k / fps for k in range(max(1, int(np.ceil(duration * fps - 1e-9))))]
    expected = [max(i for i, time in enumerate(times) if time <= when + 1e-6) for when in wanted]
    assert indices.tolist() == expected


@pytest.mark.parametrize("origin", ["made", "field"])
def test_a_small_file_that_claims_hours_takes_little_memory(tmp_path, film, moving, case, origin):
    if origin == "made":
        stamps = [index * 2_621_480 for index in range(40)]
        path = film(tmp_path / "a.mkv", moving(40), codec="mpeg4", stamps=stamps, time_base=Fraction(1, 1000))
    else:
        path = case("claims_29_hours.avi")
    script = """
import resource, sys
import subprocess
import sys
from fractions import Fraction

import numpy as np
from omnicli.media.frame_times import frames_at_rate
from omnicli.media.source import open_media
from omnicli.stages.dedup.census import take_census
from omnicli.stages.pack import PackOptions, pack_record
from omnicli.streams.record import Record

base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
record = Record({"id": "a", "path": sys.argv[1]}, position=0)
with open_media(record) as source:
    assert source.num_frames == 40 and source.duration_sec > 100_000, (source.num_frames, source.duration_sec)
    assert len(take_census(source).framings[0].bits) <= 40 * 160
    source.read(frames_at_rate(source.times, source.duration_sec, fps=1.0))
assert len(pack_record(record, PackOptions(fps=1.0)).arrays["frames"]) == 40
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 200  # MB
