import gc
import io
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from omnicli.media.frame_times import nearest_frames
from omnicli.media.resizing import resize_short_side, shrink
from omnicli.media.video import VideoSource

NUM_FRAMES = 60


def random_requests(num_frames, seed=0, count=12):
    """Requests of all kinds: one frame, a few sparse ones, dense clips, backwards, repeats."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield rng.integers(num_frames, size=rng.integers(1, 6)).tolist()
    start = int(rng.integers(max(num_frames - 8, 1)))
    yield list(range(start, min(start + 8, num_frames)))
    yield [num_frames - 1, 0, num_frames - 1]


def assert_exact(path, truth):
    with VideoSource(str(path)) as source:
        assert source.num_frames == len(truth)
        for request in random_requests(len(truth)):
            assert np.array_equal(source.read(request), truth[request]), request
        assert np.array_equal(source.read(range(len(truth))), truth)


@pytest.mark.parametrize("gop", [1, 2, 12, 250])
def test_frames_of_any_group_size_are_exact_bit_for_bit(tmp_path, film, moving, gop):
    frames = moving(NUM_FRAMES)
    assert_exact(film(tmp_path / "a.mp4", frames, gop=gop), frames)


@pytest.mark.parametrize("gop", [2, 12, 250])
@pytest.mark.parametrize("b_frames", [1, 3])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_frames_stored_out_of_order_are_those_of_decoding_from_end_to_end(
    tmp_path, film, moving, decoded, name, gop, b_frames
):
    frames = moving(NUM_FRAMES)
    path = film(tmp_path / name, frames, gop=gop, b_frames=b_frames)
    truth = decoded(path)
    assert_exact(path, truth)
    # no two frames are alike: each is nearest to the one that went in
    distances = np.abs(truth[:, None].astype(np.int16) - frames[None]).mean(axis=(2, 3, 4))
    assert distances.argmin(axis=1).tolist() == list(range(NUM_FRAMES))


@pytest.mark.parametrize(
    "params",
    [
        "open-gop=1:bframes=3:b-adapt=0",
        "bframes=3:b-pyramid=normal:ref=4:b-adapt=0",
        "intra-refresh=1",
        "bframes=16:b-adapt=0",
    ],
)
def test_frames_that_lean_on_the_group_before_are_exact(tmp_path, film, moving, decoded, params):
    options = {"crf": "10", "x264-params": params}
    path = film(tmp_path / "a.mp4", moving(NUM_FRAMES), gop=10, b_frames=3, options=options)
    assert_exact(path, decoded(path))


@pytest.mark.parametrize(
    ("name", "codec", "b_frames"),
    [
        ("a.mkv", "libx264", 3),
        ("a.flv", "libx264", 2),
        ("a.mov", "mpeg4", 2),
        ("a.avi", "mpeg4", 0),
        ("a.avi", "mpeg4", 2),
        ("a.avi", "libx264", 2),
        ("a.ts", "libx264", 2),
        ("a.ts", "mpeg2video", 2),
        ("a.mpg", "mpeg2video", 2),
        ("a.mpg", "mpeg1video", 0),
        ("a.webm", "libvpx", 0),
        ("a.webm", "libvpx-vp9", 0),
        ("a.mp4", "libx265", 2),
        ("a.wmv", "wmv2", 0),
        ("a.mov", "mjpeg", 0),
        ("a.webm", "libsvtav1", 0),
    ],
)
def test_frames_of_every_container_are_those_of_decoding_from_end_to_end(
    tmp_path, film, moving, decoded, name, codec, b_frames
):
    try:
        path = film(tmp_path / name, moving(NUM_FRAMES, 96, 128), codec=codec, b_frames=b_frames)
    except (av.error.FFmpegError, ValueError):
        pytest.skip(f"this build cannot write {codec}")
    assert_exact(path, decoded(path))
    with VideoSource(str(path)) as source:
        assert source.num_frames == NUM_FRAMES
        assert np.allclose(source.times, np.arange(NUM_FRAMES) / 25, atol=2e-3)
        assert source.fps == pytest.approx(25, rel=0.01)
        assert (source.height, source.width) == (96, 128)


def test_hidden_frames_of_vp8_are_no_frames(tmp_path, film, moving, decoded):
    shown = film(tmp_path / "shown.webm", moving(NUM_FRAMES, 96, 128), codec="libvpx", b_frames=0, gop=30)
    path = tmp_path / "a.webm"
    with av.open(str(shown)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for ordinal, packet in enumerate(source.demux(video=0)):
            if packet.dts is None:
                continue
            data = bytearray(bytes(packet))
            data[0] &= ~(0x10 if ordinal % 10 == 5 else 0)  # the bit that says "show this frame"
            hidden = av.Packet(bytes(data))
            hidden.pts, hidden.dts, hidden.time_base = packet.pts, packet.dts, packet.time_base
            hidden.is_keyframe, hidden.stream = packet.is_keyframe, stream
            target.mux(hidden)
    truth = decoded(path)
    assert len(truth) == NUM_FRAMES - 6
    assert_exact(path, truth)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_frames_that_an_edit_list_cuts_away_are_not_counted(tmp_path, film, moving, decoded, b_frames):
    whole, cut = film(tmp_path / "whole.mp4", moving(NUM_FRAMES), gop=30, b_frames=b_frames), tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                shift = int(Fraction(10, 25) / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                target.mux(packet)
    truth = decoded(cut)
    assert len(truth) == NUM_FRAMES - 10
    assert np.array_equal(truth, decoded(whole)[10:])
    assert_exact(cut, truth)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turned_videos_are_shown_upright(tmp_path, film, moving, degrees):
    frames = moving(6)
    path = film(tmp_path / "a.mp4", frames, rotation=degrees)
    upright = np.rot90(frames, degrees // 90, axes=(1, 2))
    with VideoSource(str(path)) as source:
        assert (source.height, source.width) == upright.shape[1:3]
        assert np.array_equal(source.read([4, 1]), upright[[4, 1]])
        assert np.array_equal(source.read([2], short_side=32), resize_short_side(upright[[2]], 32))


@pytest.mark.parametrize("degrees", [0, 90])
@pytest.mark.parametrize("codec", ["libx264rgb", "libx264"])
def test_small_grey_frames_are_means_of_what_is_shown(tmp_path, film, moving, degrees, codec):
    path = film(tmp_path / "a.mp4", moving(12, 96, 128), codec=codec, rotation=degrees)
    with VideoSource(str(path)) as source:
        shown = source.read([0, 5, 11])
        grey = list(source.walk_grey([0, 5, 11], size=32))
        expected = [shrink(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), 32) for frame in shown]
        assert [frame.shape for frame in grey] == [(32, 32)] * 3
        np.testing.assert_allclose(np.stack(grey), np.stack(expected), atol=3)  # colours were clipped, brightness not
        with pytest.raises(IndexError, match="of a video of 12"):
            next(source.walk_grey([12], size=32))


def test_short_side_is_resized_exactly_as_the_transform_does(tmp_path, film, moving):
    frames = moving(10, 90, 122)
    with VideoSource(str(film(tmp_path / "a.mp4", frames))) as source:
        assert np.array_equal(source.read([7, 2], short_side=40), resize_short_side(frames[[7, 2]], 40))
        assert np.array_equal(source.read([3], short_side=120), resize_short_side(frames[[3]], 120))


def test_the_nearest_keyframes_are_found(tmp_path, film, moving):
    path = film(tmp_path / "a.mp4", moving(100, 16, 16), gop=25, b_frames=0)
    with VideoSource(str(path)) as source:
        assert nearest_frames(source.times, source.keyframes, [0.0, 0.49, 0.51, 1.2, 99]).tolist() == [0, 0, 25, 25, 75]


def test_walking_gives_one_frame_at_a_time(tmp_path, film, moving):
    frames = moving(NUM_FRAMES)
    with VideoSource(str(film(tmp_path / "a.mp4", frames))) as source:
        walked = list(source.walk([2, 3, 30, 59]))
    assert [index for index, _ in walked] == [2, 3, 30, 59]
    assert all(np.array_equal(frame, frames[index]) for index, frame in walked)


def test_frames_outside_the_video_are_an_error_of_the_caller(tmp_path, film, moving):
    with VideoSource(str(film(tmp_path / "a.mp4", moving(5)))) as source:
        for request in ([5], [-1], [0, 99]):
            with pytest.raises(IndexError, match="of a video of 5"):
                source.read(request)
        assert source.read([]).shape == (0, 0, 0, 3)


def test_an_open_file_is_read_and_closed_with_the_source(tmp_path, film, moving):
    frames = moving(5)
    file = io.BytesIO(film(tmp_path / "a.mp4", frames).read_bytes())
    with VideoSource(file) as source:
        assert np.array_equal(source.read([4, 0]), frames[[4, 0]])
    assert file.closed


def test_codecs_print_nothing_for_broken_videos(tmp_path, film, moving):
    good = film(tmp_path / "a.avi", moving(NUM_FRAMES, 96, 128), codec="mpeg4", b_frames=2)
    data = bytearray(good.read_bytes())
    for place in range(6000, len(data), 900):
        data[place : place + 30] = struct.pack("30B", *range(200, 230))
    (tmp_path / "bad.avi").write_bytes(data)
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    script = """
import sys
from omnicli.errors import MediaError
from omnicli.media.video import VideoSource
for path in sys.argv[1:]:
    try:
        with VideoSource(path) as source:
            for index in range(source.num_frames):
                try:
                    source.read([index])
                except MediaError:
                    pass
    except MediaError:
        pass
