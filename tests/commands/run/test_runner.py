"""The runner opens, counts, publishes and judges, the same for every stage."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from omnicli import process
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.one_output import StageSpec
from omnicli.commands.run.runner import run_stage
from omnicli.errors import InputError, Interrupted, OmniError, OutputError, RecordError, TooManyBad, UsageError
from omnicli.media.record_map import map_records


def keep_long_names(records, on_drop):
    for record in records:
        if len(record["id"]) > 3:
            yield record.derive(length=len(record["id"]))
        else:
            on_drop(record, "short name" if record["id"] != "bad" else "unreadable: truncated JPEG")


def stage_run(**options):
    return StageSpec(name="measure", make=lambda: keep_long_names, options={"longer_than": 3}, **options)


@pytest.fixture
def web(tmp_path):
    path = tmp_path / "web.jsonl"
    path.write_text("".join(json.dumps({"id": name}) + "\n" for name in ("long name", "no", "bad", "another")))
    return path


def ids(path):
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_outputs_rejects_and_summary_tell_one_story(web, tmp_path, capsys):
    streams = StreamOptions(
        inputs=[str(web)], output=str(tmp_path / "out"), rejects=str(tmp_path / "rejects"), summary=tmp_path / "summary"
    )
    run_stage(stage_run(), streams, LoggingOptions())
    assert ids(tmp_path / "out") == ["long name", "another"]
    assert ids(tmp_path / "rejects") == ["no", "bad"]
    summary = json.loads((tmp_path / "summary").read_text())
    assert (summary["in"], summary["kept"], summary["rejected"], summary["unreadable"]) == (4, 2, {"short name": 1}, 1)
    assert summary["options"] == {"longer_than": 3}
    line = capsys.readouterr().err
    assert line.startswith("measure: 4 in = 2 kept + 1 rejected (short name 1) + 1 unreadable, ")


@pytest.mark.parametrize("output", [None, "out/"])
def test_an_input_below_another_is_said_unless_each_file_is_a_job(web, tmp_path, capsys, output):
    streams = StreamOptions(inputs=[str(tmp_path), str(web)], output=output and f"{tmp_path}/{output}")
    run_stage(stage_run(), streams, LoggingOptions())
    said = capsys.readouterr().err
    assert ("its records are read twice" in said) == (output is None)
    assert ("8 in" in said) == (output is None)


@pytest.mark.parametrize("pair", [("output", "summary"), ("rejects", "summary"), ("output", "rejects")])
def test_two_outputs_in_one_file_are_refused(web, tmp_path, pair):
    """Options that conflict exit 2: the later of two outputs would replace the first."""
    (tmp_path / "link").symlink_to(tmp_path / "a")

    def written_to(*paths):
        made = {name: Path(path) if name == "summary" else str(path) for name, path in zip(pair, paths, strict=True)}
        run_stage(stage_run(), StreamOptions(inputs=[str(web)], **made), LoggingOptions())

    with pytest.raises(UsageError, match="are the same file"):
        written_to(tmp_path / "a", tmp_path / "link")
    assert not (tmp_path / "a").exists()
    written_to("/dev/null", "/dev/null")


@pytest.mark.parametrize(("out", "code"), [("out", 75), ("/dev/null", 143), (None, 143)])
@pytest.mark.parametrize("made_of_it", [RuntimeError("Error calling __set_name__"), None])
def test_sigterm_that_an_import_swallows_stops_the_run_all_the_same(web, tmp_path, out, code, made_of_it):
    def make():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Interrupted:
            if made_of_it:
                raise made_of_it from None
        return keep_long_names

    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(Interrupted) as stopped:
            streams = StreamOptions(inputs=[str(web)], output=out and str(tmp_path / out))
            run_stage(StageSpec(name="measure", make=make, options={}), streams, LoggingOptions())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stopped.value.resumable == (code == 75)
    assert not (tmp_path / "out").exists()


def test_too_many_bad_leaves_complete_output_and_raises(web, tmp_path):
    streams = StreamOptions(inputs=[str(web)], output=str(tmp_path / "out"), max_bad="0")
    with pytest.raises(TooManyBad, match="1 unreadable or failed, more than --max-bad 0"):
        run_stage(stage_run(), streams, LoggingOptions())
    assert ids(tmp_path / "out") == ["long name", "another"]


def fail_on_bad(records, on_drop):
    def measure(record):
        if record["id"] == "bad":
            raise IndexError("list index out of range")
        return record

    return map_records(measure, records, workers=1, on_drop=on_drop)


def test_a_record_that_fails_leaves_and_the_run_goes_on(web, tmp_path, monkeypatch, capsys):
    """Any other exception while one record is read is a counted reject, and the traceback is in the log."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(process.crash_log, "path", None)
    spec = StageSpec(name="measure", make=lambda: fail_on_bad, options={})
    streams = StreamOptions(inputs=[str(web)], output=str(tmp_path / "out"), rejects=str(tmp_path / "rejects"))
    run_stage(spec, streams, LoggingOptions())
    assert ids(tmp_path / "out") == ["long name", "no", "another"]
    (line,) = (tmp_path / "rejects").read_text().splitlines()
    assert json.loads(line)["reason"] == "internal error: IndexError: list index out of range"
    said = capsys.readouterr().err.splitlines()
    assert "4 in = 3 kept + 1 rejected (internal error 1) + 0 unreadable" in said[0]
    assert said[1].startswith("measure: internal errors: 1, please report them; the tracebacks are in ")
    assert "IndexError" in Path(said[1].rpartition(" in ")[2]).read_text()
    with pytest.raises(TooManyBad, match="1 unreadable or failed, more than --max-bad 0"):
        run_stage(spec, replace(streams, max_bad="0"), LoggingOptions())


