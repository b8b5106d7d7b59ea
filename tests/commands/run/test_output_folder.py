"""A folder of outputs: complete files are left alone, the rest is made, and a bad file is tried again."""

import json
import os
import shutil
import signal

import pytest

from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.one_output import StageSpec
from omnicli.commands.run.runner import run_stage
from omnicli.errors import Interrupted, OmniError, OutputError, TooManyBad, UsageError
from omnicli.streams.shards.reader import open_shard
from omnicli.streams.shards.writer import ShardWriter


@pytest.fixture
def crawl(tmp_path):
    for name, ids in {"a": "123", "b": "45", "c": "6x7"}.items():
        lines = "".join(json.dumps({"id": letter}) + "\n" for letter in ids)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    return tmp_path


def run(crawl, made, **options):
    """Run over a, b, c; ``made`` collects the ids the stage saw."""

    def stage(records, on_drop):
        for record in records:
            made.append(record["id"])
            if record["id"] == "x":
                on_drop(record, "unreadable: empty file")
            else:
                yield record

    inputs = [str(crawl / f"{name}.jsonl") for name in "abc"]
    streams = StreamOptions(inputs=inputs, output=f"{crawl}/out/", **options)
    run_stage(StageSpec(name="measure", make=lambda: stage, options={}), streams, LoggingOptions())


def test_a_rerun_makes_only_what_is_missing(crawl):
    run(crawl, [])
    (crawl / "out" / "b.jsonl").unlink()
    made = []
    run(crawl, made)
    assert made == ["4", "5"]
    made.clear()
    run(crawl, made)
    assert made == []


def test_no_resume_makes_all_again(crawl):
    run(crawl, [])
    made = []
    run(crawl, made, resume=False)
    assert made == list("123456x7")


def test_a_file_with_too_much_bad_is_complete_but_not_done(crawl):
    made = []
    with pytest.raises(TooManyBad, match=r"c.jsonl: 1 unreadable"):
        run(crawl, made, max_bad="0")
    assert (crawl / "out" / "c.jsonl").read_text().count("\n") == 2
    made.clear()
    with pytest.raises(TooManyBad):
        run(crawl, made, max_bad="0")
    assert made == ["6", "x", "7"]


def test_a_file_with_too_much_bad_is_not_done_though_it_was_before(crawl):
    run(crawl, [])
    with pytest.raises(TooManyBad):
        run(crawl, [], max_bad="0", resume=False)
    made = []
    run(crawl, made)
    assert made == ["6", "x", "7"]


def test_rejects_wanted_later_are_refused_and_missing_ones_made_again(crawl):
    run(crawl, [])
    for flags in ({"missing": True, "parts": 1}, {}):
        with pytest.raises(OmniError, match=r"a.jsonl: was made with .* \(rejects False then, True now\)"):
            run(crawl, [], rejects=f"{crawl}/left/", **flags)
    run(crawl, [], rejects=f"{crawl}/left/", resume=False)
    (crawl / "left" / "c.jsonl").unlink()
    made = []
    run(crawl, made, rejects=f"{crawl}/left/")
    assert made == ["6", "x", "7"]
    assert json.loads((crawl / "left" / "c.jsonl").read_text())["id"] == "x"
    made.clear()
    run(crawl, made, rejects=f"{crawl}/left/")
    assert made == []
    run(crawl, made, rejects=f"{crawl}/elsewhere/")
    assert len(list((crawl / "elsewhere").iterdir())) == 3


def pack(crawl, shards, stop_at=None, **options):
    """Run over a, b, c, each id a frame; the ids that the stage saw."""
    made = []

    def stage(records, on_drop):
        for record in records:
            if record["id"] == stop_at:
                raise Interrupted("stopped")
            made.append(record["id"])
            packed = record.derive()
            packed.arrays = {"frames": [record["id"].encode()]}
            yield packed

    inputs = [str(crawl / f"{name}.jsonl") for name in "abc"]
    streams = StreamOptions(inputs=inputs, output=f"{crawl}/out/", shards_dir=shards, **options)
    run_stage(StageSpec(name="pack", make=lambda: stage, options={}, shard_kind="frames"), streams, LoggingOptions())
    return made


