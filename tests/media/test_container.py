import io

import av
import numpy as np
import pytest

from omnicli.errors import MediaError
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
