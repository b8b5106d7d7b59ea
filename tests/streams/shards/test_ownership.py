"""No run writes over the shards of another list."""

import gzip
import json

import pytest

from omnicli.errors import OmniError, OutputError
from omnicli.streams.read.folder import walk_files
from omnicli.streams.record import Record
from omnicli.streams.shards.ownership import (
    find_shards,
    hold_shards,
    refuse_shards_of_other_stages,
    refuse_shards_of_others,
    remove_later_shards,
)
from omnicli.streams.shards.writer import ShardWriter


def put_shards(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


def test_only_shards_of_this_prefix_are_found_and_in_order(tmp_path):
    put_shards(tmp_path, "00001.h5", "00000.h5", "0of2-00000.h5", "x-00000.h5", "123.h5", "00002.txt")
    assert [path.name for path in find_shards(tmp_path, "")] == ["00000.h5", "00001.h5"]
    assert [path.name for path in find_shards(tmp_path, "0of2-")] == ["0of2-00000.h5"]
    assert find_shards(tmp_path / "missing", "") == []


def test_shards_are_overwritten_only_with_the_output_that_names_them(tmp_path):
    """A list whose lines point into shards never comes to stand for the frames of another list."""
    put_shards(tmp_path / "px", "00000.h5")
    with pytest.raises(OutputError, match=r"00000.h5 already exists, .* use another folder for --shards"):
        refuse_shards_of_others(tmp_path / "px", "", None)
    ours, other = tmp_path / "ours.jsonl.gz", tmp_path / "other.jsonl"
    untouched = {"id": "a", "path": "a.mp4"}
    row = {"id": "b", "path": str(tmp_path / "px" / "00000.h5"), "row": 0}
    ours.write_bytes(gzip.compress(f"{json.dumps(untouched)}\n{json.dumps(row)}\n".encode().replace(b": ", b":")))
    other.write_text(json.dumps(row | {"path": "elsewhere/00000.h5"}).replace(": ", ":"))
    refuse_shards_of_others(tmp_path / "px", "", ours)
    for out in (other, tmp_path / "missing.jsonl"):
        with pytest.raises(OutputError):
            refuse_shards_of_others(tmp_path / "px", "", out)
    refuse_shards_of_others(tmp_path / "px", "0of2-", None)


def test_shards_are_ours_though_the_first_of_them_is_gone(tmp_path):
    put_shards(tmp_path / "px", "00001.h5")
    out = tmp_path / "ours.jsonl"
    out.write_text(json.dumps({"path": str(tmp_path / "px" / "00000.h5"), "row": 0}, separators=(",", ":")))
    refuse_shards_of_others(tmp_path / "px", "", out)


def test_what_a_longer_run_left_is_removed_and_nothing_else(tmp_path):
    put_shards(tmp_path, "00000.h5", "00001.h5", "00002.h5", "0of2-00001.h5")
    remove_later_shards(tmp_path, "", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000.h5", "0of2-00001.h5"]


def test_shards_of_a_prefix_are_written_by_one_process_at_a_time(tmp_path):
    with hold_shards(tmp_path / "px", ""), hold_shards(tmp_path / "px", "0of2-"), hold_shards(tmp_path / "px", "a/b-"):
        for prefix in ("", "0of2-", "a/b-"):
            with (
                pytest.raises(OmniError, match=r"px: another process is writing it"),
                hold_shards(tmp_path / "px", prefix),
            ):
                pass
        assert find_shards(tmp_path / "px", "") == []
        assert list(walk_files(str(tmp_path / "px"))) == []
    assert [path.name for path in (tmp_path / "px").rglob("*")] == ["a"]
    with pytest.raises(ZeroDivisionError), hold_shards(tmp_path / "px", ""):
        raise ZeroDivisionError
    assert list((tmp_path / "px").glob(".*")) == []


def test_a_folder_of_shards_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="cannot write shards: Not a directory"),
        hold_shards(tmp_path / "file" / "px", ""),
    ):
        pass


def test_a_stage_overwrites_only_its_own_shards_where_lines_name_media(tmp_path):
    """Whoever wrote the others may have lines that name their rows; a file that cannot be read may be anyone's."""
    for stage in ("eval", "features"):
        writer = ShardWriter(tmp_path / stage, stage=stage, kind="scores", provenance={})
        record = Record({"id": "a"})
        record.arrays = {"scores": [1.0]}
        writer.add(record)
        writer.close()
    refuse_shards_of_other_stages(tmp_path / "eval", "", "eval")
    refuse_shards_of_other_stages(tmp_path / "features", "0of2-", "eval")
    refuse_shards_of_other_stages(tmp_path / "missing", "", "eval")
    put_shards(tmp_path / "eval", "00001.h5")
    for folder, name in (("features", "00000.h5"), ("eval", "00001.h5")):
        with pytest.raises(OutputError, match=rf"{name} already exists, .* use another folder for --shards"):
            refuse_shards_of_other_stages(tmp_path / folder, "", "eval")
