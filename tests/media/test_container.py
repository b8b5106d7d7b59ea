import io
import shutil
import subprocess
import sys

import av
import numpy as np
import pytest
from av.stream import Disposition

from omnicli.errors import MediaError
from omnicli.media import container
from omnicli.media.video import VideoSource


def test_an_mp4_without_its_index_says_that_it_is_truncated(tmp_path, film, moving):
    path = film(tmp_path / "a.mp4", moving(20))
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(MediaError, match=r"^truncated MP4 does not open$"):
        VideoSource(str(path))


def test_sound_without_images_is_no_video(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with pytest.raises(MediaError, match=r"^no video stream$"):
        VideoSource(str(path))


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
def test_titles_that_are_no_utf8_do_not_keep_a_video_from_opening(tmp_path, film, moving, decoded, name):
    path = film(tmp_path / "plain.mp4", moving(5))
    expected = decoded(path)
    with av.open(str(path)) as source, av.open(str(tmp_path / name), "w") as target:
        target.metadata["title"] = "TITLE of the file"
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.metadata["title"] = "TITLE of the stream"
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    data = (tmp_path / name).read_bytes()
    assert b"TITLE" in data
    with VideoSource(io.BytesIO(data.replace(b"TITLE", b"TIT\xcf\xff"))) as video:
        assert np.array_equal(video.read(range(5)), expected)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><html>404", "not a video (HTML page)"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "not a video (text)"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not a video (text)"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "MP4 does not open"),
        (b"\x1aE\xdf\xa3" + bytes(range(256)), "MKV or WebM does not open"),
    ],
)
def test_what_is_no_video_says_what_it_is(tmp_path, content, reason):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError) as error:
        VideoSource(str(path))
    assert str(error.value) == reason


def test_random_bytes_behind_every_magic_number_end_in_a_media_error():
    rng = np.random.default_rng(0)
    heads = [
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        b"\x1aE\xdf\xa3",
        b"FLV\x01",
        b"OggS",
        b"\0\0\x01\xba",
        b"RIFF\xff\xff\0\0AVI ",
    ]
    for head in heads:
        for _ in range(5):
            noise = rng.integers(0, 256, 3000, dtype=np.uint8).tobytes()
            with pytest.raises(MediaError):
                VideoSource(io.BytesIO(head + noise))


SCRIPTS = {
    "session": b"\r\nv=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 239.1.2.3/4\r\nt=0 0\r\n"
    b"m=video 8766 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
    "playlist": b"\n#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/SECRET\n#EXT-X-ENDLIST\n",
    "list": b"\nffconcat version 1.0\nfile /SECRET\n",
    "manifest": b'\n<?xml version="1.0"?><MPD type="static"><Period><AdaptationSet><Representation id="1">'
    b"<BaseURL>/SECRET</BaseURL></Representation></AdaptationSet></Period></MPD>",
}
MAGICS = [
    *(b"OggS", b"FLV\x01", b"\x1aE\xdf\xa3", b".RMF", b"DKIF"),
    *(b"RIFF\xff\xff\0\0AVI ", b"\0\0\x01\xb3", b"\0\0\x01\xba"),
]


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
def test_no_medium_opens_another_file_or_a_socket(tmp_path, film, moving):
    paths = [str(film(tmp_path / f"a.{suffix}", moving(5), codec="mpeg4")) for suffix in ("mp4", "avi", "mkv")]
    for number, magic in enumerate(MAGICS):
        for name, content in SCRIPTS.items():
            path = tmp_path / f"{name}{number}.mp4"
            path.write_bytes(magic + content.replace(b"/SECRET", str(tmp_path / "secret.ts").encode()))
            paths.append(str(path))
    film(tmp_path / "secret.ts", moving(5), codec="mpeg2video")
    script = """
import sys
from omnicli.errors import MediaError
from omnicli.media.video import VideoSource
for path in sys.argv[1:]:
    try:
        VideoSource(path).read([0])
        print(path, "video")
    except MediaError as error:
        print(path, error)
"""
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-qq", "-e", "trace=network,openat", "-o", str(trace), sys.executable, "-c", script]
    done = subprocess.run([*command, *paths], capture_output=True, text=True, timeout=300, check=False)
    if "ptrace" in done.stderr:
        pytest.skip("strace is not permitted")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("video\n") == 3, done.stdout
    lines = trace.read_text().splitlines()
    opened = [line for line in lines if str(tmp_path) in line]
    assert len(opened) == len(paths)
    assert not [line for line in opened if "secret" in line]
    assert not [line for line in lines if "socket(" in line or "bind(" in line or "connect(" in line]


def test_a_session_description_from_the_field_is_no_video(case):
    with pytest.raises(MediaError, match=r"^OGG does not open$"):
        VideoSource(str(case("sdp_in_ogg.mp4")))


def write_streams(path, *streams):
    """One stream per (size, frames, disposition)."""
    with av.open(str(path), "w") as file:
        made = []
        for size, num_frames, disposition in streams:
            stream = file.add_stream("mpeg4", rate=30)
            (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
            stream.disposition = disposition
            made.append((stream, num_frames))
        for stream, num_frames in made:
            for index in range(num_frames):
                frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
                for plane in frame.planes:
                    plane.update(bytes([100]) * plane.buffer_size)
                frame.pts = index
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    return path


DEFAULT, COVER, THUMBNAILS = 1, 1024, 1024 | 2048


@pytest.mark.parametrize(
    ("name", "streams", "shown"),
    [
        ("a.mkv", [((80, 64), 2, 0), ((160, 128), 9, DEFAULT)], (160, 128)),
        ("a.mkv", [((160, 128), 9, 0), ((80, 64), 2, DEFAULT)], (80, 64)),
        ("a.mp4", [((80, 64), 2, DEFAULT), ((160, 128), 9, DEFAULT)], (160, 128)),
        ("a.avi", [((80, 64), 2, 0), ((160, 128), 9, 0)], (160, 128)),
        ("a.ts", [((160, 128), 9, 0), ((80, 64), 2, 0)], (160, 128)),
    ],
)
def test_the_default_video_stream_is_shown_else_the_largest(tmp_path, name, streams, shown):
    with VideoSource(str(write_streams(tmp_path / name, *streams))) as source:
        assert (source.width, source.height) == shown
        assert source.num_frames == next(count for size, count, _ in streams if size == shown)


def test_of_two_video_streams_from_the_field_the_default_is_shown(case):
    with VideoSource(str(case("two_video_default_second.mkv"))) as source:
        assert (source.width, source.height, source.num_frames) == (160, 120, 60)


class Stream:
    """A stream, as far as the choice asks for it."""

    def __init__(self, size, disposition, frames=1):
        self.disposition, self.frames = Disposition(disposition), frames
        self.codec_context = type("Context", (), {"width": size, "height": size})


@pytest.mark.parametrize(
    ("streams", "chosen"),
    [
        ([(500, COVER), (10, 0)], 1),
        ([(500, THUMBNAILS), (10, 0)], 1),
        ([(500, COVER | DEFAULT), (10, 0), (20, 0)], 2),
        ([(10, DEFAULT), (10, DEFAULT, 5)], 1),
        ([(10, 0), (10, 0)], 0),
    ],
)
def test_covers_and_thumbnails_are_never_chosen(streams, chosen):
    made = [Stream(*stream) for stream in streams]
    holder = type("Container", (), {"streams": type("Streams", (), {"video": made})})
    assert container._video_stream(holder) is made[chosen]
