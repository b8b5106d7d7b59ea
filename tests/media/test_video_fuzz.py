"""Damaged videos of every container: a reason, or frames that agree with their times; never another exception."""

import io

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import MediaError
from omnicli.media.video import VideoSource

FILES = [
    *(("a.mp4", "mpeg4"), ("b.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx"), ("a.avi", "mpeg4")),
    *(("b.avi", "mjpeg"), ("a.ts", "mpeg2video"), ("b.ts", "libx264"), ("a.flv", "flv"), ("a.asf", "wmv2")),
    *(("a.mpg", "mpeg1video"), ("a.ogg", "libvpx"), ("a.ivf", "libvpx"), ("a.h264", "libx264"), ("a.gif", "gif")),
]
NUM_FRAMES = 12

# where the damage lies, as a share of the file, whether it is in the first bytes, and what stands there afterwards
damages = st.lists(
    st.tuples(st.floats(0, 1), st.booleans(), st.integers(0, 200), st.binary(max_size=40)), min_size=1, max_size=4
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return {name: write(folder / name, codec) for name, codec in FILES}


def write(path, codec):
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25)
        stream.height, stream.width = 48, 64
        stream.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
        stream.codec_context.gop_size = 5
        stream.codec_context.max_b_frames = 2 if codec in ("mpeg4", "libx264", "mpeg2video") else 0
        for index in range(NUM_FRAMES):
            pixels = np.repeat(np.repeat(rng.integers(0, 256, (6, 8, 3), np.uint8), 8, axis=0), 8, axis=1)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=stream.pix_fmt)
            frame.pts = index
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path.read_bytes()


def damaged(data, changes):
    """Each change cuts some bytes out and puts others in."""
    for place, is_early, length, content in changes:
        position = int(place * (min(len(data), 1000) if is_early else len(data)))
        data = data[:position] + content + data[position + length :]
    return data


def check(data):
    """Opens and reads; returns the number of frames, or 0 with a reason."""
    try:
        with VideoSource(io.BytesIO(data)) as source:
            times = source.times
            assert source.num_frames == len(times) >= 1
            assert times[0] == 0 and (np.diff(times) > 0).all() and np.isfinite(times).all()
            assert 0 < source.duration_sec < np.inf and 0 < source.fps < np.inf
            assert ((source.keyframes >= 0) & (source.keyframes < len(times))).all()
            for wanted in ([len(times) // 2], [len(times) - 1, 0], range(min(len(times), 40))):
                try:
                    assert len(source.read(wanted, short_side=8)) == len(wanted)
                except MediaError as error:
                    assert str(error)
            return source.num_frames
    except MediaError as error:
        assert str(error)
        return 0


@pytest.mark.parametrize("name", [name for name, _ in FILES])
def test_damage_ends_in_frames_or_a_reason(files, name):
    assert check(files[name]) == NUM_FRAMES

    @given(damages)
    def run(changes):
        check(damaged(files[name], changes))

    run()


@pytest.mark.parametrize("name", [name for name, _ in FILES])
def test_the_beginning_of_a_file_is_frames_or_a_reason(files, name):
    data = files[name]
    counts = [check(data[:size]) for size in np.linspace(1, len(data), 25).astype(int)]
    assert counts[-1] == NUM_FRAMES and max(counts) <= NUM_FRAMES + 1
