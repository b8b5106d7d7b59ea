"""A full disk under HDF5 ends in an error of ours, never in a crash."""

import os

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from omnicli.streams.shards.safe_file import SafeFile


@given(st.lists(st.tuples(st.integers(0, 200), st.binary(min_size=1, max_size=50)), max_size=20))
@settings(max_examples=30)
def test_it_holds_what_an_ordinary_file_would(tmp_path_factory, writes):
    folder = tmp_path_factory.mktemp("files")
    safe = SafeFile(folder / "safe")
    with (folder / "plain").open("w+b") as plain:
        for file in (safe, plain):
            for position, data in writes:
                file.seek(position)
                file.write(data)
            file.seek(0, os.SEEK_END)
        assert safe.tell() == plain.tell()
        for file in (safe, plain):
            file.seek(3)
        assert safe.read(40).rstrip(b"\0") == plain.read(40).rstrip(b"\0")  # it reads zeros behind its end
    safe.sync()
    safe.close()
    assert (folder / "safe").read_bytes() == (folder / "plain").read_bytes()


def test_the_first_failed_write_is_the_error_and_hdf5_still_closes(tmp_path, monkeypatch):
    room = 200_000

    def write(handle, data, position):
        if position + len(data) > room:
            raise OSError(28, "No space left on device")
        return pwrite(handle, data, position)

    pwrite = os.pwrite
    monkeypatch.setattr("omnicli.streams.shards.safe_file.os.pwrite", write)
    safe = SafeFile(tmp_path / "safe")
    with h5py.File(safe, "w") as file:
        dataset = file.create_dataset("frames", shape=(0,), maxshape=(None,), chunks=(1 << 14,), dtype=np.uint8)
        for size in range(100_000, 1_000_000, 100_000):
            dataset.resize((size,))
            dataset[size - 100_000 :] = np.random.default_rng(0).integers(0, 255, 100_000)
    with pytest.raises(OSError, match="No space left"):
        safe.check()
    with pytest.raises(OSError, match="No space left"):
        safe.sync()
    safe.close()
    assert (tmp_path / "safe").stat().st_size <= room


@pytest.mark.parametrize("limit", [1_000, 200_000])
def test_a_limit_of_the_file_size_ends_pack_with_73_and_leaves_nothing(sh, tmp_path, limit):
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for index in range(8):
        noise = rng.integers(0, 255, (200, 200, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "in" / f"{index}.png")
    run = sh(f"prlimit --fsize={limit} omni pack in --shards out -o out.jsonl", cwd=tmp_path)
    assert run.returncode == 73, run.stderr
    assert "File too large" in run.stderr and len(run.stderr.splitlines()) == 1
    assert (
        not list(tmp_path.glob("out/*")) and not list(tmp_path.glob("out/.*")) and not (tmp_path / "out.jsonl").exists()
    )
