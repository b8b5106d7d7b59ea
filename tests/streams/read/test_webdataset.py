"""Records of WebDataset tars."""

import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from omnicli.streams.files.media_files import read_bytes
from omnicli.streams.read.file_records import Rejected
from omnicli.streams.read.webdataset import read_tar
from omnicli.streams.record import Record

JPEG = b"\xff\xd8\xff\xe0 image"
PNG = b"\x89PNG\r\n\x1a\n image"
MP4 = b"\0\0\0\x10ftypisom\0\0\0\0"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_tar(members: list[tuple[str, bytes]], name: str = "x.tar") -> None:
    with tarfile.open(name, "w") as tar:
        for member, content in members:
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def read(members: list[tuple[str, bytes]]) -> list[Record]:
    write_tar(members)
    return list(read_tar("x.tar", root=None))


def test_members_of_one_key_are_one_record_as_img2dataset_writes_them():
    sidecar = {
        "url": "http://x/1",
        "caption": "café",
        "key": "000000001",
        "status": "success",
        "sha256": "ab",
        "n": None,
    }
    (record,) = read(
        [("000000001.jpg", JPEG), ("000000001.json", json.dumps(sidecar).encode()), ("000000001.txt", b"other")]
    )
    assert record.where == "x.tar"
    assert record == {"id": "x.tar#000000001.jpg", "path": "x.tar#000000001.jpg", "media": "image", **sidecar}
    assert read_bytes(record["path"]) == JPEG


def test_text_becomes_the_caption_in_whatever_order_the_members_lie():
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        members = [("1.jpg", JPEG), ("1.txt", b"a cat\n"), ("1.json", b'{"url": "u"}')]
        (record,) = read([members[i] for i in order])
        assert (record["caption"], record["url"]) == ("a cat", "u")


def test_a_class_number_becomes_the_label_unless_the_json_has_one():
    (record,) = read([("1.jpg", JPEG), ("1.cls", b"3\n")])
    assert record["label"] == 3
    (record,) = read([("1.cls", b"3"), ("1.jpg", JPEG), ("1.json", b'{"label": 4}')])
    assert record["label"] == 4
    (record,) = read([("1.jpg", JPEG), ("1.cls", b"archery"), ("1.json", b'{"fps": "x"}')])
    assert (record.get("label"), record["sidecar"]) == (None, {"cls": "archery", "fps": "x"})


def test_equal_names_in_different_folders_are_different_records_and_the_folder_is_the_query():
    records = read([("archery/1.jpg", JPEG), ("surfing/1.jpg", PNG), ("a.b/c d/1.jpg", JPEG), ("2.jpg", JPEG)])
    assert [record.get("query") for record in records] == ["archery", "surfing", "c d", None]
    assert [record["id"] for record in records] == [
        "x.tar#archery/1.jpg", "x.tar#surfing/1.jpg", "x.tar#a.b/c d/1.jpg", "x.tar#2.jpg"
    ]  # fmt: skip


def test_sidecars_of_equal_names_in_different_folders_stay_apart():
    members = [("a/1.jpg", JPEG), ("a/1.json", b'{"url": "a"}'), ("b/1.json", b'{"url": "b"}'), ("b/1.jpg", JPEG)]
    assert [record["url"] for record in read(members)] == ["a", "b"]


def test_the_sidecar_keeps_its_id_and_query_but_never_the_path():
    sidecar = b'{"id": "yt-1", "query": "q", "path": "lost.jpg", "media": "video", "origin": "o", "why": "w"}'
    (record,) = read([("a/1.jpg", JPEG), ("a/1.json", sidecar)])
    assert record == {
        "id": "yt-1", "path": "x.tar#a/1.jpg", "media": "image", "query": "q", "origin": "o", "why": "w"
    }  # fmt: skip
    (record,) = read([("a/1.jpg", JPEG), ("a/1.json", b'{"id": null, "query": null}')])
    assert (record["id"], record["query"]) == ("x.tar#a/1.jpg", "a")


def test_media_is_told_by_content_and_other_members_are_passed_over():
    records = read([("1.gif", MP4), ("1.npy", b"\x93NUMPY"), ("1.cls", b"3")])
    assert [(record["media"], record["path"]) for record in records] == [("video", "x.tar#1.gif")]


