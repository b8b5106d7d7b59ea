"""Reading HDF5 shards."""

import threading
from functools import partial

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_shards import make, writer
from remote_servers import serve

from omnicli.errors import InputError
from omnicli.streams.files.urls import allow_typed
from omnicli.streams.shards import byte_reader, opening
from omnicli.streams.shards import reader as reader_module
from omnicli.streams.shards.reader import ShardReader, open_shard, read_shard


@given(counts=st.lists(st.integers(0, 4), min_size=1, max_size=25), rows=st.integers(1, 7), width=st.integers(1, 5))
def test_features_come_back_as_float16_with_their_times(tmp_path_factory, counts, rows, width):
    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    given_features = [rng.normal(size=(count, width)).astype(np.float32) for count in counts]
    shards = writer(folder, "features", rows_per_shard=rows)
    made = [shards.add(make(i, features=f, times=np.arange(len(f)) / 3)) for i, f in enumerate(given_features)]
    shards.close()
    assert shards.num_closed == len(list(folder.iterdir())) == -(-len(counts) // rows)
    for record, features in zip(made, given_features, strict=True):
        assert record["media"] == "features"
        assert record.arrays is None
        read, times = open_shard(record["path"]).features(record["row"])
        assert read.dtype == np.float16
        np.testing.assert_array_equal(read, features.astype(np.float16))
        np.testing.assert_array_equal(times, np.arange(len(features)) / 3)
    read_back = [record for path in sorted(folder.iterdir()) for record in read_shard(str(path))]
    assert read_back == made
    assert [record["extra"] for record in read_back] == [[i, None] for i in range(len(counts))]


@given(frames=st.lists(st.lists(st.binary(max_size=40), max_size=4), min_size=1, max_size=12), rows=st.integers(1, 5))
def test_frames_come_back_byte_for_byte(tmp_path_factory, frames, rows):
    folder = tmp_path_factory.mktemp("shards")
    shards = writer(folder, "frames", rows_per_shard=rows)
    made = [shards.add(make(i, frames=images)) for i, images in enumerate(frames)]
    shards.close()
    assert [open_shard(record["path"]).frames(record["row"]) for record in made] == frames
    assert [open_shard(record["path"]).num_frames(record["row"]) for record in made] == list(map(len, frames))
    assert {record["media"] for record in made} == {"clip"}
    for record, images in zip(made, frames, strict=True):
        some = [index for index in range(len(images)) if index % 2] * 2
        assert open_shard(record["path"]).frames(record["row"], some) == [images[index] for index in some]


def test_frames_keep_their_times_or_say_that_there_are_none(tmp_path):
    shards = writer(tmp_path, "frames")
    timed = shards.add(make(0, frames=[b"a", b"b"], times=np.array([3.0, 3.5]), span_sec=(2.9, 4.0)))
    untimed = shards.add(make(1, frames=[b"c"]))
    shards.close()
    times, span_sec = open_shard(timed["path"]).frame_times(timed["row"])
    assert (times.tolist(), span_sec) == ([3.0, 3.5], (2.9, 4.0))
    times, span_sec = open_shard(untimed["path"]).frame_times(untimed["row"])
    assert np.isnan([*times, *span_sec]).all()
    with pytest.raises(ValueError, match="2 frames need as many times"):
        writer(tmp_path / "wrong", "frames").add(make(2, frames=[b"a", b"b"], times=np.zeros(3)))


def test_a_packed_image_is_still_an_image(tmp_path):
    shards = writer(tmp_path, "frames")
    record = make(0, frames=[b"jpeg"]).derive(media="image")
    assert shards.add(record)["media"] == "image"
    shards.close()
    assert [made["media"] for made in read_shard(str(tmp_path / "00000.h5"))] == ["image"]


def test_scores_leave_path_and_media_as_they_are(tmp_path):
    scores = np.random.default_rng(0).random((5, 3), dtype=np.float32)
    shards = writer(tmp_path, "scores")
    made = [shards.add(make(i, scores=row)) for i, row in enumerate(scores)]
    shards.close()
    assert made == [make(i) for i in range(5)]
    with ShardReader(str(tmp_path / "00000.h5")) as reader:
        assert list(reader.records) == made
        np.testing.assert_array_equal([reader.scores(row) for row in range(5)], scores)
        with pytest.raises(InputError, match="holds scores, not features"):
            reader.features(0)
        with pytest.raises(InputError, match="no row 5; it has rows 0 to 4"):
            reader.scores(5)


def test_blocks_of_features_are_the_rows_end_to_end(tmp_path):
    shards = writer(tmp_path, "features")
    for i in range(7):
        shards.add(make(i, features=np.full((i % 3, 2), i), times=np.arange(i % 3)))
    shards.close()
    reader = ShardReader(str(tmp_path / "00000.h5"))
    blocks = [reader.feature_block(start, start + 3) for start in (0, 3, 6)]
    assert np.concatenate([counts for _, _, counts in blocks]).tolist() == [i % 3 for i in range(7)]
    for part in (0, 1):  # features, times
        expected = np.concatenate([reader.features(row)[part] for row in range(7)])
        np.testing.assert_array_equal(np.concatenate([block[part] for block in blocks]), expected)


def test_a_row_remembers_the_media_it_was_made_of(tmp_path):
    shards = writer(tmp_path, "features")
    stored = [make(i, features=np.zeros((1, 2)), times=np.zeros(1)) for i in range(3)]
    for record in stored:
        shards.add(record)
    shards.close()
    with ShardReader(str(tmp_path / "00000.h5")) as reader:
        assert reader.stored_records(1, 3) == stored[1:]
        assert [record["media"] for record in reader.records] == ["features"] * 3


def other_hdf5(path):
    with h5py.File(path, "w") as file:
        file["data"] = [1]


def newer_version(path):
    with h5py.File(path, "w") as file:
        file["records"] = ["{}"]
        file.attrs.update({"format": "omni-shard", "version": 99, "kind": "scores"})


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"text"), "not an HDF5 file"),
        (lambda path: path.write_bytes(b""), "not an HDF5 file"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 40), "truncated or damaged HDF5 file"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: None, "no such file"),
        (other_hdf5, "not an omni shard (no 'records' dataset)"),
        (newer_version, "shard version 99, this omni reads 1"),
    ],
)
def test_anything_else_is_an_input_error_that_says_what_it_is(tmp_path, monkeypatch, write, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "x.h5")
    with pytest.raises(InputError) as caught:
        ShardReader("x.h5")
    assert str(caught.value) == f"x.h5: {message}"