def read_all(records, on_drop):
    for record in records:
        if record["id"].startswith("bad"):
            on_drop(record, f"unreadable: decode error at {len(record['id'])} s")
        elif record["id"] == "empty":
            on_drop(record, "unreadable: empty file")
        else:
            yield record


def test_what_could_not_be_read_is_said_by_kind_with_an_example(tmp_path, capsys):
    web = tmp_path / "web.jsonl"
    web.write_text("".join(json.dumps({"id": name}) + "\n" for name in ("empty", "good", "bad", "bad2", "bad33")))
    spec = StageSpec(name="measure", make=lambda: read_all, options={})
    run_stage(spec, StreamOptions(inputs=[str(web)], summary=tmp_path / "summary"), LoggingOptions())
    _, *said = capsys.readouterr().err.splitlines()
    assert said == [
        "measure: 3 unreadable: decode error at N s, such as bad",
        "measure: 1 unreadable: empty file, such as empty",
    ]
    summary = json.loads((tmp_path / "summary").read_text())
    assert summary["unreadable_by_kind"] == {"decode error at N s": 3, "empty file": 1}


def test_inputs_that_are_all_unreadable_exit_3_without_being_asked(tmp_path):
    web = tmp_path / "web.jsonl"
    web.write_text('{"id": "bad"}\n{"id": "bad too"}\n')
    spec = StageSpec(name="measure", make=lambda: read_all, options={})
    streams = StreamOptions(inputs=[str(web)], output=str(tmp_path / "out"))
    with pytest.raises(TooManyBad, match="nothing could be read: 2 in, 2 unreadable or failed"):
        run_stage(spec, streams, LoggingOptions())
    assert (tmp_path / "out").read_bytes() == b""
    run_stage(spec, replace(streams, max_bad="100%"), LoggingOptions())  # as the user wants it


