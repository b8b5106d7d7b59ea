"""A shard that anyone made opens only what it holds itself, in memory of its own size."""

import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_shards import make, writer

from omnicli.errors import InputError, MediaError
from omnicli.media.packed import PackedSource
from omnicli.streams.shards.opening import KINDS, LAYOUTS, open_checked, stage_of
from omnicli.streams.shards.reader import ShardReader

ARRAYS: dict[str, dict[str, Any]] = {
    "features": {"features": np.zeros((2, 3)), "times": np.arange(2.0)},
    "scores": {"scores": np.zeros(4)},
    "frames": {"frames": [b"ab", b"c"], "times": np.arange(2.0), "span_sec": (0, 2)},
}
ARRAYS["flow"] = ARRAYS["frames"]
DATASETS = [(kind, name) for kind in KINDS for name in ("records", *LAYOUTS[kind])]


def shard(folder: Path, kind: str, rows: int = 5) -> str:
    shards = writer(folder, kind)
    for index in range(rows):
        shards.add(make(index, **ARRAYS[kind]))
    shards.close()
    return str(folder / "00000.h5")


def replace(path: str, name: str, **options: Any) -> None:
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        file.create_dataset(name, **options)


def read_all(path: str) -> None:
    """Everything that omni reads of a shard."""
    with ShardReader(path) as reader:
        rows = list(reader.records)
        for row in range(len(rows)):
            if reader.kind == "features":
                reader.features(row)
                reader.feature_block(row, row + 2)
            elif reader.kind == "scores":
                reader.scores(row)
            else:
                reader.frames(row)
                reader.frames(row, range(reader.num_frames(row)))
                reader.frame_times(row)


@pytest.mark.parametrize(("kind", "name"), DATASETS)
@pytest.mark.parametrize("way", ["external link", "soft link", "external storage", "virtual", "group", "absent"])
def test_what_is_not_in_the_file_itself_is_refused_and_not_read(tmp_path, kind, name, way):
    path = shard(tmp_path, kind)
    other = tmp_path / "secret.h5"
    with h5py.File(path) as file, h5py.File(other, "w") as copied:
        file.copy(name, copied)
        shape, dtype = file[name].shape, file[name].dtype
    read_before = other.stat().st_atime_ns
    with h5py.File(path, "a") as file:
        if way == "soft link":
            file.move(name, "moved")
            file[name] = h5py.SoftLink("/moved")
        else:
            del file[name]
        if way == "external link":
            file[name] = h5py.ExternalLink(str(other), name)
        if way == "external storage":
            plain = np.dtype("S8") if dtype.kind == "O" else dtype
            file.create_dataset(name, shape=shape, dtype=plain, external=[(str(other), 0, h5py.h5f.UNLIMITED)])
        if way == "virtual":
            layout = h5py.VirtualLayout(shape=shape, dtype=dtype)
            layout[...] = h5py.VirtualSource(str(other), name, shape=shape)
            file.create_virtual_dataset(name, layout)
        if way == "group":
            file.create_group(name)
    with pytest.raises(InputError, match=rf"^{path}: (damaged shard: .*'{name}'|not an omni shard)"):
        open_checked(path)
    assert other.stat().st_atime_ns == read_before
    assert stage_of(Path(path)) is None