def test_a_bad_line_is_named_by_shard_and_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shards = writer(tmp_path, "scores")
    for i in range(3):
        shards.add(make(i, scores=np.zeros(2)))
    shards.close()
    with h5py.File("00000.h5", "a") as file:
        file["records"][1] = "oops"
    with pytest.raises(InputError, match=r"^00000\.h5:2: not JSON"):
        list(read_shard("00000.h5"))


def images_in_shards(folder, num_shards, rows_per_shard=3):
    shards = writer(folder, "frames", rows_per_shard=rows_per_shard)
    image = {"times": np.zeros(1), "span_sec": (0, 1)}
    made = [shards.add(make(i, frames=[b"%d" % i], **image)) for i in range(rows_per_shard * num_shards)]
    shards.close()
    return made


def test_single_rows_of_many_shards_open_each_shard_with_hdf5_once(tmp_path, monkeypatch):
    made = images_in_shards(tmp_path, 90)
    opened = []
    real = opening.open_checked
    monkeypatch.setattr(reader_module, "open_checked", lambda path, **again: opened.append(path) or real(path, **again))
    for _ in range(3):
        for row in np.random.default_rng(0).permutation(len(made)):
            reader = open_shard(made[row]["path"])
            assert reader.frames(made[row]["row"], [0]) == [b"%d" % row]
            assert reader.frame_times(made[row]["row"])[1] == (0.0, 1.0)
    assert len(opened) == len(set(opened)) == 90


def test_a_row_costs_no_question_to_the_file_system_but_the_bytes(tmp_path, monkeypatch):
    made = images_in_shards(tmp_path, 4)
    asked = []
    real = byte_reader.identity_of
    monkeypatch.setattr(reader_module, "identity_of", lambda file: asked.append(file) or real(file))
    monkeypatch.setattr(reader_module, "FRESH_SEC", 1e9)
    for _ in range(50):
        for record in made:
            open_shard(record["path"]).frames(record["row"], [0])
    assert len(asked) <= 2 * 4


def in_threads(number, function):
    """Call a function in so many threads at once."""
    start = threading.Barrier(number, timeout=60)
    threads = [threading.Thread(target=lambda: (start.wait(), function())) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_threads_that_open_one_remote_shard_at_once_fetch_it_once(tmp_path, monkeypatch):
    """Its tables were fetched by each of them, and its lines too."""
    monkeypatch.setattr(reader_module, "FRESH_SEC", 1e9)
    [path] = {record["path"] for record in images_in_shards(tmp_path, 1)}
    with serve(tmp_path) as server:
        allow_typed([server.url])
        counts = {}
        for name, num_threads in (("alone.h5", 1), ("together.h5", 6)):
            (tmp_path / name).write_bytes((tmp_path / path).read_bytes())
            url = f"{server.url}/{name}"
            in_threads(num_threads, partial(open_shard, url))
            in_threads(num_threads, lambda url=url: open_shard(url).stored_records(0, 1))
            counts[name] = server.count()[f"/{name}"]
    allow_typed([])
    assert counts["together.h5"] == counts["alone.h5"] > 0


def test_a_shard_that_this_process_writes_again_is_read_anew_at_once(tmp_path):
    first = images_in_shards(tmp_path, 1)[0]
    assert open_shard(first["path"]).frames(0) == [b"0"]
    shards = writer(tmp_path, "frames")
    shards.add(make(7, frames=[b"new"]))
    shards.close()
    assert open_shard(first["path"]).frames(0) == [b"new"]


def test_a_shard_that_another_process_replaces_is_noticed(tmp_path, monkeypatch):
    [path] = {record["path"] for record in images_in_shards(tmp_path / "a", 1)}
    images_in_shards(tmp_path / "b", 1, rows_per_shard=2)
    monkeypatch.setattr(reader_module, "FRESH_SEC", 0.0)
    assert len(open_shard(path)) == 3
    (tmp_path / "b" / "00000.h5").rename(path)
    assert len(open_shard(path)) == 2


def test_compressed_arrays_of_other_programs_are_read_row_by_row(tmp_path):
    path = str(tmp_path / "x.h5")
    features = np.arange(12, dtype=np.float16).reshape(6, 2)
    with h5py.File(path, "w") as file:
        file["records"] = ["{}", "{}"]
        file["counts"] = np.array([2, 4])
        file.create_dataset("features", data=features, compression="gzip")
        file["times"] = np.arange(6.0)
        file.attrs.update({"format": "omni-shard", "version": 1, "kind": "features"})
    found, times = open_shard(path).features(1)
    assert (found == features[2:]).all()
    assert times.tolist() == [2, 3, 4, 5]
