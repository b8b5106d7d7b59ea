"""INPUTs whose records are read twice."""

import json

import pytest

from omnicli.streams.read.reader import read_records
from omnicli.streams.read.repeated import warn_of_repeated

TWICE = "its records are read twice, with the same IDs"


def said(*names):
    lines = []
    warn_of_repeated(names, lines.append)
    return lines


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["web", "web/a"], f"warning: web/a is below web: {TWICE}"),
        (["web/a/", "./web"], f"warning: web/a/ is below ./web: {TWICE}"),
        (["web/a/b/x.jpg", "web"], f"warning: web/a/b/x.jpg is below web: {TWICE}"),
        (["a.jsonl", "./a.jsonl"], f"warning: ./a.jsonl is given twice: {TWICE}"),
        (["s3://b/web", "s3://b/web/a"], f"warning: s3://b/web/a is below s3://b/web: {TWICE}"),
        ([".", "a", "b"], f"warning: a is below .: {TWICE}, and so are those of 1 more INPUTs"),
    ],
)
def test_inputs_below_others_are_one_warning(names, line):
    assert said(*names) == [line]


def test_neighbours_and_what_a_folder_leaves_out_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "web/.cache").mkdir(parents=True)
    for name in ("web/x.jsonl", "web/.cache/y.jsonl"):
        (tmp_path / name).write_text(json.dumps({"path": name}) + "\n")
    (tmp_path / "web/list.txt").write_text("z.mp4 0\n")
    names = ["web", "web/.cache", "web/list.txt"]
    assert said(*names, "webs", "-", "-") == []
    ids = [record["id"] for record in read_records(names, on_drop=lambda record, reason: None)]
    assert len(ids) == len(set(ids)) == 3  # indeed nothing is read twice
