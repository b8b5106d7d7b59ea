"""Writing HDF5 shards."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
from made_shards import make, writer

from omnicli.errors import OutputError
from omnicli.streams.shards.reader import ShardReader, read_shard
from omnicli.streams.shards.writer import ShardWriter


def test_a_shard_closes_when_its_bytes_are_full(tmp_path):
    shards = writer(tmp_path, "frames", bytes_per_shard=1000)
    for i in range(4):
        shards.add(make(i, frames=[b"x" * 600]))
        assert shards.is_at_boundary == (i % 2 == 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000.h5", "00001.h5"]


def test_nothing_of_an_open_shard_is_seen_and_abort_leaves_nothing(tmp_path):
    shards = writer(tmp_path, "scores", rows_per_shard=2, prefix="p-", first_index=4)
    for i in range(3):
        shards.add(make(i, scores=np.zeros(2)))
    assert [path.name for path in tmp_path.glob("*.h5")] == ["p-00004.h5"]
    shards.abort()
    assert [path.name for path in tmp_path.iterdir()] == ["p-00004.h5"]
    assert shards.num_closed == 5


def test_a_killed_writer_leaves_no_shard_under_its_name(tmp_path):
    script = (
        "import os, numpy as np\n"
        "from omnicli.streams.record import Record\n"
        "from omnicli.streams.shards.writer import ShardWriter\n"
        f"shards = ShardWriter({str(tmp_path)!r}, stage='x', kind='scores', provenance={{}}, rows_per_shard=3)\n"
        "for i in range(5):\n"
        "    record = Record({'id': str(i)}); record.arrays = {'scores': np.zeros(2)}; shards.add(record)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert [path.name for path in tmp_path.glob("*.h5")] == ["00000.h5"]
    assert len(list(read_shard(str(tmp_path / "00000.h5")))) == 3


def test_the_same_records_make_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        shards = writer(tmp_path / name, "features")
        for i in range(20):
            shards.add(make(i, features=np.full((2, 4), i), times=np.arange(2)))
        shards.close()
    assert (tmp_path / "a" / "00000.h5").read_bytes() == (tmp_path / "b" / "00000.h5").read_bytes()


def test_attributes_hold_the_provenance_however_long(tmp_path):
    classes = [f"class {i}" for i in range(20_000)]
    provenance = {"options": {"classes": classes}, "seed": 3, "none": None}
    shards = ShardWriter(tmp_path, stage="eval", kind="scores", provenance=provenance)
    shards.add(make(0, scores=np.zeros(2)))
    shards.close()
    attributes = ShardReader(str(tmp_path / "00000.h5")).attributes
    assert json.loads(attributes["options"]) == {"classes": classes}
    assert (attributes["stage"], attributes["kind"], attributes["seed"]) == ("eval", "scores", 3)
    assert "none" not in attributes


def test_five_lines_of_h5py_read_a_shard(tmp_path):
    shards = writer(tmp_path, "features")
    shards.add(make(0, features=np.ones((2, 3)), times=np.arange(2)))
    shards.close()
    with h5py.File(tmp_path / "00000.h5") as file:
        assert json.loads(file["records"][0])["id"] == "é 0"
        assert file["features"].shape == (2, 3)
        assert file["counts"][:].tolist() == [2]
        assert (file["features"].dtype, file["times"].dtype) == (np.float16, np.float64)


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write shards: Not a directory"):
        writer(tmp_path / "file" / "shards", "scores")


def test_arrays_of_a_wrong_shape_are_our_bug(tmp_path):
    with pytest.raises(ValueError, match="features must be"):
        writer(tmp_path, "features").add(make(0, features=np.zeros(3), times=np.zeros(3)))


def test_lines_can_go_on_naming_their_media(tmp_path):
    shards = writer(tmp_path, "features", keep_paths=True)
    record = make(3, features=np.zeros((1, 2)), times=np.zeros(1))
    kept = shards.add(record)
    shards.close()
    assert kept == record and kept.arrays is None
    assert next(read_shard(str(tmp_path / "00000.h5")))["media"] == "features"
