import av
import numpy as np
import pytest

from omnicli.errors import MediaError
from omnicli.media.decoder import FrameDecoder
from omnicli.media.starts import Starts, conceals
from omnicli.media.timeline import BEGINNING, Keyframe, Timeline
from omnicli.media.video import VideoSource


def timeline_of(keyframes, packets):
    return Timeline(np.arange(len(packets)) / 25, 0.24, list(range(len(packets))), packets, keyframes)


def starts_of(keyframes, packets, codec="h264"):
    return Starts(timeline_of(keyframes, packets), av.CodecContext.create(codec, "r"))


def test_decoding_begins_at_a_keyframe_shown_and_stored_before_the_frame():
    starts = starts_of([Keyframe(0, 0, 0, 0, 0), Keyframe(4, 3, 3, 3, 40)], [0, 1, 2, 4, 3, 5])
    assert [starts.before(index).packet for index in range(6)] == [0, 0, 0, 4, 0, 4]


def test_after_a_lie_only_the_beginning_and_what_was_seen_are_trusted():
    keyframes = [Keyframe(index, index, index, index, 10 * index) for index in range(0, 60, 10)]
    starts = starts_of(keyframes, list(range(60)))
    assert starts.before(59) == keyframes[5] and not starts.are_sure(keyframes[5])
    starts.note(20, is_key=True)
    starts.note(21, is_key=False)  # says nothing, claims nothing
    assert starts.are_sure(keyframes[2]) and not starts.have_lied
    starts.note(30, is_key=False)
    assert starts.have_lied
    assert [starts.before(index) for index in (59, 20, 19)] == [keyframes[2], keyframes[2], BEGINNING]
    starts.note(50, is_key=True)
    starts.note(40, is_key=True)
    assert [starts.before(index) for index in (59, 49, 39)] == [keyframes[5], keyframes[4], keyframes[2]]


def test_codecs_whose_frames_all_decode_by_themselves_need_no_flags_and_unknown_ones_are_read_through():
    keyframes = [Keyframe(index, index, index, index, 10 * index) for index in range(0, 60, 10)]
    assert starts_of(keyframes, list(range(60)), "mjpeg").before(59) == keyframes[5]
    assert starts_of(keyframes, list(range(60)), "qtrle").before(59) == BEGINNING


def test_decoders_that_show_grey_for_what_is_missing_are_known():
    names = ["mpeg4", "flv", "msmpeg4", "mpeg2video", "h264", "hevc", "libdav1d", "mjpeg", "qtrle"]
    assert [conceals(av.CodecContext.create(name, "r")) for name in names] == [True] * 4 + [False] * 5


LYING = [
    ("mp4", "mpeg4"),
    ("avi", "msmpeg4"),
    ("flv", "flv"),
    ("mp4", "libx264"),
    ("mp4", "libx265"),
    ("mkv", "libvpx"),
]


@pytest.mark.parametrize(("suffix", "codec"), LYING)
@pytest.mark.parametrize("flags", ["all", "none"])
def test_flags_that_lie_change_no_frame(tmp_path, film, moving, decoded, reflagged, suffix, codec, flags):
    honest = film(tmp_path / f"honest.{suffix}", moving(60, 96, 128), codec=codec, gop=15)
    path = reflagged(honest, tmp_path / f"lying.{suffix}", flags=flags)
    truth = decoded(honest)
    for wanted in ([59], [3, 30, 31, 58], [50, 7], list(range(60))):
        with VideoSource(str(path)) as source:
            assert source.num_frames == 60
            assert np.array_equal(source.read(wanted), truth[wanted]), wanted


FRAGMENTS = [{}, {"movflags": "frag_keyframe+empty_moov"}, {"movflags": "frag_every_frame+empty_moov"}]


@pytest.mark.parametrize("options", FRAGMENTS, ids=["whole", "fragments", "fragment per frame"])
@pytest.mark.parametrize(
    "flags",
    [
        lambda ordinal, is_key: is_key or ordinal * 7 % 10 == 3,
        lambda ordinal, is_key: is_key or ordinal * 7 % 11 == 2,
        lambda ordinal, is_key: ordinal % 12 == 3 or ordinal == 0,
        lambda ordinal, is_key: is_key and ordinal > 0,
        lambda ordinal, is_key: ordinal > 20,
    ],
    ids=["some more", "others more", "shifted", "not the first", "later"],
)
def test_flags_that_lie_here_and_there_change_no_frame(tmp_path, film, moving, decoded, reflagged, flags, options):
    honest = film(tmp_path / "honest.mp4", moving(60, 96, 128), codec="mpeg4", gop=12, b_frames=2)
    path = reflagged(honest, tmp_path / "lying.mp4", flags=flags, options=options)
    truth = decoded(honest)
    for wanted in ([59], [20, 40], [13, 27, 41], [3, 30, 31, 58], list(range(60))):
        with VideoSource(str(path)) as source:
            assert source.num_frames == 60
            assert np.array_equal(source.read(wanted), truth[wanted]), wanted


