"""Records that two sets share."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from omnicli.data.overlap import find_shared, shown_shared
from omnicli.streams.record import Record
from omnicli.streams.shards.reader import read_shard
from omnicli.streams.shards.writer import ShardWriter


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("train", "val"):
        (tmp_path / name).mkdir()
    (tmp_path / "train" / "a.mp4").write_bytes(b"a" * 100)
    (tmp_path / "train" / "b.mp4").write_bytes(b"b" * 100)


def shared(records: list[dict], others: list[dict], *, by_content: bool = True) -> list[tuple[str, str, str]]:
    sets = [[Record({"id": row.get("path"), **row}) for row in rows] for rows in (records, others)]
    found = find_shared(*sets, root=None, by_content=by_content, workers=2)
    return [(pair.record["id"], pair.other["id"], pair.why) for pair in found]


TRAIN = [{"path": "train/a.mp4"}, {"path": "train/b.mp4"}]


def test_sets_without_a_common_file_share_nothing(tmp_path):
    (tmp_path / "val" / "c.mp4").write_bytes(b"c" * 100)  # of the same size
    assert shared([{"path": "val/c.mp4"}, {"path": "val/missing.mp4"}], TRAIN) == []
    assert shared([], TRAIN) == shared(TRAIN, []) == []


def test_ids_paths_and_parents_are_found_whatever_the_files(tmp_path):
    assert shared([{"id": "train/b.mp4", "path": "x.mp4"}], TRAIN)[0][1:] == ("train/b.mp4", "same id")
    assert shared([{"id": "x", "path": "./train/../train/a.mp4"}], TRAIN) == [("x", "train/a.mp4", "same id")]
    assert shared([{"id": "x", "path": "v.mp4"}], [{"id": "y", "path": "v.mp4"}]) == [("x", "y", "same path")]
    clips = [{"id": f"v#{start}", "parent": "v", "path": f"cut{start}.mp4"} for start in (0, 10)]
    assert shared(clips[:1], clips[1:]) == [("v#0", "v#10", "same parent")]
    assert shared([{"id": "v", "path": "v.mp4"}], clips) == [("v", "v#0", "same parent")]


def link_to(source: str, name: str) -> None:
    Path(name).symlink_to(Path(source).resolve())


@pytest.mark.parametrize("copy", [shutil.copyfile, os.link, link_to])
def test_identical_files_are_found_under_any_name(copy):
    copy("train/b.mp4", "val/renamed.mp4")
    assert shared([{"path": "val/renamed.mp4"}], TRAIN) == [("val/renamed.mp4", "train/b.mp4", "same content")]
    assert shared([{"path": "val/renamed.mp4"}], TRAIN, by_content=False) == []


def test_only_files_of_equal_size_are_opened(tmp_path, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr("omnicli.data.overlap.content_key", lambda path: opened.append(path))
    monkeypatch.setattr("omnicli.data.overlap.is_same_content", lambda *paths: False)
    (tmp_path / "val" / "c.mp4").write_bytes(b"c" * 99)
    assert shared([{"path": "val/c.mp4"}], TRAIN) == []
    assert opened == []


def test_rows_of_shards_count_by_what_they_were_made_of():
    for folder in ("one", "two"):
        writer = ShardWriter(folder, stage="features", kind="features", provenance={})
        for name in ("a", "b"):
            record = Record({"id": f"{folder} {name}", "path": f"train/{name}.mp4"})
            record.arrays = {"features": np.zeros((1, 2)), "times": np.zeros(1)}
            writer.add(record)
        writer.close()
    one, two = (list(read_shard(f"{folder}/00000.h5")) for folder in ("one", "two"))
    assert shared([dict(one[1])], [dict(row) for row in two]) == [("one b", "two b", "same path")]
    os.link("train/b.mp4", "val/b.mp4")
    assert shared([{"path": "val/b.mp4"}], [dict(row) for row in two]) == [("val/b.mp4", "two b", "same content")]


def test_the_message_names_a_few_pairs_and_where_they_are_listed():
    rows = [Record({"id": f"{n}.mp4", "path": f"{n}.mp4"}, origin="val.jsonl", line=n) for n in range(1, 6)]
    text = shown_shared(find_shared(rows, rows, root=None, by_content=False, workers=1))
    assert text.startswith("1.mp4 at val.jsonl:1 is 1.mp4 at val.jsonl:1 (same id), ")
    assert text.endswith(", ...")
    assert text.count(" is ") == 3
