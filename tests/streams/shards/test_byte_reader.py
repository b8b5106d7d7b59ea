"""Rows read where they lie, against HDF5."""

import gc
import os
import threading
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import InputError
from omnicli.streams.shards.byte_reader import MAX_OPEN, RawFile, StoredRows, identity_of, open_raw

CONTENT = np.random.default_rng(0).integers(0, 256, 1000, np.uint8)
LAYOUTS = {
    "chunks": {"chunks": (64,), "maxshape": (None,)},
    "one chunk": {"chunks": (4096,), "maxshape": (None,)},
    "compressed": {"chunks": (64,), "compression": "gzip"},
    "checked": {"chunks": (64,), "fletcher32": True},
    "in one piece": {},
}


@pytest.fixture(scope="module", params=LAYOUTS)
def dataset(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("bytes") / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("bytes", data=CONTENT, **LAYOUTS[request.param])
    with h5py.File(path, "r") as file:
        stored = StoredRows(file["bytes"])
    return request.param, stored, open_raw(str(path), identity_of(str(path)))


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_any_range_is_what_hdf5_reads(dataset, one, other):
    begin, end = sorted((one, other))
    kind, stored, raw = dataset
    expected = None if kind in ("compressed", "checked") and begin < end else CONTENT[begin:end].tobytes()
    assert stored.read(raw, begin, end) in (expected, None if begin == end else expected)


@given(
    start=st.integers(0, 40), count=st.integers(0, 40), rows=st.integers(1, 9),
    dtype=st.sampled_from(["f2", "<i8", ">i4"]),
)  # fmt: skip
def test_rows_of_any_numbers_are_what_hdf5_reads(tmp_path_factory, start, count, rows, dtype):
    path, numbers = tmp_path_factory.mktemp("rows") / "x.h5", np.arange(160).reshape(40, 4).astype(dtype)
    with h5py.File(path, "w") as file:
        file.create_dataset("rows", data=numbers, chunks=(rows, 4), maxshape=(None, 4))
    with h5py.File(path, "r") as file:
        stored = StoredRows(file["rows"])
    stop = min(40, start + count)
    data = stored.read(open_raw(str(path), identity_of(str(path))), start, stop)
    assert (np.frombuffer(data, stored.dtype).reshape(-1, *stored.row_shape) == numbers[start:stop]).all()


def test_chunks_of_a_part_of_each_row_are_left_to_hdf5(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("rows", data=np.zeros((4, 4)), chunks=(4, 2))
        assert StoredRows(file["rows"]).read(0, 0, 4) is None


def test_a_chunk_that_was_never_written_is_left_to_hdf5(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        sparse = file.create_dataset("bytes", shape=(300,), chunks=(100,), dtype=np.uint8, fillvalue=7)
        sparse[200:] = CONTENT[200:300]
    with h5py.File(tmp_path / "x.h5", "r") as file:
        stored = StoredRows(file["bytes"])
    raw = open_raw(str(tmp_path / "x.h5"), identity_of(str(tmp_path / "x.h5")))
    assert stored.read(raw, 150, 250) is None
    assert stored.read(raw, 210, 250) == CONTENT[210:250].tobytes()


def test_a_file_that_lost_its_end_while_it_is_open_is_an_error(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("bytes", data=CONTENT, chunks=(64,))
    with h5py.File(path, "r", locking=False) as file:
        stored = StoredRows(file["bytes"])
    raw, size = open_raw(str(path), identity_of(str(path))), path.stat().st_size
    with path.open("r+b") as torn:
        torn.truncate(size - 200)
    with pytest.raises(OSError, match="ends before"):
        for begin in range(1000):
            stored.read(raw, begin, begin + 1)


def test_many_threads_read_more_files_than_stay_open(tmp_path):
    """A file is not closed, and its descriptor not given to another, while a thread reads it."""
    few_open = lru_cache(maxsize=2)(RawFile)
    paths, stored, wrong = [str(tmp_path / f"{number}.h5") for number in range(6)], [], []
    for number, path in enumerate(paths):
        with h5py.File(path, "w") as file:
            file.create_dataset("bytes", data=np.roll(CONTENT, number), chunks=(64,))
        with h5py.File(path, "r") as file:
            stored.append(StoredRows(file["bytes"]))
    identities = [identity_of(path) for path in paths]

    def read(seed):
        rng = np.random.default_rng(seed)
        for number, begin in zip(rng.integers(0, 6, 300).tolist(), rng.integers(0, 900, 300).tolist(), strict=True):
            found = stored[number].read(few_open(paths[number], identities[number]), begin, begin + 100)
            if found != np.roll(CONTENT, number)[begin : begin + 100].tobytes():
                wrong.append((number, begin))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    few_open.cache_clear()
    gc.collect()
    still_open = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert not set(paths) & set(still_open)
    assert MAX_OPEN >= 64


def test_another_file_of_the_same_name_is_not_read(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    identity = identity_of(str(tmp_path / "a"))
    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "b").rename(tmp_path / "a")
    with pytest.raises(InputError, match="it was replaced while it was read"):
        RawFile(str(tmp_path / "a"), identity)
