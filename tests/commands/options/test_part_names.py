"""{part} in names of outputs, and tasks that would write one file."""

from pathlib import Path

import pytest

from omnicli.commands.options.part_names import with_part
from omnicli.commands.options.streams import StreamOptions
from omnicli.errors import UsageError


@pytest.fixture(autouse=True)
def _array(monkeypatch):
    for name, value in {"ID": "7", "COUNT": "64", "MIN": "0", "MAX": "63"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)


def test_the_part_is_in_the_names_of_all_outputs():
    filled = with_part(
        StreamOptions(part="auto", output="k.{part}.jsonl", rejects="r.{part}.jsonl", summary=Path("s.{part}.json"))
    )
    assert (filled.output, filled.rejects, filled.summary) == ("k.7of64.jsonl", "r.7of64.jsonl", Path("s.7of64.json"))
    assert with_part(StreamOptions(part="3/4", shards_dir=Path("f.{part}"))).shards_dir == Path("f.3of4")
    assert with_part(StreamOptions(part="3/4", output="{part}/kept.jsonl")).output == "3of4/kept.jsonl"


@pytest.mark.parametrize("name", ["same.jsonl", "kept17.jsonl", "kept.70.jsonl"])
def test_tasks_that_would_write_one_file_are_refused(name):
    with pytest.raises(UsageError, match=rf"-o {name}: each of 64 tasks would write this file; put {{part}} into"):
        with_part(StreamOptions(part="auto", output=name))


@pytest.mark.parametrize("name", ["kept.7.jsonl", "007/kept.jsonl", "out/", "/dev/null", None])
def test_names_that_differ_between_tasks_are_fine(name):
    options = StreamOptions(part="auto", output=name)
    assert with_part(options) == options


def test_one_part_by_number_may_have_any_name():
    assert with_part(StreamOptions(part="0/100", output="sample.jsonl")).output == "sample.jsonl"


@pytest.mark.parametrize("part", [None, "next"])
def test_a_part_in_a_name_needs_one(part):
    with pytest.raises(UsageError, match="needs --part I/N or --part auto"):
        with_part(StreamOptions(part=part, output="kept.{part}.jsonl"))


@pytest.mark.parametrize("more", [{"output": "kept.jsonl"}, {"output": "k/", "engine": "local"}, {}])
def test_next_takes_whole_files(more):
    with pytest.raises(UsageError, match="--part next takes whole input files: give -o DIR/"):
        StreamOptions(part="next", **more).check(whole_stream=None)
