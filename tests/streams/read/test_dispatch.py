"""What each kind of file is read as."""

import gzip
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import zstandard

from omnicli.errors import InputError
from omnicli.streams.files.sniff import sniff
from omnicli.streams.read import identify
from omnicli.streams.read.dispatch import Reader
from omnicli.streams.read.file_records import Rejected
from omnicli.streams.read.line_reader import do_nothing
from omnicli.streams.read.list_options import ListOptions
from omnicli.streams.read.reader import read_records
from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter

JPEG = b"\xff\xd8\xff\xe0 image"
MP4 = b"\0\0\0\x10ftypisom\0\0\0\0"
ACTIONS6 = Path(__file__).resolve().parents[4] / "shared" / "data" / "actions6"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(*inputs: str, root=None, list_format=None, frames=False, files_from=None) -> list[Record]:
    reader = Reader(root=root, lists=ListOptions(list_format=list_format), frames=frames, on_wait=do_nothing)
    return list(reader.read_all(inputs, files_from, separator=b"\n"))


def whys(records: list[Record]) -> list[str]:
    return [record.reason if isinstance(record, Rejected) else "" for record in records]


def write(name: str, content: bytes | str = JPEG) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)


def write_tar(name: str, members: dict[str, bytes]) -> None:
    with tarfile.open(name, "w") as tar:
        for member, content in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def write_shard(folder: str) -> None:
    writer = ShardWriter(folder, stage="features", kind="features", provenance={})
    record = Record({"path": "a.mp4", "query": "x"})
    record.arrays = {"features": np.zeros((1, 2)), "times": np.zeros(1)}
    writer.add(record)
    writer.close()


def test_a_file_whose_first_bytes_raise_is_a_reject_and_the_walk_goes_on(tmp_path, monkeypatch):
    def raise_or_sniff(head):
        if head.startswith(b"poison"):
            raise IndexError("list index out of range")
        return sniff(head)

    monkeypatch.setattr(identify, "sniff", raise_or_sniff)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path.parent))  # of the log
    for name, content in (("a.txt", b"text"), ("b.jpg", b"poison"), ("c.txt", b"text")):
        (tmp_path / name).write_bytes(content)
    dropped = []
    assert list(read_records([str(tmp_path)], on_drop=lambda record, reason: dropped.append(reason))) == []
    assert dropped == [
        "unreadable: not media (text)", "internal error: IndexError: list index out of range",
        "unreadable: not media (text)",
    ]  # fmt: skip


def test_media_is_told_by_content_and_never_by_its_name():
    write("web/archery/video.jpg", MP4)
    write("web/archery/image")
    write("web/top.html")
    write("web/x.jsonl", JPEG)
    assert read("web") == [
        {"id": "web/archery/image", "path": "web/archery/image", "media": "image", "query": "archery"},
        {"id": "web/archery/video.jpg", "path": "web/archery/video.jpg", "media": "video", "query": "archery"},
        {"id": "web/top.html", "path": "web/top.html", "media": "image"},
        {"id": "web/x.jsonl", "path": "web/x.jsonl", "media": "image"},
    ]


def test_everything_else_in_a_folder_is_a_counted_reject():
    write("web/a.jpg", "<!doctype html>")
    write("web/b.txt", "notes")
    write("web/c.jpg", "")
    write("web/d.zip", "PK\x03\x04")
    Path("web/e.jpg").symlink_to("nowhere")
    os.mkfifo("web/f.jpg")
    write("web/g.json", "{}")
    Path("web/h").symlink_to("h")
    assert whys(read("web")) == [
        "unreadable: not media (HTML page)",
        "unreadable: not media (text)",
        "unreadable: empty file",
        "unreadable: not media (zip archive)",
        "unreadable: no such file",
        "unreadable: not a regular file",
        "unreadable: not media (JSON)",
        "unreadable: too many links",
    ]


def test_record_files_inside_a_folder_are_read_in_their_place():
    write("web/a.jpg")
    write("web/b.jsonl.gz", gzip.compress(b'{"id": "from gzip"}\n'))
    write("web/c.jsonl.zst", zstandard.ZstdCompressor().compress(b'{"id": "from zstd"}\n'))
    write("web/d.jsonl", "")
    write_shard("web/e")
    write_tar("web/f.tar", {"x/1.jpg": JPEG})
    write("web/g.jpg")
    found = read("web")
    assert whys(found) == [""] * 6
    assert [record["id"] for record in found] == [
        "web/a.jpg", "from gzip", "from zstd", "a.mp4", "web/f.tar#x/1.jpg", "web/g.jpg"
    ]  # fmt: skip
    assert found[3] == {"path": "web/e/00000.h5", "query": "x", "row": 0, "media": "features", "id": "a.mp4"}


