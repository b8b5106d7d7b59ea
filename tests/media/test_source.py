import io
import tarfile
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from omnicli.errors import InputError, MediaError
from omnicli.media.source import _Part, open_media, part_of
from omnicli.media.video import VideoSource
from omnicli.streams.record import Record


class Clock:
    """A source whose frames are their own index."""

    fps, width, height = 25.0, 1, 1

    start_sec = 0.0

    def __init__(self, times, last_sec=0.04):
        self.times = np.array(times, np.float64)
        self.num_frames = len(times)
        self.duration_sec = float(times[-1] + last_sec)

    def read(self, frame_indices, *, short_side=None):
        return np.array(frame_indices)


def png(frame):
    return cv2.imencode(".png", frame[..., ::-1])[1].tobytes()


def test_every_kind_of_media_opens_behind_the_same_interface(tmp_path, film, moving):
    frames = moving(6)
    film(tmp_path / "a.mp4", frames)
    (tmp_path / "a.png").write_bytes(png(frames[0]))
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(frames):
        (tmp_path / "frames" / f"{number}.png").write_bytes(png(frame))
    for path, media, num_frames in (("a.mp4", "video", 6), ("a.png", "image", 1), ("frames", "frames", 6)):
        for record in (Record({"path": path, "media": media}), Record({"path": path})):
            with open_media(record, root=str(tmp_path)) as source:
                assert source.num_frames == len(source.times) == num_frames
                assert (source.height, source.width) == (48, 64)
                assert np.array_equal(source.read([num_frames - 1])[0], frames[num_frames - 1])


def test_features_are_a_wrong_input_and_no_bad_media():
    record = Record({"path": "f.h5", "row": 0, "media": "features"}, origin="f.h5", line=1)
    with pytest.raises(InputError, match=r"^f\.h5:1: features, not media; give the records") as caught:
        open_media(record)
    assert not isinstance(caught.value, MediaError)


def test_content_decides_where_name_and_field_are_wrong(tmp_path, film, moving):
    frames = moving(6)
    film(tmp_path / "movie.jpg", frames, container="mp4")
    (tmp_path / "image.mp4").write_bytes(png(frames[0]))
    with open_media(Record({"path": str(tmp_path / "movie.jpg"), "media": "image"})) as source:
        assert source.num_frames == 6
    with open_media(Record({"path": str(tmp_path / "image.mp4"), "media": "video"})) as source:
        assert source.num_frames == 1


def test_an_animation_is_an_image_unless_the_record_calls_it_a_video(tmp_path):
    from PIL import Image

    images = [Image.fromarray(np.full((40, 60, 3), value, np.uint8)) for value in (0, 255, 0)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=100)
    for media, num_frames in ((None, 1), ("image", 1), ("video", 3)):
        with open_media(Record({"path": str(tmp_path / "a.gif"), "media": media})) as source:
            assert source.num_frames == num_frames
            assert source.read([0]).max() <= 2


def test_media_inside_a_tar_are_read_in_place(tmp_path, film, moving):
    frames = moving(6)
    film(tmp_path / "a.mp4", frames)
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "a.mp4", "0001.mp4")
        member = tarfile.TarInfo("0002.png")
        member.size = len(png(frames[0]))
        archive.addfile(member, io.BytesIO(png(frames[0])))
    with open_media(Record({"path": str(tmp_path / "x.tar#0001.mp4")})) as source:
        assert np.array_equal(source.read([5, 2]), frames[[5, 2]])
    with open_media(Record({"path": "x.tar#0002.png"}), root=str(tmp_path)) as source:
        assert np.array_equal(source.read([0]), frames[:1])


