import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from omnicli.errors import MediaError
from omnicli.media.frame_times import frames_at
from omnicli.media.timeline import Keyframe, Timeline, read_timeline, times_of
from omnicli.media.video import VideoSource

NUM_FRAMES = 60


def test_times_of_a_varying_rate_are_those_written(tmp_path, film, moving):
    stamps = np.cumsum(np.random.default_rng(0).integers(10, 90, NUM_FRAMES)).tolist()
    frames = moving(NUM_FRAMES)
    path = film(tmp_path / "a.mkv", frames, stamps=stamps, time_base=Fraction(1, 1000))
    with VideoSource(str(path)) as source:
        expected = (np.array(stamps) - stamps[0]) / 1000
        assert np.allclose(source.times, expected, atol=1e-9)
        assert np.array_equal(source.read(frames_at(source.times, expected[[3, 40, 7]])), frames[[3, 40, 7]])
        between = (expected[10] + expected[11]) / 2
        assert frames_at(source.times, [between, -1.0, 1e9]).tolist() == [10, 0, NUM_FRAMES - 1]
        assert source.fps == pytest.approx(NUM_FRAMES / source.duration_sec)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_time_begins_with_the_first_frame_wherever_the_stamps_begin(tmp_path, film, moving, name):
    frames = moving(20)
    codec = "libx264rgb" if name != "a.ts" else "libx264"
    path = film(tmp_path / name, frames, stamps=range(500, 520), codec=codec)
    with VideoSource(str(path)) as source:
        assert source.times[0] == 0 and source.times[-1] == pytest.approx(19 / 25, abs=1e-3)
        assert source.duration_sec == pytest.approx(20 / 25, abs=2e-3)


def test_frames_that_lean_on_what_was_cut_off_before_the_beginning_are_no_frames(tmp_path, film, moving, decoded):
    options = {"crf": "10", "x264-params": "open-gop=1:bframes=3:b-adapt=0:scenecut=0"}
    whole, cut = film(tmp_path / "whole.mkv", moving(40), gop=20, b_frames=3, options=options), tmp_path / "cut.mkv"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        begin = [place for place, packet in enumerate(packets) if packet.is_keyframe][1]
        assert any(packet.pts < packets[begin].pts for packet in packets[begin:])
        for packet in packets[begin:]:
            packet.stream = stream
            target.mux(packet)
    with VideoSource(str(cut)) as source:
        num_frames = sum(packet.pts >= packets[begin].pts for packet in packets[begin:])
        assert source.num_frames == num_frames
        assert source.times[0] == 0
        assert np.array_equal(source.read(range(num_frames)), decoded(whole)[-num_frames:])


def test_frames_are_found_by_time_stamp_and_settled_with_those_that_lean_on_later_ones():
    timeline = Timeline(np.arange(6) / 25, 0.24, list(range(6)), [0, 1, 2, 4, 3, 5], [Keyframe(0, 0, 0, 0, 0)])
    assert [timeline.settled_with(index) for index in range(6)] == [0, 1, 2, 4, 4, 5]
    assert [timeline.index_of(stamp) for stamp in (0, 5, 6, -1, None)] == [0, 5, None, None, None]
    assert not timeline.is_counted


def test_a_video_that_does_not_begin_with_a_keyframe_must_be_decoded(tmp_path, film, moving, reflagged):
    honest = film(tmp_path / "honest.flv", moving(30), codec="flv", gop=10)
    path = reflagged(honest, tmp_path / "none.flv", flags="none")
    for file, is_regular in ((honest, True), (path, False)):
        with av.open(str(file)) as container:
            assert (read_timeline(container, container.streams.video[0]) is not None) == is_regular


def test_time_stamps_that_span_decades_are_damage_and_so_is_such_a_last_frame(tmp_path, film, moving):
    path = film(tmp_path / "a.ivf", moving(5), codec="libvpx")
    data = bytearray(path.read_bytes())
    data[32 + 4 : 32 + 12] = (0).to_bytes(8, "little")
    last = data.rindex((4).to_bytes(8, "little"))
    data[last : last + 8] = (2**62).to_bytes(8, "little")
    with pytest.raises(MediaError, match=r"^time stamps are damaged$"):
        VideoSource(io.BytesIO(bytes(data)))

    class Stream:
        time_base, average_rate = Fraction(1, 1000), Fraction(25)

    assert times_of([0, 40, 80], 2**62, Stream())[1] == pytest.approx(0.12)
    assert times_of([0], 2**62, Stream())[1] == pytest.approx(1e9)
    with pytest.raises(MediaError, match="damaged"):
        times_of([-(2**63), 2**63 - 1], 40, Stream())


def avi_in_matroska(source, target):
    """Packets of an AVI in Matroska under the name that AVI gives to the codec, as converters put them there."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        extradata = old.streams.video[0].codec_context.extradata
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    header = struct.pack("<IiiHH4sIiiII", 40, 128, 96, 1, 24, b"XVID", 128 * 96 * 3, 0, 0, 0, 0)
    data = target.read_bytes().replace(b"V_MPEG4/ISO/ASP", b"V_MS/VFW/FOURCC")
    target.write_bytes(data.replace(extradata, (header + extradata)[: len(extradata)], 1))
    return target


def test_matroska_with_codecs_named_as_in_avi_shows_b_frames_in_their_order(tmp_path, film, moving, decoded):
    avi = film(tmp_path / "a.avi", moving(30, 96, 128), codec="mpeg4", b_frames=2)
    with VideoSource(str(avi_in_matroska(avi, tmp_path / "a.mkv"))) as source:
        assert source.num_frames == 30
        assert np.allclose(np.diff(source.times), 0.04)
        assert np.array_equal(source.read(range(30)), decoded(avi))


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_b_frames_that_only_say_when_they_are_decoded_are_shown_in_their_order(tmp_path, film, moving, codec):
    path = film(tmp_path / "a.mp4", moving(40, 96, 128), codec=codec, b_frames=2, options={})
    path.write_bytes(path.read_bytes().replace(b"ctts", b"free").replace(b"edts", b"free"))
    with VideoSource(str(path)) as source, av.open(str(path)) as file:
        truth = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        assert source.num_frames == len(truth) == 40
        assert np.allclose(np.diff(source.times), 0.04)
        assert np.array_equal(source.read(range(40)), np.stack(truth))
        assert np.array_equal(source.read([31])[0], truth[31])
