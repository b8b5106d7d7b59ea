"""CSV lists of Kinetics."""

from pathlib import Path

import pytest

from omnicli.errors import InputError
from omnicli.streams.files import remote
from omnicli.streams.files.urls import allow_typed
from omnicli.streams.read.annotations import read_annotations
from omnicli.streams.read.file_records import Rejected
from omnicli.streams.record import Record


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(text: str, *, name: str = "list.txt", root=None, **options) -> list[Record]:
    lines = enumerate(text.encode().split(b"\n"), 1)
    return list(read_annotations(lines, name=name, root=root, **options))


def message(text: str, **options) -> str:
    with pytest.raises(InputError) as caught:
        read(text, **options)
    return str(caught.value)


KINETICS = "label,youtube_id,time_start,time_end,split\n"


@pytest.mark.parametrize("name", ["-3B32lodo2M_000059_000069.mp4", "air drumming/-3B32lodo2M_000059_000069.mkv",
                                   "air_drumming/-3B32lodo2M_000059_000069.mp4"])  # fmt: skip
def test_kinetics_videos_are_found_below_the_root_or_beside_the_list(name):
    row = KINETICS + '"air drumming",-3B32lodo2M,59,69,train\n'
    Path("data", name).parent.mkdir(parents=True)
    Path("data", name).touch()
    (record,) = read(row, root="data", name="lists/train.csv")
    fields = {"youtube_id": "-3B32lodo2M", "split": "train", "class_name": "air drumming"}
    assert record == {"id": name, "path": name, **fields}
    (record,) = read(row, name="data/train.csv")
    assert record == {"id": f"data/{name}", "path": f"data/{name}", **fields}
    assert record.where == "data/train.csv:2"


def test_kinetics_videos_are_found_on_a_remote_store(tmp_path):
    url = f"memory://{tmp_path.name}"
    allow_typed(["memory://"])
    Path("x.mp4").write_bytes(b"x")
    remote.upload("x.mp4", f"{url}/data/air drumming/abc_000000_000010.mkv")
    text = KINETICS + "air drumming,abc,0,10,train\nair drumming,xyz,0,10,train\n"
    try:
        for options in ({"root": f"{url}/data", "name": f"{url}/lists/train.csv"}, {"name": f"{url}/data/train.csv"}):
            found, missing = read(text, **options)
            top = "" if "root" in options else f"{url}/data/"
            assert found["path"] == f"{top}air drumming/abc_000000_000010.mkv"
            assert type(missing) is Rejected and missing["path"] == f"{top}xyz_000000_000010.mp4"
    finally:
        allow_typed([])
    with pytest.raises(InputError, match=r"memory://.* is not opened"):
        read(text, root=url)


def test_a_kinetics_video_that_was_never_downloaded_is_a_reject():
    (record,) = read(KINETICS + '"pet, the cat",abc,0,10,val', root="data")
    assert type(record) is Rejected
    assert record.reason == "unreadable: no such file"
    assert record["class_name"] == "pet, the cat"
    assert record["path"] == "abc_000000_000010.mp4"


def test_a_time_without_end_is_no_second():
    assert message(KINETICS + "x,abc,0,inf,train").startswith("list.txt:2: time_start and time_end must be seconds")


def test_kinetics_test_lists_have_no_label():
    (record,) = read("youtube_id,time_start,time_end,split\nabc,1,11,test")
    assert "class_name" not in record


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (KINETICS + "a,b,c", "list.txt:2: expected 5 columns, got 3: 'a,b,c'"),
        (KINETICS + "a,b,c,d,e", "list.txt:2: time_start and time_end must be seconds: 'a,b,c,d,e'"),
        ("label,youtube_id\n", "list.txt:1: no column time_end, time_start; has label, youtube_id"),
    ],
)
def test_bad_kinetics_lines_are_named(text, expected):
    assert message(text) == expected


def test_one_part_of_a_list_of_several():
    text = KINETICS + "a,x,0,10,train\nb,y,0,10,validate\nb,z,0,10,test"
    assert [record["youtube_id"] for record in read(text, split="val")] == ["y"]
    assert [record["youtube_id"] for record in read(text, split="train")] == ["x"]
    assert len(read(text)) == 3
    without = "label,youtube_id,time_start,time_end\na,x,0,10"
    assert message(without, split="val") == ("list.txt:1: no column split; has label, youtube_id, time_start, time_end")


def test_raw_videos_are_whole_with_the_labelled_seconds():
    Path("raw/air drumming").mkdir(parents=True)
    Path("raw/air drumming/abc.webm").touch()
    (record,) = read(KINETICS + "air drumming,abc,59,69,train", root="raw", raw_videos=True)
    path = "air drumming/abc.webm"
    assert record == {
        "id": path, "path": path, "youtube_id": "abc", "split": "train", "class_name": "air drumming",
        "labelled_sec": [59.0, 69.0],
    }  # fmt: skip
    assert "does not say where labels begin and end" in message("a.mp4 1\nb.mp4 2", raw_videos=True)
