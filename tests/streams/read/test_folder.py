"""The files below a folder."""

import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.streams.read.folder import FoundFile, walk_files

PARTS = st.sampled_from(["a", "b", "B", "é", "z.jpg", ".hidden", "a b", "a#b", "10", "9", "n\nl", "~"])


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def paths(top: str, **options) -> list[str]:
    return [os.fsdecode(found.path) for found in walk_files(top, **options)]


@given(st.lists(st.lists(PARTS, min_size=1, max_size=3).map("/".join), max_size=12))
def test_every_file_is_found_once_in_the_order_of_its_parts_bytes(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("walk")
    for name in names:
        if not (root / name).exists() and not any(parent.is_file() for parent in (root / name).parents):
            make(root, name)
    below = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    expected = [str(path) for path in below if ".hidden" not in path.parts]
    expected.sort(key=lambda name: [part.encode() for part in name.split("/")])
    assert [path.removeprefix(f"{root}/") for path in paths(str(root))] == expected


def test_the_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    make(tmp_path, *(f"{folder}/{name}.jpg" for folder in "cab" for name in "312"))
    real = os.scandir

    class Shuffled:
        def __init__(self, path):
            with real(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *exc_info):
            return None

    before = paths(str(tmp_path))
    monkeypatch.setattr(os, "scandir", Shuffled)
    assert paths(str(tmp_path)) == before == sorted(before)


def test_the_folder_is_the_one_that_holds_the_file_strictly_below_the_top(tmp_path, monkeypatch):
    make(tmp_path, "top.jpg", "web/archery/x/a.jpg", "web/b.jpg")
    monkeypatch.chdir(tmp_path)
    found = [(found.path, found.folder) for found in walk_files(".")]
    assert found == [(b"top.jpg", b""), (b"web/archery/x/a.jpg", b"x"), (b"web/b.jpg", b"web")]
    assert [found.folder for found in walk_files("web/archery/x")] == [b""]
    assert paths("web/") == ["web/archery/x/a.jpg", "web/b.jpg"]


def test_links_are_followed_but_never_in_a_circle(tmp_path):
    make(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "b" / "to_a").symlink_to("../a")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "broken").symlink_to("nowhere")
    found = [path.removeprefix(f"{tmp_path}/") for path in paths(str(tmp_path))]
    assert found == ["a/1.jpg", "b/2.jpg", "b/to_a/1.jpg", "broken", "self"]


def test_folders_to_be_passed_over_are_known_by_any_name(tmp_path):
    make(tmp_path, "a/1.jpg", "b/2.jpg", "b/c/3.jpg")
    (tmp_path / "to_c").symlink_to("b/c")
    without = [tmp_path / "b" / ".." / "b" / "c", tmp_path / "missing", tmp_path]
    found = [found.path.removeprefix(os.fsencode(tmp_path)) for found in walk_files(str(tmp_path), without=without)]
    assert found == [b"/a/1.jpg", b"/b/2.jpg"]


def test_what_omni_leaves_behind_is_passed_over_and_nothing_else(tmp_path):
    own = [
        ".o.jsonl.part",
        ".o.jsonl.rejects.part",
        ".o.jsonl.state",
        "o.done.json",
        ".0.h5.tmp",
        ".out.jsonl.reading",
        ".out.jsonl.reading.crash",
        ".0.h5.lock",
        ".t.pth.last.pth",
    ]
    others = ["a.part", "b.state", "c.tmp", "done.json"]
    make(tmp_path, *own, *others)
    hidden: list[bytes] = []
    assert [os.path.basename(path) for path in paths(str(tmp_path), on_hidden=hidden.append)] == others  # noqa: PTH119
    assert hidden == []


def test_hidden_files_and_folders_are_skipped_and_reported(tmp_path):
    hidden = [".a.jpg", ".ipynb_checkpoints/b.jpg", "x/.DS_Store", "x/@eaDir/c.jpg", "x/Thumbs.db", "__MACOSX/x/d.jpg"]
    make(tmp_path, *hidden, "x/e.jpg")
    skipped: list[bytes] = []
    assert paths(str(tmp_path), on_hidden=skipped.append) == [f"{tmp_path}/x/e.jpg"]
    expected = [".a.jpg", ".ipynb_checkpoints", "__MACOSX", "x/.DS_Store", "x/@eaDir", "x/Thumbs.db"]
    assert sorted(os.fsdecode(path).removeprefix(f"{tmp_path}/") for path in skipped) == expected


def test_the_files_of_the_top_get_a_name_only_where_it_has_no_folders(tmp_path):
    make(tmp_path, "archery/1.jpg", "archery/.thumbs/1.jpg", "mixed/1.jpg", "mixed/deep/2.jpg")
    top = str(tmp_path / "archery")
    assert [found.folder for found in walk_files(top, name=b"archery")] == [b"archery"]
    assert [found.folder for found in walk_files(str(tmp_path / "mixed"), name=b"mixed")] == [b"", b"deep"]


def test_a_folder_that_cannot_be_listed_is_named_and_the_rest_goes_on(tmp_path, monkeypatch):
    make(tmp_path, "a/1.jpg", "b/2.jpg", "c/3.jpg")
    real = os.scandir

    def refuse(path):
        if path.endswith(b"/b"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)  # tests may run as root, whom no mode stops
    found = list(walk_files(str(tmp_path)))
    top = os.fsencode(tmp_path)
    assert found == [
        FoundFile(top + b"/a/1.jpg", b"a"), FoundFile(top + b"/b", b"", "permission denied"),
        FoundFile(top + b"/c/3.jpg", b"c")
    ]  # fmt: skip


def test_folders_of_numbered_images_are_one_entry_on_request(tmp_path):
    make(tmp_path, *(f"run/v1/img_{i:05d}.jpg" for i in range(12)), "run/v2/1.png", "run/v2/2.png")
    make(tmp_path, "run/mixed/1.jpg", "run/mixed/notes.txt", "run/one/1.jpg", "run/two/a1.jpg", "run/two/b1.jpg")
    found = {os.path.basename(f.path): (f.folder, f.num_frames) for f in walk_files(str(tmp_path), frames=True)}  # noqa: PTH119
    assert found[b"v1"] == (b"run", 12)
    assert found[b"v2"] == (b"run", 2)
    assert found[b"notes.txt"] == (b"mixed", 0)
    assert b"one" not in found
    assert b"two" not in found
    assert list(walk_files(str(tmp_path / "run" / "v1"), frames=True)) == [
        FoundFile(os.fsencode(tmp_path / "run" / "v1"), b"", "", 12)
    ]
    assert len(paths(str(tmp_path))) == 12 + 2 + 2 + 1 + 2


@pytest.mark.slow
def test_a_hundred_thousand_files_take_little_memory(tmp_path):
    for folder in range(4):
        (tmp_path / str(folder)).mkdir()
        for i in range(25_000):
            os.close(os.open(tmp_path / str(folder) / f"{i:08d}.jpg", os.O_CREAT))
    tracemalloc.start()
    assert sum(1 for _ in walk_files(str(tmp_path))) == 100_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000, "one folder of names at a time"