def test_named_files_are_media_streams_or_rejects_by_content():
    write("a.jpg")
    write("page.jpg", "<html>")
    write("error.jpg", '{"error": 404}')
    write("gone.jpg", "404 not found")
    write("empty.jpg", "")
    write("empty.jsonl", "")
    write("empty", "")
    write("empty.tar", "")
    write("model.pth", b"PK\x03\x04")
    write("records.part1", '{"id": "r"}')
    write("records.gz", gzip.compress(b'\n{"id": "z"}'))
    names = ["a.jpg", "page.jpg", "error.jpg", "gone.jpg", "empty.jpg", "empty.jsonl", "empty", "empty.tar"]
    found = read(*names, "model.pth", "records.part1", "records.gz")
    reasons = [why.removeprefix("unreadable: ") for why in whys(found)]
    assert list(zip([record["id"] for record in found], reasons, strict=True)) == [
        ("a.jpg", ""),
        ("page.jpg", "not media (HTML page)"),
        ("error.jpg", "not media (JSON)"),
        ("gone.jpg", "not media (text)"),
        ("empty.jpg", "empty file"),
        ("empty", "empty file"),
        ("empty.tar", "empty file"),
        ("model.pth", "not media (zip archive)"),
        ("r", ""),
        ("z", ""),
    ]


def test_a_broken_link_that_is_named_is_a_reject_and_a_name_that_is_nothing_an_error():
    Path("a.jpg").symlink_to("nowhere")
    assert whys(read("a.jpg")) == ["unreadable: no such file"]
    with pytest.raises(InputError, match=r"^b\.jpg: no such file or directory$"):
        read("b.jpg")


def test_text_without_a_suffix_in_a_list_of_names_is_a_reject_not_a_list():
    write("deadbeef", "404 not found")
    write("names", "deadbeef\n")
    assert whys(read(files_from="names")) == ["unreadable: not media (text)"]
    with pytest.raises(InputError, match=r"^deadbeef:1: not a known list format: '404 not found'"):
        read("deadbeef")


def test_a_member_of_a_tar_can_be_named():
    write_tar("x.tar", {"a.jpg": JPEG, "b.jpg": b"<html>"})
    good, page, none = read("x.tar#a.jpg", "x.tar#b.jpg", "x.tar#c.jpg")
    assert good == {"id": "x.tar#a.jpg", "path": "x.tar#a.jpg", "media": "image"}
    assert whys([page, none]) == ["unreadable: not media (HTML page)", "unreadable: no such member in the tar: c.jpg"]
    write("x.tar#a.jpg", MP4)
    assert read("x.tar#a.jpg")[0]["media"] == "video", "a file that is really called so"


def test_tars_and_shards_are_known_whatever_they_are_called():
    write_tar("tarred", {"a.jpg": JPEG})
    write_shard("s")
    shutil.move("s/00000.h5", "shard")
    tarred, row = read("tarred", "shard")
    assert (tarred["id"], row["path"], row["row"]) == ("tarred#a.jpg", "shard", 0)


def test_errors_name_the_file_and_the_remedy():
    write("x.tar.gz", gzip.compress(b"x" * 2000))
    write("x.h5", "no shard")
    write("x.json", "[\n{}\n]")
    write("x.jsonl", '{"id": "a"}\n\n{"id":\n')
    for name, message in {
        "x.tar.gz": "x.tar.gz: members of a compressed tar cannot be read in place; unpack it to .tar first",
        "x.h5": "x.h5: not an HDF5 file",
        "x.json": "x.json:1: in a JSON array, an object of nothing; a list of raw videos has video_dir, label, "
        "num_clips, positive_clip_inds; of records, expected one object per line: jq -c '.[]' x.json",
        "x.jsonl": "x.jsonl:3: not JSON (input data was truncated): '{\"id\":'; expected one object per line",
    }.items():
        with pytest.raises(InputError) as caught:
            read(name)
        assert str(caught.value) == message


