"""Annotation lists of other tools."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import InputError
from omnicli.streams.files import remote
from omnicli.streams.files.urls import allow_typed
from omnicli.streams.read.annotations import read_annotations
from omnicli.streams.record import Record

UCF = "v_Archery_g01_c01.avi"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(text: str, *, name: str = "list.txt", list_format=None, root=None) -> list[Record]:
    lines = enumerate(text.encode().split(b"\n"), 1)
    return list(read_annotations(lines, name=name, list_format=list_format, root=root))


def message(text: str, **options) -> str:
    with pytest.raises(InputError) as caught:
        read(text, **options)
    return str(caught.value)


WORDS = st.text("abé_. 7", min_size=1, max_size=12).map(str.strip).filter(bool)


@given(st.lists(st.tuples(WORDS, st.integers(0, 700)), min_size=1))
def test_paths_with_spaces_and_numbers_keep_them_and_the_last_token_is_the_label(rows):
    text = "\n".join(f"{' '.join(name.split())} x.mp4 {label}" for name, label in rows)
    records = read(text)
    assert [(record["path"], record["label"]) for record in records] == [
        (f"{' '.join(name.split())} x.mp4", label) for name, label in rows
    ]


def test_several_labels_are_a_list():
    assert [record["label"] for record in read("a.mp4 3 7\nb.mp4 2\n\n./c.mp4\t0 1 2")] == [[3, 7], 2, [0, 1, 2]]
    assert read("a.mp4 3\n\n./c.mp4\t0")[1] == {"id": "c.mp4", "path": "./c.mp4", "label": 0}
    assert read("a.mp4 3\n\n./c.mp4\t0")[1].where == "list.txt:3"


def test_folder_count_label_is_recognised_where_the_folder_is_there():
    Path("rgb/v 1").mkdir(parents=True)
    for root, path in ((None, "rgb/v 1"), ("rgb", "v 1")):
        (record,) = read(f"{path} 120 3", root=root)
        assert record == {"id": path, "path": path, "media": "frames", "label": 3, "num_frames": 120}
    assert read("v 120 3 4", list_format="frames")[0]["label"] == [3, 4]


def test_a_path_that_ends_in_a_number_is_believed_where_it_is_there():
    Path("holiday 2019").touch()
    (record,) = read("holiday 2019 3", list_format="mmaction")
    assert (record["path"], record["label"]) == ("holiday 2019", 3)
    (record,) = read("elsewhere 2019 3", list_format="mmaction")
    assert (record["path"], record["label"]) == ("elsewhere", [2019, 3])


def test_two_numbers_after_a_path_without_suffix_are_ambiguous():
    assert message("clip_1 120 3\nclip_2 90 4") == (
        "list.txt:1: could be 'path label label' or 'folder num_frames label': 'clip_1 120 3'; "
        "use --list-format mmaction or --list-format frames"
    )


def test_ucf101_counts_from_one_in_the_order_of_class_ind():
    Path("classInd.txt").write_text("1 ApplyEyeMakeup\r\n2 Archery\r\n")
    (record,) = read(f"Archery/{UCF} 2\r")
    assert record == {"id": f"Archery/{UCF}", "path": f"Archery/{UCF}", "class_name": "Archery", "label": 1}
    (record,) = read(f"Archery/{UCF}")
    assert record["label"] == 1, "test lists carry no number"


def test_the_class_ind_beside_a_remote_list_is_read(tmp_path):
    url = f"memory://{tmp_path.name}"
    allow_typed(["memory://"])
    Path("classInd.txt").write_text("1 ApplyEyeMakeup\n2 Archery\n")
    remote.upload("classInd.txt", f"{url}/classInd.txt")
    Path("classInd.txt").unlink()
    try:
        assert read(f"Archery/{UCF} 2", name=f"{url}/trainlist01.txt")[0]["label"] == 1
    finally:
        allow_typed([])


def test_lists_with_offsets_are_refused_where_they_show():
    assert read("v 0 3", list_format="frames")[0]["num_frames"] == 0
    assert "list.txt:1: a folder of 0 frames with 2 labels: lists with offsets" in message(
        "v 0 120 3", list_format="frames"
    )


def test_mmaction_lists_of_ucf101_count_from_zero():
    Path("classInd.txt").write_text("1 ApplyEyeMakeup\n2 Archery\n")
    assert read(f"Archery/{UCF} 1") == [{"id": f"Archery/{UCF}", "path": f"Archery/{UCF}", "label": 1}]
    Path("classInd.txt").unlink()
    assert [record["label"] for record in read(f"ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 0\nArchery/{UCF} 1")] == [
        0,
        1,
    ]


def test_ucf101_numbers_without_class_ind_are_ambiguous_but_test_lists_are_not():
    assert message(f"Archery/{UCF} 2") == (
        "list.txt:1: labels may count from 1 (UCF101) or from 0 (mmaction); put classInd.txt beside the list, "
        "or use --list-format ucf101 or --list-format mmaction"
    )
    assert read(f"Archery/{UCF} 2", list_format="ucf101")[0]["label"] == 1
    assert read(f"Archery/{UCF} 2", list_format="mmaction")[0]["label"] == 2
    assert read(f"Archery/{UCF}")[0]["class_name"] == "Archery"


def test_a_ucf101_number_that_contradicts_the_class_is_an_error_at_its_line():
    Path("classInd.txt").write_text("1 ApplyEyeMakeup\n2 Archery\n")
    text = f"Archery/{UCF} 2\n" * 300 + f"Archery/{UCF} 1"
    assert message(text) == "list.txt:301: class number 1 of 'Archery', expected 2 (UCF101 counts from 1)"
    assert "not in classInd.txt" in message(f"Rowing/{UCF} 2", list_format="ucf101")
    Path("classInd.txt").write_text("0 ApplyEyeMakeup\n")
    assert message(f"Archery/{UCF} 2") == "classInd.txt:1: expected '1 ClassName', got '0 ApplyEyeMakeup'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.mp4 3\nb.mp4", "list.txt:2: not a known list format: 'b.mp4'; expected"),
        ("a.mp4 3\n" * 300 + "b.mp4 x", "list.txt:301: expected 'path label', got 'b.mp4 x'"),
        ("a.mp4 -1", "list.txt:1: label -1 is negative: 'a.mp4 -1'"),
        ("just words", "list.txt:1: not a known list format: 'just words'"),
    ],
)
def test_a_bad_line_is_named_wherever_it_is(text, expected):
    assert message(text).startswith(expected)


def test_lines_that_are_not_utf8_are_named():
    with pytest.raises(InputError, match=r"^x:1: not UTF-8: b'caf"):
        list(read_annotations([(1, b"caf\xe9.mp4 3")], name="x"))


def test_an_empty_list_is_an_empty_stream():
    assert read("\n  \n") == []