def test_a_file_of_the_machine_is_not_quoted(tmp_path, sh):
    path = shard(tmp_path, "scores")
    replace(path, "records", shape=(1,), dtype="S2000", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
    said = sh(f"omni index {path} 2>&1 || echo exit $?").stdout
    assert "'records' is stored in other files" in said
    assert "exit 65" in said
    assert "root:" not in said


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        ("features", "counts", {"shape": (1 << 40,), "dtype": "i8"}),
        ("features", "counts", {"shape": (1 << 40,), "dtype": "i8", "chunks": (1 << 20,)}),
        ("features", "features", {"shape": (10, 1 << 33), "dtype": "f2", "chunks": (1, 1 << 20)}),
        ("features", "times", {"shape": (1 << 36,), "dtype": "f8", "chunks": (1 << 20,), "compression": "gzip"}),
        ("scores", "records", {"shape": (1 << 36,), "dtype": h5py.string_dtype(), "chunks": (1 << 12,)}),
        ("frames", "frames", {"shape": (1 << 33,), "dtype": "u1", "chunks": (1 << 31,), "compression": "gzip"}),
        ("frames", "spans", {"shape": (1 << 30, 2), "dtype": "f8"}),
        ("features", "counts", {"data": np.array([2, 2, -2, 4, 4])}),
        ("features", "counts", {"data": np.array([1 << 62] * 5)}),
        ("features", "counts", {"data": np.array([2, 2, 2, 2])}),
        ("features", "counts", {"data": np.array([3, 2, 2, 2, 2])}),
        ("features", "counts", {"data": np.array([2.0, 2, 2, 2, 2])}),
        ("features", "features", {"data": np.zeros((9, 3), np.float16)}),
        ("features", "features", {"data": np.zeros(10, np.float16)}),
        ("features", "features", {"data": np.array([b"x"] * 10)}),
        ("features", "times", {"data": h5py.Empty("f8")}),
        ("features", "times", {"data": np.zeros(10, np.complex128)}),
        ("frames", "offsets", {"data": np.arange(3)}),
        ("frames", "spans", {"data": np.zeros((5, 3))}),
        ("frames", "frames", {"data": np.zeros((4, 4), np.uint8)}),
        ("scores", "scores", {"data": np.zeros((4, 4), np.float32)}),
        ("scores", "records", {"data": np.arange(5)}),
        ("scores", "records", {"shape": (5,), "dtype": h5py.ref_dtype}),
        ("scores", "records", {"shape": (5,), "dtype": h5py.regionref_dtype}),
        ("scores", "records", {"shape": (5,), "dtype": h5py.vlen_dtype(np.int32)}),
    ],
)
def test_datasets_that_claim_what_is_not_there_are_refused(tmp_path, kind, name, options):
    path = shard(tmp_path, kind)
    replace(path, name, **options)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=rf"^{path}: damaged shard: "):
        read_all(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@pytest.mark.parametrize("offsets", [[0, 3, 2] + [9] * 8, [-5] * 10 + [15], [0] * 10 + [1 << 60], [3] * 10 + [2]])
def test_offsets_that_do_not_ascend_are_damage(tmp_path, offsets):
    path = shard(tmp_path, "frames")
    replace(path, "offsets", data=np.array(offsets))
    with pytest.raises(InputError, match=r"damaged shard: "):
        read_all(path)


def test_one_long_line_in_every_row_is_not_read_a_thousand_times(tmp_path):
    path = shard(tmp_path, "scores", rows=200)
    replace(path, "records", shape=(200,), dtype=h5py.string_dtype(), chunks=(200,))
    with h5py.File(path, "a") as file:
        file["records"][0] = '{"id": "%s"}' % ("x" * 1_000_000)
        place = file["records"].id.get_chunk_info(0).byte_offset
    with Path(path).open("r+b") as raw:
        raw.seek(place)
        first = raw.read(16)
        raw.seek(place)
        raw.write(first * 200)
    with pytest.raises(InputError, match=r"damaged shard: 'records' claims 200,\d+,\d+ bytes of lines"):
        read_all(path)


@pytest.mark.parametrize("attribute", ["format", "version", "kind"])
@pytest.mark.parametrize("value", [[1, 2], np.zeros(3), b"x", h5py.Empty("f4"), 7.5, "é" * 10])
def test_attributes_of_other_types_are_an_error_of_the_input(tmp_path, attribute, value):
    path = shard(tmp_path, "scores")
    with h5py.File(path, "a") as file:
        file.attrs[attribute] = value
    with pytest.raises(InputError, match=rf"^{path}: "):
        open_checked(path)


@pytest.mark.parametrize(
    ("times", "span"), [([1, 0], (0, 2)), ([0, 1], (2, 0)), ([0, 1], (0, np.nan)), ([0, 1], (0, np.inf))]
)
def test_times_of_frames_that_do_not_ascend_are_bad_media(tmp_path, times, span):
    path = shard(tmp_path, "frames", rows=1)
    replace(path, "times", data=np.array(times, float))
    replace(path, "spans", data=np.array([span], float))
    with pytest.raises(MediaError, match="damaged shard: times of row 0"):
        PackedSource(path, 0)


def test_a_fifo_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.h5")
    found: list[BaseException] = []

    def run() -> None:
        try:
            open_checked(str(tmp_path / "x.h5"))
        except InputError as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert "not a regular file" in str(found[0])


def test_plain_datasets_of_h5py_are_a_shard(tmp_path):
    path = str(tmp_path / "x.h5")
    with h5py.File(path, "w") as file:
        file["records"] = ['{"id": "a"}', '{"id": "b"}']
        file["scores"] = np.zeros((2, 3), np.float32)
        file.attrs.update({"format": "omni-shard", "version": 1, "kind": "scores"})
    with ShardReader(path) as reader:
        assert [record["id"] for record in reader.records] == ["a", "b"]


_numbers = st.integers(-3, 30) | st.sampled_from([2**31, 2**63 - 1, -(2**63)])
_dtypes = st.sampled_from(["i8", "i4", "u8", "u1", "f2", "f8", "S3", "c16", "?"])
_shapes = st.sampled_from([(), (0,), (1,), (5,), (10,), (11,), (15,), (5, 2), (10, 3), (5, 4), (2, 2, 2)])


@given(
    which=st.sampled_from(DATASETS), dtype=_dtypes, shape=_shapes, numbers=st.lists(_numbers, min_size=1, max_size=15),
    packed=st.booleans(),
)  # fmt: skip
def test_any_other_content_is_read_or_an_input_error(tmp_path_factory, which, dtype, shape, numbers, packed):
    kind, name = which
    path = shard(tmp_path_factory.mktemp("shards"), kind)
    with np.errstate(all="ignore"):
        wrapped = [number if dtype in ("i8", "f8", "f2", "c16", "S3") else number % 128 for number in numbers]
        data = np.resize(np.array(wrapped).astype(dtype), shape)
    replace(path, name, data=data, compression="gzip" if packed and data.ndim and data.size else None)
    read: Callable[[str], None] = read_all
    try:
        read(path)
    except InputError as error:
        assert path in str(error)


def test_a_row_whose_offsets_do_not_ascend_has_no_empty_frame(tmp_path):
    path = shard(tmp_path, "frames", rows=1)
    replace(path, "offsets", data=np.array([0, 3, 2]))
    with ShardReader(path) as reader, pytest.raises(InputError, match="offsets of row 0 do not ascend"):
        reader.frames(0)


def test_a_dataset_of_which_one_chunk_is_stored_claims_no_more(tmp_path):
    path = shard(tmp_path, "features")
    replace(path, "features", shape=(10, 1 << 33), dtype="f2", chunks=(1, 1 << 16))
    with h5py.File(path, "a") as file:
        file["features"][0, 0] = 1
    with pytest.raises(InputError, match=r"'features' of shape \(10, 8589934592\) claims 171,798,691,840 bytes"):
        open_checked(path)
