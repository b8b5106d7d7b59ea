import io
from fractions import Fraction

import av
import numpy as np
import pytest

from omnicli.errors import MediaError
from omnicli.media.counting import _ascending
from omnicli.media.video import VideoSource


class Stand:
    """A container or a stream, as far as time stamps ask for it."""

    def __init__(self, **facts):
        self.__dict__.update(facts)


def ascending(stamps, packets=(), container="mpegts", rate=25):
    longest = 10_000 if container == "mpegts" else None
    container = Stand(format=Stand(name=container))
    context = Stand(codec_tag="\0\0\0\0")
    stream = Stand(
        time_base=Fraction(1, 1000), average_rate=Fraction(rate), guessed_rate=Fraction(10), codec_context=context
    )
    return _ascending(stamps, packets, container, stream, longest)


def test_time_goes_on_where_a_clock_jumps():
    assert ascending([0, 40, 80, 0, 40, 80]) == [0, 40, 80, 120, 160, 200]
    assert ascending([0, 40, 80, 99_000, 99_040, 99_080]) == [0, 40, 80, 120, 160, 200]
    assert ascending([0, 40, 9_000, 9_040, 9_080, 9_120]) == [0, 40, 9_000, 9_040, 9_080, 9_120]  # a pause
    long = [0, 40, 99_000, 99_040, 99_080, 99_120]
    assert ascending(long, container="matroska") == long
    assert ascending([5, 45, None, 125, 165, 205, 245]) == [0, 40, 80, 120, 160, 200, 240]


def test_time_stamps_that_say_nothing_give_way_to_those_of_packets_or_to_the_rate():
    assert ascending([20, 60, 80, 40], [0, 20, 40, 60], "avi") == [0, 20, 40, 60]
    assert ascending([20, 60, 80, 40], [0, 20, 40, 60]) == [0, 40, 80, 120]
    assert ascending([None] * 3) == [0, 100, 200]
    assert ascending([None, 7, None]) == [0, 40, 80]
    assert ascending([7]) == [7]


def empty_chunks(path, frames):
    """An AVI of twice the rate in which every second chunk is empty, with B-frames."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=50, options={"x264-params": "b-adapt=0:bframes=2"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        packets = []
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts = index
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for ordinal, packet in enumerate(packets):
            packet.pts = packet.dts = 2 * ordinal
            packet.stream = stream
            file.mux(packet)  # the muxer fills the gaps with empty chunks
    return path


def test_empty_chunks_between_frames_keep_their_time(tmp_path, moving, decoded):
    path = empty_chunks(tmp_path / "a.avi", moving(50, 96, 128))
    truth = decoded(path)
    with VideoSource(str(path)) as source:
        assert source.num_frames == 50
        assert source.duration_sec == pytest.approx(2.0, abs=0.05)
        assert source.fps == pytest.approx(25, rel=0.02)
        assert np.array_equal(source.read(range(50)), truth)


def test_an_avi_with_empty_chunks_from_the_field_lasts_five_seconds(case):
    with VideoSource(str(case("h264_b_29.97.avi"))) as source:
        assert source.duration_sec == pytest.approx(5.005, abs=0.04)
        assert source.fps == pytest.approx(29.97, abs=0.01)


@pytest.mark.parametrize("start", [0, 9, 5000])
def test_transport_streams_put_end_to_end_read_on(tmp_path, film, moving, decoded, start):
    first = film(tmp_path / "a.ts", moving(50, 96, 128), codec="mpeg2video", gop=10)
    second = film(
        tmp_path / "b.ts", moving(50, 96, 128)[::-1], codec="mpeg2video", gop=10, stamps=range(start, start + 50)
    )
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes() + first.read_bytes())
    truth = np.concatenate([decoded(first), decoded(second), decoded(first)])
    with VideoSource(str(path)) as source:
        assert source.num_frames == 150
        assert source.duration_sec == pytest.approx(6.0, abs=0.6)
        assert (np.diff(source.times) > 0).all()
        for index in range(150):
            assert np.array_equal(source.read([index])[0], truth[index]), index
        assert np.array_equal(source.read(range(150)), truth)


@pytest.mark.parametrize(("name", "codec"), [("a.ts", "mpeg2video"), ("a.ts", "libx264"), ("a.avi", "mpeg4")])
def test_a_recording_that_begins_in_the_middle_of_a_group_begins_with_its_first_keyframe(
    tmp_path, film, moving, decoded, name, codec
):
    whole = film(tmp_path / f"whole{name[1:]}", moving(60, 96, 128), codec=codec, gop=20)
    path = tmp_path / name
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in [packet for packet in source.demux(video=0) if packet.size][7:]:
            packet.stream = stream
            target.mux(packet)
    truth = decoded(whole)
    with VideoSource(str(path)) as source:
        frames = source.read(range(source.num_frames))
        assert 40 <= source.num_frames <= 53
        assert np.array_equal(frames[-40:], truth[-40:])
        assert source.num_frames == 40


def test_a_video_without_any_keyframe_is_refused(tmp_path, film, moving, case):
    whole, path = film(tmp_path / "whole.avi", moving(30), codec="mpeg4", gop=100), tmp_path / "a.avi"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in [packet for packet in source.demux(video=0) if packet.size][5:]:
            packet.stream = stream
            target.mux(packet)
    with pytest.raises(MediaError, match=r"^no keyframe$"):
        VideoSource(str(path))
    for name in ("nokey.avi", "05078_delete_v4_xvid.avi"):
        with pytest.raises(MediaError, match=r"^no keyframe$"):
            VideoSource(str(case(name)))


@pytest.mark.parametrize("name", ["02380_bitflips_v1_mpg.ts", "newstream.ts"])
def test_fuzzed_streams_end_in_frames_or_a_reason(case, name):
    with VideoSource(str(case(name))) as source:
        assert 30 <= source.num_frames <= 40
        with pytest.raises(MediaError, match="decode error at"):
            source.read(range(source.num_frames))


@pytest.mark.parametrize(("codec", "container"), [("libx264", "h264"), ("libx265", "hevc"), ("mpeg4", "m4v")])
def test_raw_streams_are_videos(tmp_path, film, moving, decoded, codec, container):
    path = film(tmp_path / "a.bin", moving(40, 96, 128), codec=codec, container=container, b_frames=2)
    truth = decoded(path)
    with VideoSource(io.BytesIO(path.read_bytes())) as source:
        assert source.num_frames == len(truth) == 40
        assert np.array_equal(source.read([39, 3, 20]), truth[[39, 3, 20]])


@pytest.mark.parametrize(("codec", "container"), [("libx264", "h264"), ("libx265", "hevc"), ("mpeg4", "m4v")])
def test_raw_streams_last_as_long_as_their_headers_say(tmp_path, film, moving, codec, container):
    path = film(tmp_path / "a.bin", moving(20, 96, 128), codec=codec, container=container, b_frames=2, fps=50)
    with VideoSource(str(path)) as source:
        assert source.times == pytest.approx(np.arange(20) / 50) and source.duration_sec == pytest.approx(0.4)
