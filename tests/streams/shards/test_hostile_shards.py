"""A shard from anywhere: read, or refused with its name, and never another file or more memory than it has."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_shards import make, writer

from omnicli.errors import InputError
from omnicli.streams.shards.opening import LAYOUTS as DATASETS
from omnicli.streams.shards.reader import ShardReader

CASES = [(kind, name) for kind, names in DATASETS.items() for name in ("records", *names)]


def made_shard(folder, kind):
    shards = writer(folder, kind)
    arrays = {
        "features": {"features": np.ones((2, 3)), "times": np.arange(2.0)},
        "scores": {"scores": np.ones(4)},
        "frames": {"frames": [b"abc", b"de"], "times": np.arange(2.0), "span_sec": (0.0, 1.0)},
    }
    arrays["flow"] = arrays["frames"]
    for index in range(3):
        shards.add(make(index, **arrays[kind]))
    shards.close()
    return folder / "00000.h5"


def read_all(path):
    with ShardReader(str(path)) as reader:
        for row, _ in enumerate(reader.records):
            match reader.kind:
                case "features":
                    reader.features(row)
                case "scores":
                    reader.scores(row)
                case _:
                    reader.frames(row), reader.frame_times(row)
        return len(reader)


def external_link(file, name, folder):
    file[name] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(file, name, folder):
    file[name] = h5py.SoftLink("/somewhere")


def external_storage(file, name, folder):
    file.create_dataset(name, (3,), "S8", external=[("/etc/passwd", 0, 24)])


def virtual(file, name, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["x"] = np.arange(3)
    layout = h5py.VirtualLayout((3,), "i8")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", (3,))
    file.create_virtual_dataset(name, layout)


def group(file, name, folder):
    file.create_group(name)


def references(file, name, folder):
    file.create_dataset(name, data=np.array([file.ref] * 3, h5py.ref_dtype))


def compound(file, name, folder):
    file[name] = np.zeros(3, [("a", "i4"), ("b", "f8")])


def other_rank(file, name, folder):
    file[name] = np.zeros((3, 3, 3))


def numbers_below_zero(file, name, folder):
    file[name] = np.array([-1, 4, 3]) if name != "records" else np.array([-1.0])


def too_few(file, name, folder):
    file.create_dataset(name, (1,), h5py.string_dtype() if name == "records" else "i8")


def claims_terabytes(file, name, folder):
    rank = 2 if name in ("features", "scores", "spans") else 1
    kind = (
        h5py.string_dtype() if name == "records" else {"frames": "u1", "counts": "i8", "offsets": "i8"}.get(name, "f4")
    )
    file.create_dataset(name, (1 << 40,) + (4,) * (rank - 1), kind, chunks=(1 << 10,) + (4,) * (rank - 1))


ATTACKS = [
    external_link, soft_link, external_storage, virtual, group, references, compound, other_rank, numbers_below_zero,
    too_few, claims_terabytes,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_foreign_or_impossible_dataset_is_refused_with_the_name_of_the_shard(tmp_path, kind, name, attack):
    path = made_shard(tmp_path, kind)
    with h5py.File(path, "r+") as file:
        del file[name]
        attack(file, name, tmp_path)
    try:
        read_all(path)
    except InputError as error:
        assert "00000.h5: " in str(error)
        assert "root:" not in str(error)
        return
    assert attack is numbers_below_zero and name in ("times", "offsets"), "values are checked where they are read"


def test_a_shard_that_was_compressed_later_is_read(tmp_path):
    path = made_shard(tmp_path, "features")
    with h5py.File(path, "r+") as file:
        for name in ("features", "times", "counts"):
            data = file[name][:]
            del file[name]
            file.create_dataset(name, data=data, compression="gzip", chunks=True)
    assert read_all(path) == 3


@given(st.sampled_from(sorted(DATASETS)), st.integers(0, 1 << 20), st.binary(min_size=1, max_size=12))
@settings(max_examples=300)
def test_damaged_bytes_are_read_or_refused(tmp_path_factory, kind, position, put):
    path = made_shard(tmp_path_factory.mktemp("shard"), kind)
    content = bytearray(path.read_bytes())
    position %= len(content)
    heap = content.rfind(b"GCOL", 0, position + len(put) + 4)
    if heap >= 0 and position < heap + int.from_bytes(content[heap + 8 : heap + 16], "little"):
        return  # the HDF5 library itself loops for ever on some damage of its heap of strings
    content[position : position + len(put)] = put
    path.write_bytes(content)
    try:
        read_all(path)
    except InputError as error:
        assert "00000.h5:" in str(error)
