"""Split files of HMDB51: their numbers are parts of the split, never labels."""

from pathlib import Path

import pytest

from omnicli.errors import InputError
from omnicli.streams.read.annotations import read_annotations
from omnicli.streams.record import Record

SPLIT = "brush_hair_test_split1.txt"
LINES = (
    "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1 \nbrush_f_cm_np2_le_med_1.avi 2\nspaced (x)_h_cm_np1_fr_bad_2.avi 0"
)


def read(text: str, *, name: str = SPLIT, **options) -> list[Record]:
    return list(read_annotations(enumerate(text.encode().split(b"\n"), 1), name=name, **options))


def message(text: str, **options) -> str:
    with pytest.raises(InputError) as caught:
        read(text, **options)
    return str(caught.value)


def test_each_part_has_its_videos_with_the_class_of_the_file():
    path = "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi"
    (record,) = read(LINES, split="train", name=f"splits/{SPLIT}")
    assert record == {"id": path, "path": path, "class_name": "brush_hair"}
    assert record.where == f"splits/{SPLIT}:1"
    assert [record["path"] for record in read(LINES, split="test")] == ["brush_hair/brush_f_cm_np2_le_med_1.avi"]


def test_flags_are_never_read_as_labels():
    expected = (
        f"{SPLIT}: an HMDB51 split file: its numbers mean train (1), test (2), unused (0) and are not labels; "
        "give omni index --split train or --split test"
    )
    assert message(LINES) == expected
    assert message("any name.avi 1\nother.avi 2") == expected, "the name of the file is enough"
    assert "has no 'val' videos" in message(LINES, split="val")
    assert "HMDB51" in message(LINES, name="renamed.txt"), "the names of the videos are enough"
    assert "CLASS_test_splitN.txt" in message(LINES, name="renamed.txt", split="train")


def test_lists_that_only_resemble_split_files_keep_their_labels():
    assert [record["label"] for record in read("a.avi 1\nb.avi 2", name="train.txt")] == [1, 2]
    assert [record["label"] for record in read("a.avi 1\nb.avi 7", name=SPLIT)] == [1, 7]


def test_a_line_of_another_form_is_named():
    assert message(LINES + "\nx.mp4 1", split="train", list_format="hmdb51") == (
        f"{SPLIT}:4: expected 'VIDEO.avi' and 0, 1 or 2, got 'x.mp4 1'"
    )


def test_a_list_of_one_part_has_no_split():
    assert message("a.mp4 1\nb.mp4 3", name="l.txt", split="train") == (
        "l.txt: --split train: a list of the form mmaction is of one part; remove --split"
    )
    assert Path(SPLIT).name == SPLIT
