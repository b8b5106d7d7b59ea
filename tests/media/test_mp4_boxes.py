import io

import pytest

from omnicli.errors import MediaError
from omnicli.media.media_file import MediaFile
from omnicli.media.mp4_boxes import check_frame_counts, ends_too_early
from omnicli.media.video import VideoSource


def test_a_video_may_not_claim_more_frames_than_it_can_hold(tmp_path, film, moving):
    data = bytearray(film(tmp_path / "a.mp4", moving(12), codec="mpeg4").read_bytes())
    table = data.index(b"stsz")
    check_frame_counts(MediaFile(io.BytesIO(data)))
    for frame_bytes, count in ((10, 268_435_455), (1, 2**32 - 1), (2**32 - 1, 2)):
        claim = bytearray(data)
        claim[table + 8 : table + 16] = frame_bytes.to_bytes(4, "big") + count.to_bytes(4, "big")
        with pytest.raises(MediaError, match=rf"^{count:,} frames cannot be in {len(data):,} bytes$"):
            VideoSource(io.BytesIO(bytes(claim)))


def test_frames_of_one_size_may_be_cut_short(tmp_path, film, moving):
    path = film(tmp_path / "a.mov", moving(40), codec="rawvideo")
    data = path.read_bytes()
    with VideoSource(str(path)) as source:
        assert source.num_frames == 40
    for size in (len(data), len(data) // 2, len(data) // 10):
        check_frame_counts(MediaFile(io.BytesIO(data[:size])))


def test_the_outermost_boxes_say_how_long_a_file_should_be(tmp_path, film, moving):
    data = film(tmp_path / "a.mp4", moving(5)).read_bytes()
    assert not ends_too_early(MediaFile(io.BytesIO(data)))
    assert all(ends_too_early(MediaFile(io.BytesIO(data[:size]))) for size in (len(data) - 1, len(data) // 2, 20))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\x08free" * 100_000,
        b"\0\0\0\x04free",
        b"\0\0\0\x01free" + b"\xff" * 8,
        b"\0\0\0\0moov" + b"\0\0\0\0trak" * 3,
    ],
)
def test_boxes_that_make_no_sense_end_the_search(data):
    file = MediaFile(io.BytesIO(data))
    check_frame_counts(file)
    ends_too_early(file)
