"""Ids and paths."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.streams.files.media_files import media_path
from omnicli.streams.read.file_records import (
    Rejected,
    escaped_name,
    file_fields,
    record_path,
    unreadable_before,
    unreadable_file,
)
from omnicli.streams.record import parse_record


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("web/a.jpg", None, "web/a.jpg"),
        ("./web//a.jpg", None, "web//a.jpg"),
        ("../a.jpg", None, "../a.jpg"),
        (".hidden.jpg", None, ".hidden.jpg"),
        ("./.hidden.jpg", None, ".hidden.jpg"),
        (".", None, "."),
        ("/data/a.jpg", None, "/data/a.jpg"),
        ("crawl/web/a.jpg", "crawl", "web/a.jpg"),
        ("./crawl/web/a.jpg", "crawl/", "web/a.jpg"),
        ("crawl/x/../a.jpg", "crawl", "a.jpg"),
        ("/data/web/a.jpg", "/data", "web/a.jpg"),
        ("/data/a.jpg", "/", "data/a.jpg"),
        ("/database/a.jpg", "/data", "/database/a.jpg"),
    ],
)
def test_paths_start_at_the_root(path, root, expected):
    assert record_path(path, root) == expected


def test_a_file_outside_the_root_gets_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert record_path("other/a.jpg", "crawl") == str(tmp_path / "other" / "a.jpg")


@given(
    parts=st.lists(st.sampled_from(["a", "b", "..", ".", "c d"]), min_size=1),
    root=st.sampled_from([None, "a", "/", "."]),
)
def test_root_and_path_together_name_the_same_file_again(parts, root):
    path = "/".join([*parts, "x.jpg"])
    assert os.path.abspath(media_path(file_fields(path, root), root)) == os.path.abspath(path)  # noqa: PTH100


def test_names_that_are_not_utf8_are_shown():
    assert escaped_name("é\n.jpg") is None
    assert escaped_name(b"caf\xe9.jpg") == r"caf\xe9.jpg"
    assert escaped_name(os.fsdecode(b"caf\xe9.jpg")) == r"caf\xe9.jpg"


def test_a_reject_carries_its_reason_and_any_fields():
    record = unreadable_file("empty file", {"id": "a", "why": 1, "origin": 2}, origin="x.tar")
    assert type(record) is Rejected
    assert record.reason == "unreadable: empty file"
    assert record == {"id": "a", "why": 1, "origin": 2}
    assert record.where == "x.tar"


def test_what_was_unreadable_leaves_with_the_same_words():
    line = b'{"id":"a","reason":"unreadable: empty file"}'
    rejected = unreadable_before(parse_record(line, origin="left.jsonl", line_number=7))
    assert (type(rejected), rejected, rejected.reason) == (Rejected, {"id": "a"}, "unreadable: empty file")
    assert rejected.where == "left.jsonl:7"
