"""Tar headers, against the standard library's."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import InputError
from omnicli.streams.files.tar_headers import BLOCK, CUT, is_tar, walk_members

NAMES = st.text(st.characters(exclude_characters="\0\n", exclude_categories=["Cs"]), min_size=1, max_size=150).filter(
    lambda name: name.strip("/.") and not name.endswith("/")
)


def write_tar(path: Path, members: list[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> None:
    with tarfile.open(path, "w", format=form) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@given(
    members=st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=6),
    form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_names_and_places_are_those_the_standard_library_sees(tmp_path_factory, members, form):
    path = tmp_path_factory.mktemp("tar") / "x.tar"
    write_tar(path, members, form)
    with tarfile.open(path) as tar:
        expected = [(info.name, info.offset_data, info.size, "") for info in tar if info.isreg()]
    found = list(walk_members(str(path)))
    assert [(member.name.rstrip("/"), *member[1:]) for member in found] == expected
    raw = path.read_bytes()
    assert [raw[member.offset :][: member.size] for member in found] == [content for _, content in members]


@pytest.mark.parametrize("form", ["ustar", "gnu", "pax", "v7"])
def test_what_gnu_tar_writes(tmp_path, form):
    long = "d" * 60 + "/" + "e" * 60 + "/ü x.jpg"
    (tmp_path / long).parent.mkdir(parents=True)
    (tmp_path / long).write_bytes(b"1" * 700)
    (tmp_path / "b.jpg").write_bytes(b"22")
    names = ["b.jpg"] if form == "v7" else [long, "b.jpg"]
    subprocess.run(["tar", "-cf", "x.tar", f"--format={form}", *names], cwd=tmp_path, check=True)
    found = [(member.name, member.size, member.problem) for member in walk_members(str(tmp_path / "x.tar"))]
    assert found == [(long, 700, ""), ("b.jpg", 2, "")][-len(names) :]
    assert is_tar((tmp_path / "x.tar").read_bytes()[:BLOCK])


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_sparse_members_and_links_are_named_with_a_problem_and_do_not_hide_the_next(tmp_path, form):
    with (tmp_path / "a.bin").open("wb") as file:
        for block in range(40):
            file.seek(block << 20)
            file.write(b"data")
    (tmp_path / "b.jpg").write_bytes(b"22")
    os.link(tmp_path / "b.jpg", tmp_path / "c.jpg")
    (tmp_path / "d.jpg").symlink_to("b.jpg")
    names = ["a.bin", "b.jpg", "c.jpg", "d.jpg"]
    subprocess.run(["tar", "-cSf", "x.tar", f"--format={form}", *names], cwd=tmp_path, check=True)
    if b"GNU.sparse" not in (tmp_path / "x.tar").read_bytes() and form == "pax":
        pytest.skip("this file system keeps no holes")
    found = [(member.name, member.problem) for member in walk_members(str(tmp_path / "x.tar"))]
    assert found == [
        ("a.bin", "sparse tar member"), ("b.jpg", ""), ("c.jpg", "link in a tar"), ("d.jpg", "link in a tar")
    ]  # fmt: skip


def test_every_cut_of_a_tar_gives_the_whole_members_and_one_problem_if_any_is_lost(tmp_path):
    path = tmp_path / "x.tar"
    write_tar(path, [(f"{'long' * 40}{i}.jpg", bytes([i]) * (300 * i + 1)) for i in range(4)])
    raw = path.read_bytes()
    whole = list(walk_members(str(path)))
    ends = [member.offset + member.size for member in whole]
    between = {0, *(end + more for end in ends for more in range(-end % BLOCK + 1))}  # no header has begun there
    cuts = {
        cut for block in range(0, ends[-1], BLOCK) for cut in (block, block + 1, block + 200, block + 511)
    } | between
    for cut in sorted(cuts - {0}):
        path.write_bytes(raw[:cut])
        found = list(walk_members(str(path)))
        good = [member for member in found if not member.problem]
        assert good == [member for member, end in zip(whole, ends, strict=True) if end <= cut]
        assert [member.problem for member in found[len(good) :]] == ([] if cut in between else [CUT])


def test_the_size_of_a_pax_header_wins_over_the_field_that_is_too_small_for_it(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("big.mp4")
        info.pax_headers = {"size": "700"}
        tar.addfile(info)
        tar.fileobj.write(b"1" * 700 + b"\0" * 324)
        tar.offset += 1024
        tar.addfile(tarfile.TarInfo("next.mp4"))
    found = [(member.name, member.size, member.problem) for member in walk_members(str(path))]
    assert found == [("big.mp4", 700, ""), ("next.mp4", 0, "")]


def test_a_damaged_header_in_the_middle_is_an_error_with_its_place(tmp_path):
    path = tmp_path / "x.tar"
    write_tar(path, [("a.jpg", b"1"), ("b.jpg", b"2"), ("c.jpg", b"3")])
    raw = bytearray(path.read_bytes())
    raw[2 * BLOCK + 3] ^= 0xFF
    path.write_bytes(raw)
    seen = []
    with pytest.raises(InputError, match=r"x\.tar: damaged tar: no member header at byte 1,024"):
        seen.extend(member.name for member in walk_members(str(path)))
    members = walk_members(str(path))
    assert next(members).name == "a.jpg"


def test_text_and_zeros_are_no_tar():
    assert not is_tar(b"")
    assert not is_tar(b"\0" * BLOCK)
    assert not is_tar(b"an image 3\n" * 50)
