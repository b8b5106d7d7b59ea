"""Which INPUTs give the names of their folders as queries."""

import os
from pathlib import Path

import pytest

from omnicli.streams.read.input_queries import folder_above, queries_of_inputs


@pytest.fixture(autouse=True)
def _crawl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("web/archery/1.jpg", "web/surfing/2.jpg", "web/list.txt", "other/tai chi/3.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"x")


def test_folders_beside_one_another_are_queries():
    found = queries_of_inputs(["web/archery", "./web/surfing/", "web/list.txt"], not_media=(".txt",))
    assert found == {"web/archery": "archery", "./web/surfing/": "surfing"}


def test_files_in_folders_beside_one_another_have_these_as_queries():
    found = queries_of_inputs(["web/archery/1.jpg", "web/surfing/2.jpg", "-"])
    assert found == {"web/archery/1.jpg": "archery", "web/surfing/2.jpg": "surfing"}


@pytest.mark.parametrize(
    "names", [["web"], ["web/archery"], ["web/archery", "web/archery"], ["web/archery", "other/tai chi"],
              ["web/archery/1.jpg"], ["web/archery/1.jpg", "web/archery/9.jpg"], ["web/archery/1.jpg", "web/list.txt"],
              ["web/archery", "-"], ["a\0b", "web/archery"]]
)  # fmt: skip
def test_what_is_ambiguous_gives_no_query(names):
    assert queries_of_inputs(names, not_media=(".txt",)) == {}


def test_the_folder_above_is_named_as_it_would_be_typed():
    assert folder_above("web/archery") == folder_above("web/archery/1.jpg") == f"web{os.sep}"
    assert folder_above(str(Path("web/archery").absolute())) == f"{Path('web').absolute()}{os.sep}"
    assert folder_above(".") == "../"
    assert folder_above("..") == "../../"
    assert folder_above("web") == "./"
