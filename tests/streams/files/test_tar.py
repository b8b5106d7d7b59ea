"""Members of tars by name."""

import io
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from omnicli.errors import MediaError
from omnicli.streams.files import tar as module
from omnicli.streams.files.tar import open_member, open_member_stream, split_member


def write_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_many_threads_read_their_own_members(tmp_path):
    contents = {f"m{i}.jpg": os.urandom(3000 + i) for i in range(200)}
    write_tar(tmp_path / "x.tar", contents)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(open_member, [f"{tmp_path}/x.tar#{name}" for name in contents]))
    assert got == list(contents.values())


def test_a_stream_reads_and_seeks_like_a_file(tmp_path):
    content = os.urandom(200_000)
    write_tar(tmp_path / "x.tar", {"before": b"1" * 700, "v.mp4": content, "after": b"2" * 700})
    oracle = io.BytesIO(content)
    with open_member_stream(f"{tmp_path}/x.tar#v.mp4") as stream:
        for place, whence, length in [(0, 0, 10), (-5, 2, 100), (100, 0, 150_000), (7, 1, 70_000), (300_000, 0, 5)]:
            assert stream.seek(place, whence) == oracle.seek(place, whence)
            assert stream.read(length) == oracle.read(length)
            assert stream.tell() == oracle.tell()
        with pytest.raises((OSError, ValueError)):
            stream.seek(-1)


def test_a_tar_that_changes_is_read_anew(tmp_path):
    write_tar(tmp_path / "x.tar", {"a": b"old"})
    assert open_member(f"{tmp_path}/x.tar#a") == b"old"
    write_tar(tmp_path / "y.tar", {"b": b"first", "a": b"newer"})
    (tmp_path / "y.tar").replace(tmp_path / "x.tar")
    assert open_member(f"{tmp_path}/x.tar#a") == b"newer"


def test_few_tables_are_kept_and_their_handles_closed(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for i in range(module.TABLES_KEPT + 10):
        write_tar(tmp_path / f"{i}.tar", {"a": b"%d" % i})
        assert open_member(f"{tmp_path}/{i}.tar#a") == b"%d" % i
    assert len(module._tables) == module.TABLES_KEPT
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + module.TABLES_KEPT


@pytest.mark.parametrize(
    ("path", "reason"),
    [("x.tar#none.jpg", "no such member in the tar: none.jpg"), ("none.tar#a", "no such file"),
     ("text#a", "damaged tar: no member header at byte 0")],
)  # fmt: skip
def test_what_cannot_be_found_is_a_media_error(tmp_path, monkeypatch, path, reason):
    monkeypatch.chdir(tmp_path)
    write_tar(tmp_path / "x.tar", {"a": b"1"})
    (tmp_path / "text").write_text("no tar " * 100)
    with pytest.raises(MediaError, match=reason):
        open_member(path)


def test_a_cut_member_is_a_media_error(tmp_path):
    write_tar(tmp_path / "x.tar", {"a": b"1", "b": b"2" * 2000})
    raw = (tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(raw[: 3 * 512 + 100])
    assert open_member(f"{tmp_path}/x.tar#a") == b"1"
    with pytest.raises(MediaError, match="truncated tar member"):
        open_member(f"{tmp_path}/x.tar#b")


def test_hashes_may_be_in_the_name_of_the_tar_and_of_the_member(tmp_path):
    write_tar(tmp_path / "a#b.tar", {"c#d.jpg": b"1"})
    path = f"{tmp_path}/a#b.tar#c#d.jpg"
    assert split_member(path) == (f"{tmp_path}/a#b.tar", "c#d.jpg")
    assert open_member(path) == b"1"
    assert split_member(f"{tmp_path}/none.tar#c") is None
