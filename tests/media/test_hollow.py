"""The timeline of an MP4 from its index is the one from its packets, and fetches next to nothing."""

import io

import av
import numpy as np
import pytest
from remote_servers import serve

from omnicli.media.hollow import HollowFile
from omnicli.media.source import open_media
from omnicli.streams.files import remote_file
from omnicli.streams.files.remote_file import RemoteFile
from omnicli.streams.files.urls import allow_typed
from omnicli.streams.record import Record


def make(path, codec="libx264", options=None, container_options=None, num_frames=120):
    frames = np.random.default_rng(0).integers(0, 255, (num_frames, 64, 96, 3), np.uint8)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options={"g": "10"} | (options or {}))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(remote_file, "BLOCK_BYTES", 1 << 12)
    yield
    allow_typed([])


@pytest.mark.parametrize(
    ("name", "codec", "options", "container_options", "is_walked"),
    [
        ("b-frames.mp4", "libx264", {"bf": "2"}, {}, True),
        ("front.mp4", "libx264", {"preset": "ultrafast"}, {"movflags": "faststart"}, True),
        ("fragments.mp4", "libx264", {}, {"movflags": "frag_keyframe+empty_moov"}, False),
        ("hevc.mov", "libx265", {"x265-params": "log-level=none"}, {}, True),
        ("part2.mp4", "mpeg4", {"bf": "1"}, {}, True),
        ("a.mkv", "libx264", {}, {}, False),
        ("cut.mp4", "libx264", {}, {"movflags": "faststart"}, True),
    ],
)
def test_remote_videos_have_the_frames_of_local_ones(tmp_path, name, codec, options, container_options, is_walked):
    path = make(tmp_path / name, codec, options, container_options)
    if name == "cut.mp4":
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with serve(tmp_path) as server:
        allow_typed([server.url])
        with open_media(Record({"path": str(path)})) as local, open_media(
            Record({"path": f"{server.url}/{name}"})
        ) as far:  # fmt: skip
            num_bytes = server.num_bytes
            np.testing.assert_array_equal(far.times, local.times)
            np.testing.assert_array_equal(far.keyframes, local.keyframes)
            assert far.duration_sec == local.duration_sec
            last = local.num_frames - 1
            for wanted in ([0, 51, 52, last], [last], [33]):
                np.testing.assert_array_equal(far.read(wanted), local.read(wanted))
        share = num_bytes / path.stat().st_size
        assert (share < 0.4) == is_walked, share


def test_a_hollow_file_has_the_positions_of_the_file(tmp_path):
    path = make(tmp_path / "a.mp4", num_frames=10)
    size = path.stat().st_size
    with serve(tmp_path) as server:
        allow_typed([server.url])
        with RemoteFile(f"{server.url}/a.mp4") as file:
            hollow = HollowFile(file)
            assert hollow.seek(4) == 4
            assert hollow.read(4) == b"ftyp"
            hollow.is_hollow = True
            assert hollow.read(3) == bytes(3)
            assert hollow.tell() == 11
            assert len(hollow.read()) == size - 11
            assert hollow.read(5) == b""
            assert hollow.seek(-3, io.SEEK_END) == size - 3
            assert file.tell() == 0
