"""Tar headers, against the standard library's."""

import io
import os
import re
import resource
import subprocess
import tarfile
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_a_damaged_header_in_the_middle_ends_with_its_place_and_keeps_what_was_before(tmp_path):
    path = tmp_path / "x.tar"
    write_tar(path, [("a.jpg", b"1"), ("b.jpg", b"2"), ("c.jpg", b"3")])
    raw = bytearray(path.read_bytes())
    raw[2 * BLOCK + 3] ^= 0xFF
    path.write_bytes(raw)
    first, rest = walk_members(str(path))
    assert (first.name, first.problem, rest.name) == ("a.jpg", "", "")
    assert rest.problem.startswith("damaged tar: no member header at byte 1,024")


def test_text_and_zeros_are_no_tar():
    assert not is_tar(b"")
    assert not is_tar(b"\0" * BLOCK)
    assert not is_tar(b"an image 3\n" * 50)


def written(*headers: tuple[str, bytes, bytes]) -> bytes:
    """Headers of (name, kind, twelve bytes of size), each with a right checksum."""
    blocks = []
    for name, kind, size in headers:
        block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
        block[124:136], block[156:157] = size, kind
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        blocks.append(bytes(block))
    return b"".join(blocks)


NO_SIZE = b"00000000000\0"
PLAIN = ("a.jpg", b"0", NO_SIZE)
END = bytes(2 * BLOCK)
MAP = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"  # says that a map stands before the content


@pytest.mark.parametrize(
    "data",
    [
        written(PLAIN, ("back.jpg", b"0", b"\xff" * 10 + b"\xfe\0")) + END,  # -512: to its own header again
        written(PLAIN, ("less.jpg", b"0", b"\xff" * 12)) + END,  # -1
        written(PLAIN, *[("long", b"L", NO_SIZE)] * 3000, PLAIN) + END,  # a chain of headers that speak of the next
        written(PLAIN, ("long", b"L", b"\x80\0\0\0\0\0\0\0\x10\0\0\0")) + b"1" * 100_000,  # a name of 256 MiB
        written(PLAIN, ("pax", b"x", b"00000001000\0")) + b"9" * BLOCK + written(PLAIN)[:-1] + b"\1" + END,
        written(PLAIN, ("map", b"x", b"00000000054\0")) + MAP.ljust(BLOCK, b"\0") + written(PLAIN) + b"1,2" * 900,
        written(PLAIN) + b"junk" * 128,  # as the last block
        b"junk" * 128,
    ],
)
def test_headers_made_to_mislead_are_an_error_and_cost_nothing(tmp_path, data):
    (tmp_path / "x.tar").write_bytes(data)
    with (tmp_path / "x.tar").open("ab") as file:
        if b"long" in data[BLOCK : 2 * BLOCK]:
            file.truncate(1 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    *_, last = islice(walk_members(str(tmp_path / "x.tar")), 10)
    assert re.match(r"damaged tar: no member header at byte (0|512);", last.problem)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


@pytest.mark.parametrize(
    "data",
    [
        written(PLAIN, ("far/", b"D", b"\x80" + b"\x7f" * 11)),  # what is no file may hide the members behind it too
        written(PLAIN, ("holes", b"S", b"00000010000\0"), PLAIN),
        written(PLAIN, ("pax", b"x", b"00000001000\0")) + b"13 path=b.jpg\n",
        written(PLAIN, ("long", b"L", b"00000001000\0")) + b"b" * BLOCK,
        written(PLAIN)[:-1],
    ],
)
def test_whatever_reaches_beyond_the_end_is_cut(tmp_path, data):
    (tmp_path / "x.tar").write_bytes(data)
    found = list(walk_members(str(tmp_path / "x.tar")))
    assert [member.problem for member in found] == (["", CUT] if len(data) > BLOCK else [CUT])


def test_an_old_sparse_header_that_is_cut_is_noticed(tmp_path):
    header = bytearray(written(("holes", b"S", NO_SIZE)))
    header[482] = 1  # the map goes on in the next block
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "x.tar").write_bytes(written(PLAIN) + header + bytes(100))
    assert [member.problem for member in walk_members(str(tmp_path / "x.tar"))] == ["", CUT]


def test_names_of_many_members_take_no_memory(tmp_path):
    write_tar(tmp_path / "x.tar", [(f"{index:09d}.jpg", b"") for index in range(2000)])
    tracemalloc.start()
    assert sum(1 for _ in walk_members(str(tmp_path / "x.tar"))) == 2000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000