def test_a_folder_that_cannot_be_listed_is_an_error_when_named_and_a_reject_below(monkeypatch):
    write("web/a/1.jpg")
    real = os.scandir

    def refuse(path):
        if path.endswith(refused):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)  # tests may run as root, whom no mode stops
    refused = b"a"
    (record,) = read("web")
    assert isinstance(record, Rejected)
    assert (record["id"], record.reason) == ("web/a", "unreadable: permission denied")
    refused = b"web"
    with pytest.raises(InputError, match=r"^web: permission denied$"):
        read("web")


def test_the_root_is_taken_off_what_is_found_and_left_in_records():
    write("crawl/web/archery/1.jpg")
    write("crawl/r.jsonl", '{"path": "web/archery/1.jpg"}\n')
    write_shard("crawl/s")
    found = read("crawl/web", "crawl/r.jsonl", "./crawl/web/archery/1.jpg", "crawl/s/00000.h5", root="crawl")
    assert [record["path"] for record in found] == [
        "web/archery/1.jpg", "web/archery/1.jpg", "web/archery/1.jpg", "s/00000.h5"
    ]  # fmt: skip
    assert [record["id"] for record in found] == ["web/archery/1.jpg"] * 3 + ["a.mp4"]
    assert found[0]["query"] == "archery"


def test_ids_are_never_overwritten_and_default_to_path_and_row():
    write("r.jsonl", '{"id": "kept", "path": "x"}\n{"path": "a/../b.jpg"}\n{"path": "s.h5", "row": 3}\n{"weight": 1}\n')
    assert [record.get("id") for record in read("r.jsonl")] == ["kept", "b.jpg", "s.h5#3", None]


def test_lines_keep_their_numbers_over_blank_ones():
    write("r.jsonl", b'\xef\xbb\xbf{"id": "a"}\r\n\r\n  \n{"id": "b"}')
    assert [record.where for record in read("r.jsonl")] == ["r.jsonl:1", "r.jsonl:4"]


def test_lists_are_recognised_among_inputs_and_can_be_forced():
    write("train.txt", "a b/1.mp4 3\nc.mp4 4\n")
    assert [(record["path"], record["label"]) for record in read("train.txt")] == [("a b/1.mp4", 3), ("c.mp4", 4)]
    write("years.txt", "[2019] a.mp4 3\n[x] b.mp4 4\n")
    assert [record["path"] for record in read("years.txt")] == ["[2019] a.mp4", "[x] b.mp4"]
    write("list", "a/b 120 3\n")
    (record,) = read("list", list_format="frames")
    assert (record["media"], record["num_frames"], record["label"]) == ("frames", 120, 3)


def test_folders_of_frames_are_one_record():
    for i in range(3):
        write(f"rgb/archery/v1/img_{i}.jpg")
    (record,) = read("rgb", frames=True)
    path = "rgb/archery/v1"
    assert record == {"id": path, "path": path, "media": "frames", "query": "archery", "num_frames": 3}


@pytest.mark.skipif(not ACTIONS6.exists(), reason="the shared real media are absent")
def test_a_real_crawl_is_read_whole():
    images = read(str(ACTIONS6 / "web" / "image"))
    videos = read(str(ACTIONS6 / "web" / "video"))
    for records, kind in ((images, "image"), (videos, "video")):
        files = [path for path in (ACTIONS6 / "web" / kind).rglob("*") if path.is_file()]
        assert len(records) == len(files) > 50
        assert {record["media"] for record in records} == {kind}
    found = images + videos
    assert all(record["query"] == record["path"].split("/")[-2] for record in found)
    assert {why for why in whys(read(str(ACTIONS6 / "web" / "junk"))) if why} == {
        "unreadable: not media (a Git LFS pointer: fetch the file with git lfs pull)", "unreadable: empty file",
        "unreadable: not media (HTML page)",
    }  # fmt: skip


def test_inputs_that_a_shell_has_expanded_keep_their_queries():
    for name in ("web/archery/1", "web/archery/2", "web/surfing/3", "web/deep/x/4", "web/deep/5"):
        write(name, JPEG)

    def queries(*inputs: str) -> list[str | None]:
        return [record.get("query") for record in read(*inputs)]

    assert queries("web") == ["archery", "archery", "deep", "x", "surfing"]
    assert queries("web/archery", "web/deep", "web/surfing/") == ["archery", "archery", None, "x", "surfing"]
    assert queries("web/archery/1", "web/archery/2", "web/surfing/3") == ["archery", "archery", "surfing"]
    assert queries("web/archery") == queries("web/archery/1", "web/archery/2") == [None, None]