def test_a_part_of_a_video_has_its_own_indices_and_the_times_of_the_file(tmp_path, film, moving):
    frames = moving(50)
    film(tmp_path / "a.mp4", frames)
    record = Record({"path": str(tmp_path / "a.mp4"), "start_sec": 0.4, "end_sec": 1.2})
    with open_media(record) as source:
        assert (source.num_frames, source.fps) == (20, pytest.approx(25))
        assert source.duration_sec == pytest.approx(0.8)
        assert source.times[0] == pytest.approx(0.4) and source.times[-1] == pytest.approx(1.16)
        assert np.array_equal(source.read([0, 19], short_side=48), frames[[10, 29]])
        whole = VideoSource(str(tmp_path / "a.mp4"))
        assert np.array_equal(list(source.walk_grey([0, 19], size=16)), list(whole.walk_grey([10, 29], size=16)))
        whole.close()
        for request in ([20], [-1]):
            with pytest.raises(IndexError, match="of a part of 20"):
                source.read(request)
            with pytest.raises(IndexError, match="of a part of 20"):
                next(source.walk_grey(request, size=16))


@pytest.mark.parametrize(
    ("start_sec", "end_sec", "count"), [(None, 0.4, 10), (1.6, None, 10), (1.9, 99.0, 2), (-5.0, 0.04, 1)]
)
def test_one_end_may_be_open_or_outside(tmp_path, film, moving, start_sec, end_sec, count):
    film(tmp_path / "a.mp4", moving(50))
    record = Record({"path": str(tmp_path / "a.mp4"), "start_sec": start_sec, "end_sec": end_sec})
    with open_media(record) as source:
        assert source.num_frames == count


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=30), st.integers(0, 3000), st.integers(1, 3000), st.booleans()
)
def test_a_part_holds_the_frames_that_appear_in_it_or_the_one_on_screen(steps, start_ms, length_ms, rounded):
    appear_ms = np.cumsum([0, *steps])[:-1]
    source = Clock(appear_ms / 1000, last_sec=steps[-1] / 1000)
    start_sec, end_sec = start_ms / 1000 + rounded * 4e-7, (start_ms + length_ms) / 1000
    if start_ms >= appear_ms[-1] + steps[-1]:
        with pytest.raises(MediaError, match="is not before the end"):
            _Part(source, start_sec, end_sec)
        return
    part = _Part(source, start_sec, end_sec)
    inside = [i for i, at in enumerate(appear_ms) if start_ms <= at < start_ms + length_ms]
    expected = inside or [max(i for i, at in enumerate(appear_ms) if at <= start_ms)]
    assert part.read(range(part.num_frames)).tolist() == expected
    assert part.times.tolist() == source.times[expected].tolist()


def test_neighbouring_parts_share_no_frame_and_lose_none():
    source = Clock(np.arange(300) * 1001 / 30000)
    cuts = np.linspace(0, source.duration_sec, 8).tolist()
    parts = [_Part(source, start, end) for start, end in pairwise(cuts)]
    seen = [index for part in parts for index in part.read(range(part.num_frames)).tolist()]
    assert seen == list(range(300))


def test_a_part_beyond_the_end_is_refused(tmp_path, film, moving):
    film(tmp_path / "a.mp4", moving(25))
    with pytest.raises(MediaError, match=r"^5 s is not before the end at 1 s$"):
        open_media(Record({"path": str(tmp_path / "a.mp4"), "start_sec": 5.0, "end_sec": 9.0}))


def test_a_list_that_promises_more_frames_than_there_are_is_wrong(tmp_path, moving):
    for number, frame in enumerate(moving(5)):
        (tmp_path / f"{number}.png").write_bytes(png(frame))
    record = Record({"path": str(tmp_path), "media": "frames", "num_frames": 3, "fps": 10.0})
    with open_media(record) as source:
        assert (source.num_frames, source.duration_sec) == (3, pytest.approx(0.3))
    with pytest.raises(MediaError, match=r"^6 frames expected, 5 found$"):
        open_media(record.derive(num_frames=6))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty file"), (b"<html></html>", "not media (HTML page)"), (b"PK\x03\x04", "not media (zip archive)")],
)
def test_reasons_name_what_the_file_is_and_not_its_path(tmp_path, content, reason):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(MediaError) as error:
        open_media(Record({"path": "a.mp4", "media": "video"}), root=str(tmp_path))
    assert str(error.value) == reason


