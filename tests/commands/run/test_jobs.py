"""Jobs of -o DIR/: planned and run one by one, they make what the command makes."""

import json
import pickle
from pathlib import Path

import pytest

from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.counters import RecordAccountant
from omnicli.commands.run.jobs import OpenStage, find_jobs_of, open_stage, plan, run_job
from omnicli.commands.run.one_output import StageSpec
from omnicli.commands.run.runner import run_stage
from omnicli.console import Console
from omnicli.errors import InputError, Interrupted, JobsFailed, OmniError, OutputError, UsageError
from omnicli.jobs import plan as public_plan
from omnicli.streams.files import remote


@pytest.fixture
def crawl(tmp_path):
    for name in "abc":
        lines = (json.dumps({"id": f"{name}{i}", "path": f"{name}{i}.jpg", "media": "image"}) + "\n" for i in range(5))
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    return tmp_path


def still(crawl, out, *more):
    return ["inflate", "--mode", "still", *(f"{crawl}/{name}.jsonl" for name in "abc"), "-o", f"{crawl}/{out}/", *more]


def outputs(folder: Path):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".jsonl"}


def test_jobs_make_the_bytes_of_the_command(crawl, sh):
    sh("omni " + " ".join(still(crawl, "whole")))
    jobs = pickle.loads(pickle.dumps(public_plan(still(crawl, "jobs"))))
    stage = open_stage(still(crawl, "jobs"))
    results = pickle.loads(pickle.dumps([run_job(stage, job) for job in jobs]))
    assert outputs(crawl / "jobs") == outputs(crawl / "whole")
    assert [(result.status, result.counters["kept"]) for result in results] == [("done", 5)] * 3
    assert [run_job(stage, job).status for job in plan(still(crawl, "jobs"))] == ["already"] * 3
    markers = [json.loads((crawl / out / "a.jsonl.done.json").read_text()) for out in ("whole", "jobs")]
    assert all(marker.pop("output")["size"] == (crawl / "whole" / "a.jsonl").stat().st_size for marker in markers)
    assert markers[0] == markers[1]


def test_a_plan_refuses_what_the_command_refuses(crawl):
    with pytest.raises(UsageError, match="give -o DIR/"):
        plan(["inflate", "--mode", "still", f"{crawl}/a.jsonl"])
    with pytest.raises(InputError, match="no such file"):
        plan(["inflate", "--mode", "still", f"{crawl}/z.jsonl", "-o", f"{crawl}/out/"])
    stage = open_stage(still(crawl, "out"))
    for job in plan(still(crawl, "out")):
        run_job(stage, job)
    with pytest.raises(OmniError, match="made with other options"):
        plan(still(crawl, "out", "--seed", "1"))


def test_a_stopped_job_is_continued_by_the_next(crawl):
    stage = open_stage(still(crawl, "out"))
    job = plan(still(crawl, "out"))[0]
    answers = iter([False, False, True])
    with pytest.raises(Interrupted, match="run the same job again"):
        run_job(stage, job, should_stop=lambda: next(answers))
    assert not job.out.exists()
    assert run_job(stage, job, should_stop=lambda: False).counters["kept"] == 5


def test_one_bad_file_fails_alone(crawl):
    (crawl / "b.jsonl").write_text('{"id": "b0", "path": "b0.jpg"}\nnonsense\n')
    stage = open_stage(still(crawl, "out"))
    results = [run_job(stage, job) for job in plan(still(crawl, "out"))]
    assert [result.status for result in results] == ["done", "failed", "done"]
    assert results[1].reason.startswith(f"{crawl}/b.jsonl:2: ")
    assert results[1].exit_code == 65
    assert sorted(outputs(crawl / "out")) == ["a.jsonl", "c.jsonl"]


