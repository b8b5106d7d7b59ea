"""Bytes read where they lie, against HDF5."""

import threading

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.streams.shards.byte_reader import StoredBytes

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
        yield file["bytes"]


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_any_range_is_what_hdf5_reads(dataset, one, other):
    begin, end = sorted((one, other))
    assert StoredBytes(dataset).read(begin, end) == CONTENT[begin:end].tobytes()


def test_a_chunk_that_was_never_written_reads_as_hdf5_fills_it(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        sparse = file.create_dataset("bytes", shape=(300,), chunks=(100,), dtype=np.uint8, fillvalue=7)
        sparse[200:] = CONTENT[200:300]
    with h5py.File(tmp_path / "x.h5", "r") as file:
        read = StoredBytes(file["bytes"]).read(150, 250)
    assert read == b"\7" * 50 + CONTENT[200:250].tobytes()


def test_a_file_that_lost_its_end_while_it_is_open_is_an_error(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("bytes", data=CONTENT, chunks=(64,))
    with h5py.File(path, "r", locking=False) as file:
        stored = StoredBytes(file["bytes"])
        size = path.stat().st_size
        with path.open("r+b") as torn:
            torn.truncate(size - 200)
        with pytest.raises(OSError, match="ends before"):
            for begin in range(1000):
                stored.read(begin, begin + 1)


def test_many_threads_read_at_once(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("bytes", data=CONTENT, chunks=(64,))
    wrong = []
    with h5py.File(tmp_path / "x.h5", "r") as file:
        stored = StoredBytes(file["bytes"])

        def read(seed):
            for begin in np.random.default_rng(seed).integers(0, 900, 200).tolist():
                if stored.read(begin, begin + 100) != CONTENT[begin : begin + 100].tobytes():
                    wrong.append(begin)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