def test_classes_with_hardly_a_kept_record_are_named(tmp_path, capsys):
    """Classes that a filter left empty are said: a student could not learn them."""

    def label(records, on_drop):
        for record in records:
            if record["id"] == "late":
                on_drop(record.derive(pseudo_class="archery"), "low confidence")
            else:
                yield record.derive(pseudo_class="diving" if record["id"].startswith("d") else "archery")

    names = [*(f"d{index}" for index in range(5)), "a0", "a1", "late"]
    web = tmp_path / "web.jsonl"
    web.write_text("".join(json.dumps({"id": name}) + "\n" for name in names))
    spec = StageSpec(name="filter", make=lambda: label, options={}, classes=["archery", "bowling", "diving"])
    run_stage(spec, StreamOptions(inputs=[str(web)]), LoggingOptions())
    said = capsys.readouterr().err.splitlines()
    assert said[1:] == [
        "filter: 2 of 3 classes have fewer than 5 kept records, 1 none: archery 2, bowling 0; "
        "lower the threshold, or collect more"
    ]
    run_stage(replace(spec, classes=["diving"]), StreamOptions(inputs=[str(web)]), LoggingOptions())
    assert len(capsys.readouterr().err.splitlines()) == 1
    web.write_text("")
    run_stage(spec, StreamOptions(inputs=[str(web)]), LoggingOptions())
    assert len(capsys.readouterr().err.splitlines()) == 1
    web.write_text('{"id": "a0"}\n')
    run_stage(replace(spec, classes=["archery"]), StreamOptions(inputs=[str(web)]), LoggingOptions())
    assert capsys.readouterr().err.splitlines()[1].endswith("archery 1; nothing was rejected: collect more")


def test_strict_stops_at_the_first_record_that_fails(web, tmp_path):
    spec = StageSpec(name="measure", make=lambda: fail_on_bad, options={})
    streams = StreamOptions(inputs=[str(web)], output=str(tmp_path / "out"), strict=True)
    with pytest.raises(RecordError, match=r"^bad: internal error: IndexError") as stopped:
        run_stage(spec, streams, LoggingOptions())
    assert stopped.value.exit_code == 70
    assert not (tmp_path / "out").exists()


def test_a_check_of_the_whole_stops_the_output(web, tmp_path):
    def check(counts):
        raise InputError(f"{counts['in']} in")

    with pytest.raises(InputError, match="4 in"):
        run_stage(
            stage_run(check=check), StreamOptions(inputs=[str(web)], output=str(tmp_path / "out")), LoggingOptions()
        )
    assert not (tmp_path / "out").exists()


def test_a_dry_run_loads_and_writes_nothing(web, tmp_path, capsys):
    def make():
        raise AssertionError("loaded")

    run = StageSpec(name="measure", make=make, options={"longer_than": 3})
    run_stage(run, StreamOptions(inputs=[str(web)], output=str(tmp_path / "out")), LoggingOptions(dry_run=True))
    assert json.loads(capsys.readouterr().out)["longer_than"] == 3
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_an_input_is_read_before_it_is_replaced(web):
    run_stage(stage_run(), StreamOptions(inputs=[str(web)], output=str(web)), LoggingOptions())
    assert ids(web) == ["long name", "another"]


def packed(inputs, shards_dir, *, keeps_paths=False, while_running=lambda: None, **options):
    """A run that stores each id as the only frame of its record."""

    def stage(records, on_drop):
        for record in records:
            while_running()
            made = record.derive()
            made.arrays = {"frames": [record["id"].encode()]}
            yield made

    streams = StreamOptions(inputs=[str(path) for path in inputs], shards_dir=shards_dir, **options)
    run = StageSpec(name="pack", make=lambda: stage, options={}, shard_kind="frames", shard_keeps_paths=keeps_paths)
    run_stage(run, streams, LoggingOptions())


def named_frames(out):
    """The id of each line and what lies in the shard where the line points."""
    from omnicli.streams.shards.reader import open_shard

    rows = [json.loads(line) for line in out.read_text().splitlines()]
    return [(row["id"], open_shard(row["path"]).frames(row["row"])[0].decode()) for row in rows]