def test_another_mount_point_of_the_shards_goes_on(crawl):
    assert pack(crawl, crawl / "px") == list("123456x7")
    (crawl / "mounted").symlink_to(crawl / "px")
    assert pack(crawl, crawl / "mounted") == []
    (crawl / "out" / "b.jsonl.done.json").unlink()
    assert pack(crawl, crawl / "mounted") == ["4", "5"]
    with pytest.raises(OmniError, match=r"\(shards '\S+/px' then, None now\)"):
        pack(crawl, None)


def test_an_unfinished_run_goes_on_where_its_shards_are(crawl, monkeypatch):
    monkeypatch.setattr("omnicli.streams.stage_run.SAVE_SEC", 0.0)
    monkeypatch.setitem(ShardWriter.__init__.__kwdefaults__, "rows_per_shard", 1)
    with pytest.raises(Interrupted):
        pack(crawl, crawl / "px", stop_at="3")
    (crawl / "mounted").symlink_to(crawl / "px")
    with pytest.raises(
        OutputError, match=r"py/a-00000.h5: does not exist, and the unfinished run has written 1 shards"
    ):
        pack(crawl, crawl / "py")
    assert pack(crawl, crawl / "mounted") == list("23456x7")
    assert len((crawl / "out" / "a.jsonl").read_text().splitlines()) == 3


def test_other_shards_are_refused_and_missing_ones_made_again(crawl, capsys):
    assert pack(crawl, crawl / "px") == list("123456x7")
    with pytest.raises(OmniError, match=r"a.jsonl: names shards in \S+/px, which are not in \S+/py; give their folder"):
        pack(crawl, crawl / "py")
    (crawl / "px" / "b-00000.h5").unlink()
    pack(crawl, crawl / "px", missing=True, parts=1)
    assert capsys.readouterr().out == "--array=0\n"
    assert pack(crawl, crawl / "px") == ["4", "5"]
    shutil.rmtree(crawl / "px")
    assert pack(crawl, crawl / "px") == list("123456x7")
    for name in "abc":
        for line in (crawl / "out" / f"{name}.jsonl").read_text().splitlines():
            row = json.loads(line)
            assert open_shard(row["path"]).frames(row["row"]) == [row["id"].encode()]
    assert pack(crawl, crawl / "px") == []


def test_shards_share_the_files_among_them(crawl):
    made = []
    for index in range(3):
        run(crawl, made, part=f"{index}/3")
    assert sorted(made) == sorted("123456x7")


def test_missing_is_printed_and_nothing_is_run(crawl, capsys):
    made = []
    run(crawl, made, missing=True, parts=1)
    assert capsys.readouterr().out == "--array=0\n"
    run(crawl, made)
    capsys.readouterr()
    made.clear()
    run(crawl, made, missing=True, parts=1)
    assert capsys.readouterr().out == ""
    assert made == []


def test_media_in_a_folder_stop_it_before_anything_is_loaded(crawl):
    (crawl / "d.jpg").write_bytes(b"\xff\xd8\xff\xe0")

    def make():
        raise AssertionError("loaded")

    with pytest.raises(UsageError, match=r"d.jpg is media"):
        streams = StreamOptions(inputs=[str(crawl)], output=f"{crawl}/out/")
        run_stage(StageSpec(name="measure", make=make, options={}), streams, LoggingOptions())


def test_files_without_records_are_counted_in_a_line(crawl, capsys):
    for name in "defg":
        (crawl / f"{name}.parquet").write_text("PAR1")
    streams = StreamOptions(inputs=[str(crawl)], output=f"{crawl}/out/")
    run_stage(
        StageSpec(name="measure", make=lambda: lambda records, on_drop: records, options={}), streams, LoggingOptions()
    )
    said = capsys.readouterr().err
    assert "measure: files left out, which hold no records: 4 (" in said
    assert "d.parquet: not media (text); " in said
    assert "measure: 8 in = 8 kept" in said


