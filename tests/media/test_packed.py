"""Packed frames behind the interface of all media."""

import threading

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import InputError, MediaError
from omnicli.media.image import read_image
from omnicli.media.packed import PackedSource
from omnicli.media.source import open_media
from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter


def encode(pixels):
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()


def pack(folder, *rows):
    """Records of rows (frames, times or None, span or None, fields), without loss."""
    shards = ShardWriter(folder, stage="test", kind="frames", provenance={})
    made = []
    for place, (frames, times, span_sec, fields) in enumerate(rows):
        record = Record({"id": str(place), "path": "gone.mp4", **fields})
        record.arrays = {"frames": [encode(frame) for frame in frames]}
        if times is not None:
            record.arrays |= {"times": np.array(times), "span_sec": span_sec}
        made.append(shards.add(record))
    shards.close()
    return made


def test_a_row_is_a_video_with_the_times_it_was_packed_with(tmp_path, moving):
    frames = moving(6)
    times = [20.0, 20.04, 20.08, 20.3, 20.34, 20.5]
    _, record = pack(tmp_path, (moving(2), [0, 1], (0, 2), {}), (frames, times, (20, 20.54), {"media": "video"}))
    assert record["media"] == "clip"
    with open_media(record) as source:
        assert (source.num_frames, source.width, source.height) == (6, 64, 48)
        assert source.duration_sec == pytest.approx(0.54)
        assert source.fps == pytest.approx(6 / 0.54)
        np.testing.assert_array_equal(source.times, times)
        np.testing.assert_array_equal(source.read([5, 0, 5]), frames[[5, 0, 5]])
        walked = list(source.walk([1, 4]))
    assert [index for index, _ in walked] == [1, 4]
    np.testing.assert_array_equal(np.stack([pixels for _, pixels in walked]), frames[[1, 4]])


def test_a_part_of_a_row_is_found_by_the_times_of_the_original_file(tmp_path, moving):
    frames = moving(10)
    [record] = pack(tmp_path, (frames, 20 + np.arange(10) / 10, (20, 21), {"start_sec": 20.0, "end_sec": 21.0}))
    with open_media(record) as whole:
        assert (whole.num_frames, whole.duration_sec) == (10, 1.0)
    with open_media(record.derive(start_sec=20.3, end_sec=20.6)) as part:
        assert part.times.tolist() == pytest.approx([20.3, 20.4, 20.5])
        np.testing.assert_array_equal(part.read([0, 2]), frames[[3, 5]])
        assert [index for index, _ in part.walk([0, 2])] == [0, 2]


def test_without_times_frames_follow_at_the_rate_of_the_record(tmp_path, moving):
    named, unnamed = pack(tmp_path, (moving(5), None, None, {"fps": 10.0}), (moving(5), None, None, {}))
    with open_media(named) as source:
        np.testing.assert_allclose(source.times, np.arange(5) / 10)
        assert (source.fps, source.duration_sec) == (10.0, 0.5)
    with open_media(unnamed) as source:
        assert (source.fps, source.duration_sec) == (25.0, 0.2)


def test_a_packed_image_is_an_image(tmp_path, moving):
    [record] = pack(tmp_path, (moving(1), [0.0], (0, 0), {"media": "image", "start_sec": 3.0}))
    with open_media(record) as source:
        assert (source.num_frames, source.fps, source.duration_sec) == (1, 0.0, 0.0)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=12))
def test_any_frames_in_any_order_equal_those_that_were_packed(tmp_path_factory, wanted):
    frames = np.random.default_rng(0).integers(0, 256, (8, 6, 9, 3), np.uint8)
    [record] = pack(tmp_path_factory.mktemp("shard"), (frames, np.arange(8), (0, 8), {}))
    with open_media(record) as source:
        np.testing.assert_array_equal(source.read(wanted), frames[wanted])


def test_many_threads_read_one_shard(tmp_path, moving):
    frames = moving(8)
    records = pack(tmp_path, *[(frames[[place]], [0.0], (0, 1), {}) for place in range(8)])
    wrong = []

    def read(place):
        for _ in range(30):
            with open_media(records[place]) as source:
                if not np.array_equal(source.read([0])[0], frames[place]):
                    wrong.append(place)

    threads = [threading.Thread(target=read, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_shard_written_anew_is_read_anew(tmp_path, moving):
    frames = moving(2)
    [record] = pack(tmp_path, (frames[:1], [0.0], (0, 1), {}))
    with open_media(record) as source:
        np.testing.assert_array_equal(source.read([0])[0], frames[0])
    [record] = pack(tmp_path, (frames[1:], [0.0], (0, 1), {}))
    with open_media(record) as source:
        np.testing.assert_array_equal(source.read([0])[0], frames[1])


def test_a_shard_that_is_gone_damaged_or_of_another_kind_is_bad_media_named_without_its_path(tmp_path, moving):
    [record] = pack(tmp_path, (moving(1), [0.0], (0, 1), {}))
    with pytest.raises(MediaError, match=r"^no row 7; it has rows 0 to 0$"):
        open_media(record.derive(row=7))
    with pytest.raises(MediaError, match=r"^no such file$"):
        open_media(record.derive(path=str(tmp_path / "gone.h5")))
    (tmp_path / "torn.h5").write_bytes((tmp_path / "00000.h5").read_bytes()[:900])
    with pytest.raises(MediaError, match=r"^truncated or damaged HDF5 file$"):
        open_media(record.derive(path=str(tmp_path / "torn.h5")))
    features = ShardWriter(tmp_path / "features", stage="test", kind="features", provenance={})
    other = Record({"id": "f"})
    other.arrays = {"features": np.zeros((1, 2)), "times": np.zeros(1)}
    row = features.add(other)
    features.close()
    with pytest.raises(MediaError, match=r"^holds features, not frames$"):
        PackedSource(row["path"], 0)
    with pytest.raises(InputError, match="no field 'row'"):
        open_media(Record({"id": "x", "path": record["path"], "media": "clip"}))


def test_a_clip_without_frames_is_refused(tmp_path, moving):
    [record, _] = pack(tmp_path, ([], [], (0, 0), {}), (moving(1), [0.0], (0, 1), {}))
    with pytest.raises(MediaError, match="a clip without frames"):
        open_media(record)


def test_a_packed_jpeg_is_decoded_at_a_reduced_scale_like_any_image(tmp_path):
    pixels = cv2.resize(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8), (256, 256))
    data = cv2.imencode(".jpg", pixels)[1].tobytes()
    shards = ShardWriter(tmp_path, stage="test", kind="frames", provenance={})
    record = Record({"id": "a"})
    record.arrays = {"frames": [data]}
    row = shards.add(record)
    shards.close()
    with open_media(row) as source:
        np.testing.assert_array_equal(source.read([0], short_side=64)[0], read_image(data, short_side=64))