def test_no_run_writes_over_the_shards_that_another_list_names(web, tmp_path):
    """What a line points to stays what it was, or the second run stops before it writes."""
    first, other, shards_dir = tmp_path / "first.jsonl", tmp_path / "other.jsonl", tmp_path / "px"
    packed([web], shards_dir, output=str(first), limit=2)
    before = named_frames(first)
    with pytest.raises(OutputError, match=r"00000\.h5 already exists"):
        packed([web], shards_dir, output=str(other))
    assert (named_frames(first), other.exists()) == (before, False)
    packed([web], shards_dir, output=str(first))  # overwritten with its shards
    assert [name == frame for name, frame in named_frames(first)] == [True] * 4


def test_two_runs_at_once_do_not_share_the_shards_of_one_folder(web, tmp_path):
    """The second is refused as one with the same -o is; other parts of --part write beside the first."""
    first, other, shards_dir = tmp_path / "first.jsonl", tmp_path / "other.jsonl", tmp_path / "px"
    refusals = []

    def run_others():
        if not refusals:
            for out in (first, other):
                with pytest.raises(OmniError, match="another process is writing it") as caught:
                    packed([web], shards_dir, output=str(out), resume=False)
                refusals.append(caught.value.exit_code)
            packed([web], shards_dir, output=str(tmp_path / "part.jsonl"), part="1/2")

    packed([web], shards_dir, output=str(first), while_running=run_others)
    assert refusals == [1, 1]
    assert [name == frame for name, frame in named_frames(first)] == [True] * 4
    assert not other.exists()
    assert sorted(path.name for path in shards_dir.iterdir()) == ["00000.h5", "1of2-00000.h5"]


@pytest.mark.parametrize("keeps_paths", [False, True])
def test_what_a_longer_run_before_wrote_goes_with_its_output(web, tmp_path, monkeypatch, keeps_paths):
    from omnicli.streams.shards.writer import ShardWriter

    monkeypatch.setitem(ShardWriter.__init__.__kwdefaults__, "rows_per_shard", 1)
    options = {"output": str(tmp_path / "out.jsonl"), "keeps_paths": keeps_paths}
    packed([web], tmp_path / "px", **options)
    packed([web], tmp_path / "px", **options | {"output": str(tmp_path / "part.jsonl")}, part="1/2")
    parts = sorted(path.name for path in (tmp_path / "px").glob("1of2-*"))
    packed([web], tmp_path / "px", **options, limit=2)
    assert sorted(path.name for path in (tmp_path / "px").iterdir()) == ["00000.h5", "00001.h5", *parts]
    assert parts


def test_lines_that_name_media_do_not_make_free_with_the_shards_of_other_stages(web, tmp_path):
    packed([web], tmp_path / "px", output=str(tmp_path / "out.jsonl"))
    before = named_frames(tmp_path / "out.jsonl")
    run = StageSpec(
        name="dedup", make=lambda: lambda records, on_drop: records, options={}, shard_kind="features",
        shard_keeps_paths=True,
    )  # fmt: skip
    with pytest.raises(OutputError, match=r"00000\.h5 already exists"):
        run_stage(
            run,
            StreamOptions(inputs=[str(web)], shards_dir=tmp_path / "px", output=str(tmp_path / "kept.jsonl")),
            LoggingOptions(),
        )
    assert named_frames(tmp_path / "out.jsonl") == before


def test_inputs_of_one_name_in_two_folders_have_shards_of_their_own(tmp_path):
    """-o DIR/ with --shards: each line finds its own frame, whatever the files are called."""
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part.jsonl").write_text(json.dumps({"id": f"of {folder}"}) + "\n")
    packed([tmp_path / "a" / "part.jsonl", tmp_path / "b" / "part.jsonl"], tmp_path / "px", output=f"{tmp_path}/out/")
    assert named_frames(tmp_path / "out" / "a" / "part.jsonl") == [("of a", "of a")]
    assert named_frames(tmp_path / "out" / "b" / "part.jsonl") == [("of b", "of b")]