def test_a_missing_file_is_unreadable_and_a_missing_path_is_bad_input(tmp_path):
    with pytest.raises(MediaError, match="no such file"):
        open_media(Record({"path": str(tmp_path / "nowhere.mp4")}))
    with pytest.raises(InputError, match=r"web.jsonl:3: no field 'path'"):
        open_media(Record({"id": "a"}, origin="web.jsonl", line=3))


def test_no_file_stays_open_when_opening_fails(tmp_path, film, moving):
    import gc
    import warnings

    film(tmp_path / "a.mp4", moving(25))
    (tmp_path / "bad.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:200])
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        for fields in ({"path": "bad.mp4"}, {"path": "bad.jpg"}, {"path": "a.mp4", "start_sec": 9.0}):
            with pytest.raises(MediaError):
                open_media(Record(fields), root=str(tmp_path))
        gc.collect()


def test_a_part_walks_and_knows_its_own_keyframes(tmp_path, film, moving):
    frames = moving(50)
    path = film(tmp_path / "film.mp4", frames, gop=12, options={"crf": "0", "x264-params": "scenecut=0"})
    record = Record({"path": str(path), "start_sec": 0.4, "end_sec": 1.2})
    with open_media(record) as source:
        assert source.keyframes.tolist() == [2, 14]
        walked = list(source.walk([0, 14]))
    assert [index for index, _ in walked] == [0, 14]
    np.testing.assert_array_equal(np.stack([pixels for _, pixels in walked]), frames[[10, 24]])
    with open_media(record.derive(start_sec=0.52, end_sec=0.8)) as source:
        assert source.keyframes.tolist() == [0]  # none inside


def test_a_part_of_a_part_counts_from_its_own_beginning_in_the_clock_of_the_file():
    part = part_of(part_of(Clock(np.arange(100) / 25), 1.0, 3.0), 1.5, 2.0)
    assert (part.start_sec, part.duration_sec, part.num_frames) == (1.5, 0.5, 12)
    assert part.times[0] == 1.52
    clipped = part_of(part_of(Clock(np.arange(100) / 25), 1.0, 3.0), 0.0, 9.0)
    assert (clipped.start_sec, clipped.duration_sec, clipped.num_frames) == (1.0, 2.0, 50)


def test_an_animated_avif_is_its_track_not_its_cover(tmp_path):
    frames = [Image.fromarray(np.full((64, 96, 3), 30 + 20 * index, np.uint8)) for index in range(5)]
    frames[0].save(tmp_path / "a.avif", save_all=True, append_images=frames[1:], duration=200)
    with open_media(Record({"path": str(tmp_path / "a.avif"), "media": "image"})) as source:
        assert (source.num_frames, source.fps, source.duration_sec) == (5, 5.0, 1.0)
        assert np.abs(source.read([0, 2, 4]).mean(axis=(1, 2, 3)) - [30, 70, 110]).max() < 2


def test_an_animated_avif_from_the_field_has_all_its_frames(case):
    with open_media(Record({"path": str(case("star-8bpc.avifs"))})) as source:
        assert source.num_frames == 5 and (source.height, source.width) == (159, 159)
        assert np.abs(source.read([0])[0].mean(axis=(0, 1)) - (100, 94, 71)).max() < 2


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"path": "x" * 9999}, "name is too long"),
        ({"media": "frames", "num_frames": -1}, "num_frames is -1, expected a number above 0"),
        ({"media": "frames", "num_frames": 0}, "num_frames is 0, expected a number above 0"),
        ({"media": "frames", "fps": -5.0}, "fps is -5, expected a number above 0"),
    ],
)
def test_fields_that_no_media_can_have_are_bad_media(tmp_path, fields, reason):
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_bytes(b"x")
    with pytest.raises(MediaError, match=f"^{reason}"):
        open_media(Record({"id": "a", "path": str(tmp_path), **fields}))