def test_two_media_of_one_key_are_two_records_with_the_same_sidecar():
    records = read([("v.g01.avi", MP4), ("v.g02.avi", MP4), ("v.json", b'{"url": "u"}')])
    assert [record["path"] for record in records] == ["x.tar#v.g01.avi", "x.tar#v.g02.avi"]
    assert [record["url"] for record in records] == ["u", "u"]


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([("1.jpg", b"<html>")], "unreadable: not media (HTML page)"),
        ([("1.jpg", b"")], "unreadable: empty file"),
        ([("1.json", b"{}")], "unreadable: no media member"),
        ([("1.npy", b"\x93NUMPY"), ("1.txt", b"x")], "unreadable: not media (NumPy array)"),
        ([("._1.jpg", b"\0\x05\x16\x07")], "unreadable: not media (AppleDouble)"),
        ([("caf\udce9.jpg", JPEG)], "unreadable: name is not UTF-8"),
    ],
)
def test_what_is_no_media_is_a_counted_reject(members, why):
    if "\udce9" in members[0][0]:
        with tarfile.open("x.tar", "w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape") as tar:
            info = tarfile.TarInfo(members[0][0])
            info.size = len(JPEG)
            tar.addfile(info, io.BytesIO(JPEG))
        (record,) = read_tar("x.tar", root=None)
        assert record["id"] == r"x.tar#caf\xe9.jpg"
    else:
        (record,) = read(members)
    assert isinstance(record, Rejected)
    assert record.reason == why


def test_hidden_members_are_members():
    (first, second) = read([(".a.jpg", JPEG), (".b.jpg", JPEG)])
    assert (first["path"], second["path"]) == ("x.tar#.a.jpg", "x.tar#.b.jpg")


def test_a_cut_tar_gives_the_good_records_and_one_reject(tmp_path):
    write_tar([("1.jpg", JPEG), ("2.jpg", JPEG * 100)])
    raw = Path("x.tar").read_bytes()
    Path("x.tar").write_bytes(raw[: 3 * 512 + 100])
    good, bad = read_tar("x.tar", root=None)
    assert good["id"] == "x.tar#1.jpg"
    assert isinstance(bad, Rejected)
    assert (bad["id"], bad.reason) == ("x.tar#2.jpg", "unreadable: truncated tar member")


def test_a_record_whose_sidecar_is_cut_is_a_reject(tmp_path):
    write_tar([("1.jpg", JPEG), ("1.json", b'{"caption": "%s"}' % (b"x" * 900))])
    raw = Path("x.tar").read_bytes()
    Path("x.tar").write_bytes(raw[: 3 * 512 + 100])
    (bad,) = read_tar("x.tar", root=None)
    assert isinstance(bad, Rejected)
    assert (bad["id"], bad.reason) == ("x.tar#1.jpg", "unreadable: truncated tar member")


@pytest.mark.parametrize(
    ("sidecar", "reason"),
    [
        (b"{", r"unreadable: 1\.json:1: not JSON \(input data was truncated\)"),
        (b"<html>", r"unreadable: 1\.json:1: not JSON"),
        (b'{"a": nan}', r"unreadable: 1\.json:1: not JSON"),
        (b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", r"unreadable: 1\.json:1: nested too deeply"),
    ],
)
def test_a_sidecar_that_is_no_json_rejects_its_sample_and_no_other(sidecar, reason):
    bad, good = read([("1.jpg", JPEG), ("1.json", sidecar), ("2.jpg", JPEG), ("2.json", b'{"url": "u"}')])
    assert isinstance(bad, Rejected)
    assert re.match(reason, bad.reason)
    assert bad["path"] == "x.tar#1.jpg"
    assert (type(good), good["url"]) == (Record, "u")


def test_nan_and_fields_of_other_types_leave_the_sample_as_it_is():
    found = read(
        [("1.jpg", JPEG), ("1.json", b'{"key": "1", "score": NaN}'), ("2.jpg", JPEG), ("2.json", b'{"label": "cat"}')]
    )
    assert [type(record) for record in found] == [Record, Record]
    assert (found[0]["key"], found[0]["score"]) == ("1", None)
    assert "label" not in found[1]
    assert found[1]["sidecar"] == {"label": "cat"}


@pytest.mark.parametrize("name", ["sidecar_nan.tar", "sidecar_label_text.tar"])
def test_a_tar_from_the_field_keeps_all_its_samples(name):
    path = Path(__file__).resolve().parents[4] / "shared" / "cases" / "media" / name
    if not path.exists():
        pytest.skip("no ../shared/cases")
    found = list(read_tar(str(path), root=None))
    assert [type(record) for record in found] == [Record, Record]


def test_the_rest_of_a_damaged_tar_is_one_reject():
    write_tar([("1.jpg", JPEG), ("2.jpg", JPEG), ("3.jpg", JPEG)])
    content = bytearray(Path("x.tar").read_bytes())
    content[1024 + 3] ^= 0xFF  # the second header
    Path("x.tar").write_bytes(content)
    kept, rest = read_tar("x.tar", root=None)
    assert kept["path"] == "x.tar#1.jpg"
    assert rest["path"] == "x.tar"
    assert isinstance(rest, Rejected)
    assert rest.reason.startswith("unreadable: damaged tar: no member header at byte 1,024")
    assert read_bytes("x.tar#1.jpg") == JPEG


def test_the_root_is_taken_off():
    write_tar([("a/1.jpg", JPEG)])
    Path("crawl").mkdir()
    Path("x.tar").rename("crawl/x.tar")
    (record,) = read_tar("crawl/x.tar", root="crawl")
    assert (record["id"], record["path"]) == ("x.tar#a/1.jpg", "x.tar#a/1.jpg")