def test_a_reject_without_a_path_is_one_again_and_any_other_a_record():
    lines = [
        {"id": "a", "reason": "unreadable: name is not UTF-8"},
        {"id": "b", "path": "b.jpg", "reason": "unreadable: no such file"},
        {"id": "c", "reason": "no class"},
        {"id": "d"},
    ]
    write("left.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    found = read("left.jsonl")
    assert whys(found) == ["unreadable: name is not UTF-8", "", "", ""]
    assert [record["id"] for record in found] == ["a", "b", "c", "d"]
    assert found[0].where == "left.jsonl:1"


def test_a_file_in_a_folder_that_is_not_what_its_name_says_is_one_reject():
    Path("crawl").mkdir()
    for name in ("a.tar", "b.h5", "c.jsonl.gz", "d.jsonl.zst", "e.csv"):
        write(f"crawl/{name}", "<html>no such page</html>")
    write("crawl/f.jsonl", '{"id": "kept"}\nrubbish\n{"id": "lost"}\n')
    write("crawl/g.jsonl", '{"id": "last"}\n')
    found = read("crawl")
    assert [record["id"] for record in found if type(record) is Record] == ["kept", "last"]
    reasons = {record["id"]: record.reason for record in found if isinstance(record, Rejected)}
    assert [name[6] for name in reasons] == list("abcdef")
    assert reasons["crawl/a.tar"] == "unreadable: not a tar (HTML page)"
    assert reasons["crawl/b.h5"] == "unreadable: not an HDF5 file"
    assert reasons["crawl/f.jsonl"].startswith("unreadable: line 2: not JSON")
    write("list", "crawl/b.h5\ncrawl/g.jsonl\n")
    assert [record["id"] for record in read(files_from="list")] == ["crawl/b.h5", "last"]
    assert whys(read("crawl/a.tar")) == ["unreadable: not a tar (HTML page)"]


def test_a_web_page_named_as_a_tar_from_the_field_is_one_reject():
    path = Path(__file__).resolve().parents[4] / "shared" / "cases" / "media" / "html_named.tar"
    if not path.exists():
        pytest.skip("no ../shared/cases")
    assert whys(read(str(path))) == ["unreadable: not a tar (HTML page)"]


def test_pointers_of_git_lfs_are_named():
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    for name in ("a.jsonl", "a.csv", "a.txt", "a.h5", "a.tar"):
        write(name, pointer)
        with pytest.raises(InputError, match=f"^{name}: a Git LFS pointer: fetch the file with git lfs pull"):
            read(name)
    write("a.jpg", pointer)
    assert whys(read("a.jpg")) == ["unreadable: not media (a Git LFS pointer: fetch the file with git lfs pull)"]


def test_a_list_may_name_no_device_and_no_fifo():
    os.mkfifo("fifo")
    write("names", "/dev/zero\nfifo\n")
    assert whys(read(files_from="names")) == ["unreadable: not a regular file"] * 2


def test_json_of_raw_videos_is_a_list():
    entry = '{"video_dir": "v", "label": 3, "num_clips": 9, "positive_clip_inds": [7]}'
    write("raw.json", f"[{entry},\n {entry}]")
    assert [record["positive_clips"] for record in read("raw.json")] == [[7], [7]]


@pytest.mark.parametrize("text", ['{"17": 0, "3": 1}', '{"-3B32lodo2M": {"annotations": {"label": "x"}}}'])
def test_json_of_another_program_is_no_record(text):
    write("k400.json", text)
    with pytest.raises(
        InputError, match=r"k400\.json:1: a JSON object of \d keys such as '.*', not a record; a class map"
    ):
        read("k400.json")
    write("k400.json", '{\n  "database": {}\n}')
    with pytest.raises(
        InputError, match=r"k400\.json:1: a JSON object over several lines; expected one record per line"
    ):
        read("k400.json")
    write("web.json", '{"path": "a.jpg", "17": 0}')
    assert read("web.json")[0]["path"] == "a.jpg"