"""
    paths = [str(tmp_path / name) for name in ("bad.avi", "cut.avi")]
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, check=True, timeout=300)
    assert done.stderr == b"" and done.stdout == b""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads of the process are counted in Linux's /proc")
def test_videos_opened_one_after_another_leave_no_native_threads(tmp_path, film, moving):
    path = film(tmp_path / "a.mp4", moving(4), codec="libx264")  # x264 signs its work: side data

    def num_threads():
        return len(list(Path("/proc/self/task").iterdir()))

    gc.disable()  # nothing may wait for the collector
    try:
        before = num_threads()
        for _ in range(8):
            with VideoSource(str(path)) as source:
                source.read([0, 3])
                assert num_threads() == before
    finally:
        gc.enable()
    assert num_threads() == before


@pytest.mark.parametrize("shape", [(2160, 3840), (2, 8192), (4320, 16)])
def test_a_frame_asked_how_it_is_turned_is_freed_with_its_video(tmp_path, film, shape):
    path = film(tmp_path / "a.mp4", np.zeros((1, *shape, 3), np.uint8), codec="libx264", rotation=90)
    gc.collect()
    gc.disable()
    try:
        with VideoSource(str(path)) as source:
            assert (source.height, source.width) == shape[::-1]
        del source
        frames = [thing for thing in gc.get_objects() if type(thing) is av.VideoFrame]  # proxies warn when asked
    finally:
        gc.enable()
    assert all(frame.width * frame.height == 1 for frame in frames)
