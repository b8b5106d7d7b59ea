"""A few frames that do not decode are left out of a video; many of them make it unreadable."""

import numpy as np
import pytest
from made_damage import write_damaged_video

from omnicli.errors import FrameError, MediaError
from omnicli.media.source import open_media
from omnicli.media.tolerance import MAX_MISSING
from omnicli.media.video import VideoSource
from omnicli.streams.reading import incomplete
from omnicli.streams.record import Record

NUM_FRAMES = 120
DAMAGED = range(56, 58)  # and what depends on them, up to the keyframe 60
MISSING = [56, 57, 58, 59]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    whole = write_damaged_video(folder / "whole.mp4", num_frames=NUM_FRAMES, damaged=range(0))
    damaged = write_damaged_video(folder / "damaged.mp4", num_frames=NUM_FRAMES, damaged=DAMAGED)
    many = write_damaged_video(folder / "many.mp4", num_frames=NUM_FRAMES, damaged=range(30, 80, 10))
    first = write_damaged_video(folder / "first.mp4", num_frames=NUM_FRAMES, damaged=range(1))
    return {"whole": whole, "damaged": damaged, "many": many, "first": first}


@pytest.fixture(scope="module")
def pixels(videos):
    with VideoSource(str(videos["whole"])) as source:
        return source.read(range(NUM_FRAMES))


def record_of(path, **fields):
    return Record({"id": path.stem, "path": str(path), **fields})


def test_the_frames_that_do_not_decode_are_those_that_nobody_can_read_alone(videos):
    def is_readable(index):
        with VideoSource(str(videos["damaged"])) as source:
            try:
                return source.read([index]).any()
            except FrameError:
                return False

    with VideoSource(str(videos["damaged"])) as source:
        assert list(source.undecodable()) == MISSING
        assert list(source.undecodable(range(58, 61))) == [58, 59]
    assert [index for index in range(NUM_FRAMES) if not is_readable(index)] == MISSING


@pytest.mark.parametrize("indices", [range(NUM_FRAMES), [57], [59, 3, 60, 57, 3], [10, 100]])
def test_reading_shows_the_frame_before_those_that_do_not_decode(videos, pixels, indices):
    record = record_of(videos["damaged"])
    with open_media(record) as source:
        assert source.num_frames == NUM_FRAMES
        for _ in range(2):  # also when it is known
            frames = source.read(list(indices))
            shown = [55 if index in MISSING else index for index in indices]
            assert np.array_equal(frames, pixels[shown])
    assert record.missing_frames == (len(MISSING) if set(MISSING) & set(indices) else 0)


def test_walking_leaves_them_out(videos, pixels):
    with open_media(record_of(videos["damaged"])) as source:
        for _ in range(2):
            walked = dict(source.walk(list(range(40, 80))))
            assert list(walked) == [index for index in range(40, 80) if index not in MISSING]
            assert all(np.array_equal(frame, pixels[index]) for index, frame in walked.items())
        assert [index for index, _ in source.walk(MISSING)] == [55]  # never nothing


def test_small_grey_frames_stay_on_screen(videos):
    wanted = [10, 55, 57, 58, 60, 61]
    with open_media(record_of(videos["damaged"])) as source, VideoSource(str(videos["whole"])) as whole:
        expected = list(whole.walk_grey([10, 55, 60, 61], size=16))
        for _ in range(2):
            found = list(source.walk_grey(wanted, size=16))
            assert np.array_equal(found, [expected[row] for row in (0, 1, 1, 1, 2, 3)])


def test_a_part_of_a_video_is_judged_by_its_own_frames(videos, pixels):
    behind = record_of(videos["many"], start_sec=3.2, end_sec=4.0)
    with open_media(behind) as source:
        assert len(source.read(range(source.num_frames))) == 20
    assert not behind.missing_frames
    with open_media(record_of(videos["damaged"], start_sec=2.0, end_sec=4.0)) as source:
        assert np.array_equal(source.read([5, 7]), pixels[[55, 55]])
    inside = record_of(videos["damaged"], start_sec=2.2, end_sec=2.4)
    with open_media(inside) as source, pytest.raises(MediaError, match=r"2\.3 s; over 10% of the frames do not"):
        source.read([3])


def test_a_video_whose_first_frames_do_not_decode_has_a_size_and_begins_with_the_next(videos):
    record = record_of(videos["first"])
    with open_media(record) as source:
        assert (source.width, source.height) == (128, 96)
        assert np.array_equal(source.read([0]), source.read([10]))
    assert record.missing_frames == 10


@pytest.mark.parametrize("method", ["read", "walk", "walk_grey"])
def test_more_missing_frames_than_the_bound_are_an_error_wherever_one_is_met(videos, method):
    indices = list(range(25, 100))
    with open_media(record_of(videos["many"])) as source, pytest.raises(MediaError, match="frames do not decode"):
        list(getattr(source, method)(indices, **({"size": 16} if method == "walk_grey" else {})))
    assert 50 > MAX_MISSING * NUM_FRAMES > len(MISSING)


def test_each_incomplete_record_is_noted_once(videos):
    incomplete.clear()
    for _ in range(2):
        with open_media(record_of(videos["damaged"])) as source:
            source.read([57])
            source.read([58])
    assert incomplete.found() == [("damaged", len(MISSING))]
