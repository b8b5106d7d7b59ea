import av
import numpy as np
import pytest

from omnicli.errors import MediaError
from omnicli.media import decoder, packets
from omnicli.media.video import VideoSource

NUM_FRAMES = 60


def count_packets(monkeypatch):
    fed = []

    def counting(stream, packet):
        fed.extend([packet] if packet is not None else [])
        return decode(stream, packet)

    decode = packets.decode
    monkeypatch.setattr(decoder, "decode", counting)
    return fed


def test_no_more_is_decoded_than_the_nearer_of_going_on_and_seeking(tmp_path, film, moving, monkeypatch):
    frames = moving(300, 16, 16)
    options = {"crf": "10", "x264-params": "scenecut=0:b-adapt=0"}
    path = film(tmp_path / "a.mp4", frames, gop=50, b_frames=2, options=options)
    fed = count_packets(monkeypatch)
    with VideoSource(str(path)) as source:
        assert not fed
        assert source.keyframes.tolist() == [0, 50, 100, 150, 200, 250]
        source.read([0])
        assert len(fed) == 1  # drained, instead of fed until the decoder gives up its first frame
        fed.clear()
        source.read([101, 251])
        assert len(fed) <= 2 * 4
        fed.clear()
        source.read([60, 70, 80])
        assert 28 <= len(fed) <= 34  # one run through a group, not three
        fed.clear()
        source.read(source.keyframes)
        assert len(fed) == 6
        fed.clear()
        source.read(range(300))
        assert len(fed) == 300


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts"])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_video_cut_short_is_a_shorter_video_or_an_error_and_never_wrong(tmp_path, film, moving, decoded, name, codec):
    if name == "a.mp4":
        film(tmp_path / "raw.mp4", moving(NUM_FRAMES), codec=codec, b_frames=2)
        path = move_index_to_front(tmp_path / "raw.mp4", tmp_path / name)
    else:
        path = film(tmp_path / name, moving(NUM_FRAMES), codec=codec, b_frames=2)
    truth, data = decoded(path), path.read_bytes()
    lengths, refused = [], 0
    for size in np.linspace(1, len(data) - 1, 40).astype(int).tolist():
        path.write_bytes(data[:size])
        try:
            with VideoSource(str(path)) as source:
                lengths.append(source.num_frames)
                for index in {0, source.num_frames // 2, source.num_frames - 1}:
                    try:
                        frame = source.read([index])[0]
                    except MediaError as error:
                        assert "decode error" in str(error)
                        refused += 1
                        continue
                    assert (frame == truth).all(axis=(1, 2, 3)).any()
        except MediaError:
            lengths.append(0)
    assert len(set(lengths)) > 5 and max(lengths) >= NUM_FRAMES - 8
    assert refused == 0, lengths


def move_index_to_front(source, target):
    """An MP4 as the web serves it: the index before the frames."""
    with av.open(str(source)) as old, av.open(str(target), "w", options={"movflags": "faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return target


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_damage_spoils_the_frames_made_from_it_and_no_others(tmp_path, film, moving, codec):
    path = film(tmp_path / "a.mkv", moving(NUM_FRAMES, 96, 128), codec=codec, gop=12, b_frames=2)
    with VideoSource(str(path)) as source:
        truth = source.read(range(NUM_FRAMES))
        damaged = source._timeline.keyframes[2].pos
    data = bytearray(path.read_bytes())
    data[damaged + 20 : damaged + 220] = bytes(200)
    path.write_bytes(data)
    refused = []
    with VideoSource(str(path)) as source:
        for index in range(source.num_frames):
            try:
                assert np.array_equal(source.read([index])[0], truth[index]), index
            except MediaError as error:
                assert str(error) == f"decode error at {source.times[index]:.1f} s"
                refused.append(index)
        # B-frames shown before the damaged keyframe lean on it too
        assert set(range(24, 36)) <= set(refused) <= set(range(22, 36))
        assert np.array_equal(source.read([40, 3]), truth[[40, 3]])  # an error does not spoil the source
        with pytest.raises(MediaError, match="decode error at"):
            source.read([3, 30, 40])


def test_frames_whose_size_changes_on_the_way_get_the_size_of_the_video(tmp_path, film, moving):
    small = film(tmp_path / "a.ts", moving(20), codec="mpeg2video", b_frames=0)
    large = film(tmp_path / "b.ts", moving(20, 96, 128), codec="mpeg2video", b_frames=0)
    small.write_bytes(small.read_bytes() + large.read_bytes())
    with VideoSource(str(small)) as source:
        assert source.num_frames >= 38  # the seam may cost a frame or two
        refused = 0
        for index in range(source.num_frames):
            try:
                assert source.read([index]).shape == (1, source.height, source.width, 3)
            except MediaError:
                refused += 1
        assert refused <= 12  # at most the group at the seam


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.ts"])
def test_interlaced_mpeg4_with_b_frames_is_the_same_after_a_seek(tmp_path, film, moving, name):
    options = {"flags": "+ilme+ildct"}
    path = film(tmp_path / name, moving(60, 96, 128), codec="mpeg4", b_frames=2, options=options)
    with VideoSource(str(path)) as source:
        truth = source.read(range(60))
    for index in (12, 13, 14, 29, 37, 58):
        with VideoSource(str(path)) as source:
            assert np.array_equal(source.read([index])[0], truth[index])
