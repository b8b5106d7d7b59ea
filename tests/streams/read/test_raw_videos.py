"""Lists of raw videos, as OmniSource released them."""

import json
from pathlib import Path

import pytest

from omnicli.errors import InputError
from omnicli.streams.read.annotations import read_annotations
from omnicli.streams.read.file_records import Rejected
from omnicli.streams.read.raw_videos import read_json_list
from omnicli.streams.record import Record

TEXT = "pref_/D32 66 10 0 1 2\npref_/-G- 254 5 3 4\npref_/T4h 33 1 0"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(text: str, **options) -> list[Record]:
    return list(read_annotations(enumerate(text.encode().split(b"\n"), 1), name="list.txt", **options))


def read_json(content: object, **options) -> list[Record]:
    return list(read_json_list(json.dumps(content).encode(), "raw.json", **options))


def message(read_list, *arguments, **options) -> str:
    with pytest.raises(InputError) as caught:
        read_list(*arguments, **options)
    return str(caught.value)


def entry(path: str, label: object, num_clips: int, *positive: int) -> dict:
    return {"video_dir": path, "label": label, "num_clips": num_clips, "positive_clip_inds": list(positive)}


def test_a_video_is_one_record_with_its_positive_clips():
    records = read(TEXT, list_format="raw-video")
    assert records[0] == {
        "id": "pref_/D32", "path": "pref_/D32", "media": "clips", "label": 66, "num_clips": 10,
        "positive_clips": [0, 1, 2],
    }  # fmt: skip
    assert [record["label"] for record in records] == [66, 254, 33]
    assert records[2].where == "list.txt:3"


def test_json_says_the_same_as_text():
    content = [entry("pref_/D32", 66, 10, 0, 1, 2), entry("pref_/-G-", [254], 5, 3, 4), entry("pref_/T4h", 33, 1, 0)]
    assert read_json(content) == read(TEXT, list_format="raw-video")


def test_every_positive_clip_can_be_a_record_of_its_video():
    assert read("v/a 3 9 7 2", list_format="raw-video", each_clip=True) == [
        {"id": f"v/a/part_{i}.mp4", "parent": "v/a", "path": f"v/a/part_{i}.mp4", "label": 3} for i in (7, 2)
    ]


def test_a_video_without_a_positive_clip_is_a_reject():
    for options in ({}, {"each_clip": True}):
        (record,) = read_json([entry("v", 3, 9)], **options)
        assert isinstance(record, Rejected)
        assert (record.reason, record["id"]) == ("no positive", "v")


def test_text_is_recognised_where_the_clips_are_there():
    for name in ("pref_/D32/part_0.mp4", "pref_/-G-/part_3.mp4"):
        Path(name).parent.mkdir(parents=True)
        Path(name).touch()
    assert [record["label"] for record in read(TEXT)] == [66, 254, 33], "never read as the frames of D32"
    Path("frames").mkdir()
    assert read("frames 120 3")[0]["media"] == "frames"


def test_text_without_its_clips_is_refused_with_the_formats_that_fit():
    assert message(read, TEXT) == (
        "list.txt:1: could be 'path label label', 'folder label num_clips positive ...' or 'folder num_frames label': "
        "'pref_/D32 66 10 0 1 2'; use --list-format raw-video, mmaction or --list-format frames"
    )


@pytest.mark.parametrize("line", ["v 3 2 2", "v 3", "v 3 9 1 1", "v -3 9 1"])
def test_numbers_that_do_not_fit_are_named(line):
    expected = "expected 'DIR label num_clips positive positive ...' with positive clips below num_clips"
    text = f"a 1 2 0\n{line}"
    assert message(read, text, list_format="raw-video") == (f"list.txt:2: 'v' {line.removeprefix('v ')}: {expected}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([{"id": "a"}], "raw.json:1: in a JSON array, an object of id; a list of raw videos has video_dir, label, "),
        ([1], "raw.json:1: in a JSON array, a number; "),
        ([entry("v", 1, 2, 0), entry("v", 3, 2, 5)], "raw.json:2: 'v' 3 2 5: expected "),
        ([entry("v", "x", 2, 0)], "raw.json:1: label, num_clips and positive_clip_inds must be whole numbers: "),
    ],
)
def test_json_of_another_kind_is_named(content, expected):
    assert message(read_json, content).startswith(expected)