def test_an_input_that_changes_while_it_is_read_is_not_done(crawl):
    command = still(crawl, "out")
    stage, grown = open_stage(command), []
    job = plan(command)[0]

    def growing():
        if not grown:
            grown.append(job.source)
            with job.source.open("a") as file:
                file.write('{"id": "late", "path": "late.jpg", "media": "image"}\n')
        return False

    result = run_job(stage, job, should_stop=growing)
    assert (result.status, result.exit_code) == ("failed", 65)
    assert result.reason.startswith(f"{job.source}: has changed while it was read")
    assert run_job(stage, plan(command)[0]).status == "done"
    assert run_job(stage, job).status == "already"


def test_a_remote_file_that_fails_is_named_once_as_the_user_typed_it(tmp_path, capsys, monkeypatch):
    (tmp_path / "b.jsonl").write_text("nonsense\n")
    url = f"memory://{tmp_path.name}/b.jsonl"
    monkeypatch.setattr("omnicli.streams.files.urls._Allowed.typed", frozenset([("memory", "")]))
    remote.upload(str(tmp_path / "b.jsonl"), url)
    argv = ["inflate", "--mode", "still", url, "-o", f"memory://{tmp_path.name}-out/"]
    (job,) = plan(argv)
    result = run_job(open_stage(argv), job)
    assert (result.status, result.source) == ("failed", url)
    RecordAccountant().add_job(result, Console("inflate"))
    assert capsys.readouterr().err.startswith(f"inflate: failed: {url}:1: not JSON")


def test_too_many_unreadable_records_are_bad_and_tried_again(crawl):
    (crawl / "b.jsonl").write_text('{"id": "b0", "path": "b0.jpg", "media": "image"}\n')
    stage = open_stage(["index", f"{crawl}/b.jsonl", "--probe", "--max-bad", "0", "-o", f"{crawl}/out/"])
    (job,) = plan(["index", f"{crawl}/b.jsonl", "--probe", "--max-bad", "0", "-o", f"{crawl}/out/"])
    for _ in range(2):
        result = run_job(stage, job)
        assert (result.status, result.exit_code) == ("bad", 3)
        assert "more than --max-bad 0" in result.reason


def run_all(crawl, stage, **options):
    streams = StreamOptions(
        inputs=[f"{crawl}/{name}.jsonl" for name in "abc"], output=f"{crawl}/out/", summary=crawl / "sums", **options
    )
    run_stage(StageSpec(name="measure", make=lambda: stage, options={}), streams, LoggingOptions())


def test_the_command_finishes_the_other_files_and_names_the_one_that_failed(crawl, capsys):
    def stage(records, on_drop):
        for record in records:
            if record["id"] == "a3":
                raise ZeroDivisionError("a bug")
            yield record

    with pytest.raises(JobsFailed, match=r"^1 input files failed: \S+a.jsonl: internal error: ZeroDiv") as stopped:
        run_all(crawl, stage)
    assert stopped.value.exit_code == 70
    assert sorted(outputs(crawl / "out")) == ["b.jsonl", "c.jsonl"]
    said = capsys.readouterr().err
    assert f"measure: failed: {crawl}/a.jsonl: internal error: ZeroDivisionError: a bug" in said
    assert "10 in = 10 kept" in said
    assert json.loads((crawl / "sums").read_text())["failed"].keys() == {f"{crawl}/a.jsonl"}
    run_all(crawl, lambda records, on_drop: records)
    assert sorted(outputs(crawl / "out")) == ["a.jsonl", "b.jsonl", "c.jsonl"]


def test_strict_and_outputs_that_cannot_be_written_stop_at_once(crawl):
    def stage(records, on_drop):
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        run_all(crawl, stage, strict=True)
    streams = StreamOptions(inputs=[f"{crawl}/a.jsonl"], output=f"{crawl}/out/")
    (job,) = find_jobs_of(streams)

    def full(records, on_drop):
        raise OutputError("disk full")
        yield

    spec = StageSpec(name="measure", make=lambda: full, options={})
    with pytest.raises(OutputError):
        run_job(OpenStage(spec=spec, streams=streams, stage=full, console=Console("measure")), job)