def test_an_output_folder_below_the_input_is_not_read_by_the_next_run(crawl):
    def read_ids():
        made: list[str] = []
        streams = StreamOptions(inputs=[str(crawl)], output=f"{crawl}/kept/", resume=False)

        def note(records, on_drop):
            for record in records:
                made.append(record["id"])
                yield record

        run_stage(StageSpec(name="measure", make=lambda: note, options={}), streams, LoggingOptions())
        return made

    assert read_ids() == read_ids() == list("123456x7")


def test_inputs_are_never_replaced(crawl):
    before = (crawl / "a.jsonl").read_bytes()
    with pytest.raises(UsageError, match=r"a.jsonl is an input and would be replaced"):
        streams = StreamOptions(inputs=[str(crawl)], output=f"{crawl}/")
        run_stage(
            StageSpec(name="measure", make=lambda: lambda records, on_drop: iter(()), options={}),
            streams,
            LoggingOptions(),
        )
    assert (crawl / "a.jsonl").read_bytes() == before


def test_sigterm_while_the_model_loads_is_resumable(crawl):
    def make():
        os.kill(os.getpid(), signal.SIGTERM)
        return lambda records, on_drop: records

    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(Interrupted, match="run the same command again") as stopped:
            streams = StreamOptions(inputs=[str(crawl / "a.jsonl")], output=f"{crawl}/out/")
            run_stage(StageSpec(name="measure", make=make, options={}), streams, LoggingOptions())
        assert stopped.value.resumable
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_no_named_input_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="name the input files"):
        run_stage(
            StageSpec(name="measure", make=lambda: None, options={}),
            StreamOptions(output=f"{tmp_path}/out/"),
            LoggingOptions(),
        )


def test_tasks_take_the_next_file_longest_first_and_none_twice(crawl):
    """A task that begins while another one is in the middle of a file leaves that one alone."""
    (crawl / "b.jsonl").write_text("".join(f'{{"id": "{letter}"}}\n' for letter in "defghijkl"))
    first, second = [], []

    def stage(records, on_drop):
        for record in records:
            if not first:
                first.append(record["id"])
                run(crawl, second, part="next")
            first.append(record["id"])
            yield record

    inputs = [str(crawl / f"{name}.jsonl") for name in "abc"]
    streams = StreamOptions(inputs=inputs, output=f"{crawl}/out/", part="next")
    run_stage(StageSpec(name="measure", make=lambda: stage, options={}), streams, LoggingOptions())
    assert first == ["d", *"defghijkl"]
    assert sorted(second) == sorted("1236x7")
    assert sorted(path.name for path in (crawl / "out").iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("part", ["next", "0/1"])
def test_tasks_that_cannot_see_each_other_are_told_so(crawl, capsys, monkeypatch, part):
    monkeypatch.setattr("omnicli.streams.files.urls._Allowed.typed", frozenset([("memory", "")]))
    monkeypatch.setattr("tempfile.tempdir", str(crawl))
    streams = StreamOptions(inputs=[str(crawl / "b.jsonl")], output=f"memory://{crawl.name}/out/", part=part)
    run_stage(StageSpec(name="measure", make=lambda: lambda records, _: records, options={}), streams, LoggingOptions())
    assert ("--part next knows of a URL only what tasks of this machine" in capsys.readouterr().err) == (part == "next")


def test_what_other_tasks_are_making_is_said(crawl, capsys):
    from omnicli.streams.write.resume import claim_output

    (crawl / "out").mkdir()
    claim = claim_output(crawl / "out" / "b.jsonl", waits=False)
    made = []
    run(crawl, made, part="next")
    claim.close()
    assert made == list("1236x7") or made == list("6x7123")
    assert "measure: 1 files are being made by other tasks" in capsys.readouterr().err
    run(crawl, made, part="next")
    assert made[-2:] == ["4", "5"]
