"""The shard being written: memory does not grow with it."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from omnicli.streams.record import Record
from omnicli.streams.shards import format as shard_file
from omnicli.streams.shards.format import OpenShard


def test_many_small_flushes_give_the_same_arrays_as_one(tmp_path, monkeypatch):
    for name, pending in (("one", 1 << 30), ("many", 1)):
        monkeypatch.setattr(shard_file, "PENDING_BYTES", pending)
        shard = OpenShard(tmp_path / f"{name}.h5", {"kind": "features"})
        for i in range(30):
            record = Record({"id": str(i)})
            record.arrays = {"features": np.full((i % 4, 3), i), "times": np.arange(i % 4)}
            assert shard.add(record) == i
        shard.finish()
    with h5py.File(tmp_path / "one.h5") as one, h5py.File(tmp_path / "many.h5") as many:
        assert list(one) == list(many)
        for name in one:
            np.testing.assert_array_equal(one[name][:], many[name][:])


def test_a_shard_stores_no_time(tmp_path):
    """HDF5 before 2.0 would, and equal shards would differ."""
    shard = OpenShard(tmp_path / "0.h5", {"kind": "features"})
    assert not shard._file.id.get_create_plist().get_obj_track_times()
    shard.discard()


def test_memory_stays_flat_while_a_shard_grows(tmp_path):
    script = (
        "import resource, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from omnicli.streams.record import Record\n"
        "from omnicli.streams.shards.format import OpenShard\n"
        f"shard = OpenShard(Path({str(tmp_path)!r}) / 'x.h5', {{'kind': 'frames'}})\n"
        "def add(n):\n"
        "    for i in range(n):\n"
        "        record = Record({'id': str(i)}); record.arrays = {'frames': [bytes(100_000)]}; shard.add(record)\n"
        "add(200); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "add(2000); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before); shard.discard()\n"
    )
    grown_kib = int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)
    assert grown_kib < 30_000, "of 200 MB written"
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_cannot_be_begun_leaves_nothing(tmp_path):
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from omnicli.streams.shards.format import OpenShard\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "try:\n"
        f"    OpenShard(Path({str(tmp_path)!r}) / 'x.h5', {{'kind': 'frames'}})\n"
        "except (OSError, RuntimeError):\n"
        "    sys.exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    assert list(tmp_path.iterdir()) == []


def test_attributes_that_cannot_be_written_leave_nothing(tmp_path):
    with pytest.raises(TypeError):
        OpenShard(tmp_path / "x.h5", {"kind": "frames", "seed": object()})
    assert list(tmp_path.iterdir()) == []
