"""Options of annotation lists: where their paths start, and that nothing else takes them."""

import pytest

from omnicli.errors import UsageError
from omnicli.streams.read.list_options import ListOptions
from omnicli.streams.read.reader import read_records


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of two lists, whose paths start from folders of their own below one root."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("x/1.mp4 0\n")
    (tmp_path / "raw.txt").write_text("v/one 3 0 2\nv/two 3 0 1\n")
    (tmp_path / "raw.json").write_text(
        '[{"video_dir": "v/one", "label": 3, "num_clips": 4, "positive_clip_inds": [2]}]'
    )
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 image")
    (tmp_path / "a.jsonl").write_text('{"id": "a", "path": "a.mp4"}\n')
    return tmp_path


def read(name, root=None, **options):
    return list(read_records([name], root=root, lists=ListOptions(**options), on_drop=pytest.fail))


def test_data_prefix_is_part_of_path_id_and_parent(data):
    (record,) = read("a.txt", data_prefix="train", root=str(data))
    assert (record["path"], record["id"]) == ("train/x/1.mp4", "train/x/1.mp4")
    (record,) = read("raw.json", data_prefix="raw/")
    assert (record["path"], record["positive_clips"]) == ("raw/v/one", [2])
    (record,) = read("raw.json", data_prefix="raw", each_clip=True)
    assert (record["path"], record["parent"]) == ("raw/v/one/part_2.mp4", "raw/v/one")


def test_paths_with_numbers_are_looked_up_below_the_prefix(data):
    """``holiday 2019 3``: the file decides what is path and what is label."""
    (data / "root" / "train").mkdir(parents=True)
    (data / "root" / "train" / "holiday 2019").touch()
    (data / "b.txt").write_text("holiday 2019 3\n")
    (record,) = read("b.txt", data_prefix="train", root="root", list_format="mmaction")
    assert (record["path"], record["label"]) == ("train/holiday 2019", 3)


@pytest.mark.parametrize("name", ["photos", "photos/a.jpg", "a.jsonl"])
@pytest.mark.parametrize(
    ("option", "given"), [("--data-prefix", {"data_prefix": "x"}), ("--split", {"split": "train"}),
                          ("--each-clip", {"each_clip": True})],
)  # fmt: skip
def test_other_inputs_refuse_them(data, name, option, given):
    with pytest.raises(UsageError, match=f"{option} is for annotation lists, and {name} is not one"):
        read(name, **given)