@pytest.mark.parametrize(
    "name", ["mpeg4_no_stss.mp4", "msmpeg4_avi_no_index.avi", "sorenson_all_key.flv", "hevc_no_stss.mp4"]
)
def test_lying_files_from_the_field_are_read_as_from_the_beginning(case, decoded, name):
    truth = decoded(case(name))
    wanted = np.linspace(0, len(truth) - 1, 9).astype(int)
    with VideoSource(str(case(name))) as source:
        assert source.num_frames == 150
        assert np.array_equal(source.read(wanted), truth[wanted])


def test_honest_flags_are_sought_and_a_lie_is_noticed_once(tmp_path, film, moving, reflagged, monkeypatch):
    honest = film(tmp_path / "honest.mp4", moving(300, 16, 16), codec="mpeg4", gop=10)
    path = reflagged(honest, tmp_path / "lying.mp4", flags="all")
    fed = []
    monkeypatch.setattr(
        "omnicli.media.decoder.decode", lambda stream, packet: fed.append(packet) or stream.codec_context.decode(packet)
    )
    for file, most in ((honest, 3 * 12), (path, 330)):
        fed.clear()
        with VideoSource(str(file)) as source:
            source.read([99, 199, 299])
        assert len(fed) <= most


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_damage_spoils_what_leans_on_it_though_every_packet_says_that_it_is_a_keyframe(
    tmp_path, film, moving, reflagged, codec
):
    honest = film(tmp_path / "honest.mp4", moving(60, 96, 128), codec=codec, gop=12)
    path = reflagged(honest, tmp_path / "lying.mp4", flags="all")
    with VideoSource(str(path)) as source:
        truth = source.read(range(60))
    with av.open(str(path)) as file:
        damaged = [packet.pos for packet in file.demux(video=0)][24]
    data = bytearray(path.read_bytes())
    data[damaged + 20 : damaged + 220] = bytes(200)
    path.write_bytes(data)
    for step in (1, 5):  # going on, and seeking
        with VideoSource(str(path)) as source:
            refused = set()
            for index in range(0, 60, step):
                try:
                    assert np.array_equal(source.read([index])[0], truth[index]), index
                except MediaError:
                    refused.add(index)
            assert refused == set(range(0, 60, step)) & set(range(24, 36))


def test_a_palette_that_is_stored_once_reaches_every_frame(tmp_path, case):
    with VideoSource(str(case("raw_pal8.avi"))) as source:
        assert source.num_frames == 15
        assert np.allclose(source.read([0, 7, 14]).mean(axis=(0, 1, 2)), (91, 97, 62), atol=3)


def test_a_made_palette_reaches_every_frame(tmp_path, decoded):
    path = write_palette_film(tmp_path / "a.avi")
    truth = decoded(path)
    assert truth.std(axis=(0, 1, 2)).min() > 30
    with VideoSource(str(path)) as source:
        assert np.array_equal(source.read([7, 2]), truth[[7, 2]])
        assert np.array_equal(source.read(range(8)), truth)


def write_palette_film(path):
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, (256, 4), dtype=np.uint8)
    palette[:, 0] = 255  # alpha first
    with av.open(str(path), "w") as file:
        stream = file.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "pal8"
        for index in range(8):
            pixels = rng.integers(0, 256, (16, 32), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="gray").reformat(format="gray")
            made = av.VideoFrame(32, 16, "pal8")
            made.planes[0].update(pixels.tobytes())
            made.planes[1].update(np.roll(palette, -1, axis=1).tobytes())
            made.pts = index
            del frame
            file.mux(stream.encode(made))
        file.mux(stream.encode(None))
    return path


def test_the_decoder_says_where_it_begins(tmp_path, film, moving):
    with film(tmp_path / "a.mp4", moving(5)).open("rb") as file:
        decoder = FrameDecoder(file)
        assert decoder.frame(4, None).pts is not None
        decoder.close()
