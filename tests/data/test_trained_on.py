"""What a checkpoint remembers of its training data."""

import json
import shutil

import pytest

from omnicli.data import trained_on
from omnicli.data.overlap import Identity
from omnicli.data.trained_on import TrainedOn
from omnicli.streams.record import Record


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        (tmp_path / f"{name}.mp4").write_bytes(name.encode() * 9)


def remembered(*rows: dict) -> TrainedOn:
    records = [Record({"id": row.get("path"), **row}) for row in rows]
    made = TrainedOn.of(records[:1], records[1:], root=None, workers=2)
    read = TrainedOn.from_meta({"trained_on": json.loads(json.dumps(made.to_meta()))})
    assert read is not None
    return read


def why(memory: TrainedOn, **row: str) -> str:
    return memory.why_known(Record({"id": row.get("path"), **row}), Identity())


def test_ids_parents_and_contents_are_known_again_and_nothing_else():
    memory = remembered({"path": "a.mp4"}, {"id": "v#0-10", "parent": "v", "path": "b.mp4"})
    shutil.copyfile("b.mp4", "renamed.mp4")
    assert memory.is_complete
    assert why(memory, path="a.mp4") == why(memory, path="renamed.mp4") == "same content"
    assert why(memory, id="v#10-20", parent="v", path="c.mp4") == why(memory, id="v", path="c.mp4") == "same parent"
    assert why(memory, id="a.mp4", parent="other", path="missing") == "same id"
    assert why(memory, path="c.mp4") == why(memory, path="missing") == ""


def test_another_file_of_the_same_name_is_not_the_same():
    """``--root train`` and ``--root val`` give different files the same names."""
    memory = remembered({"path": "a.mp4"})
    assert why(memory, id="a.mp4", path="c.mp4") == ""
    assert why(remembered({"path": "a.mp4"}, {"path": "missing"}), id="a.mp4", path="c.mp4") == "same id"


def test_of_a_large_set_evenly_spaced_records_are_remembered(monkeypatch):
    monkeypatch.setattr(trained_on, "MAX_RECORDS", 2)
    memory = remembered({"path": "a.mp4"}, *({"id": str(n)} for n in range(4)))
    assert not memory.is_complete
    assert [why(memory, id=str(n)) for n in range(4)] == ["same id", "", "same id", ""]


@pytest.mark.parametrize("meta", [{}, {"trained_on": 3}, {"trained_on": {}}, {"trained_on": {"names": "x"}}])
def test_a_checkpoint_without_a_memory_knows_nothing(meta):
    assert TrainedOn.from_meta(meta) is None
