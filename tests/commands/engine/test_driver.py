"""The driver: every job is settled once, whatever becomes of its workers."""

import os
from collections import Counter, deque
from pathlib import Path

import pytest

from omnicli.commands.engine.driver import Driver, run_on_engine
from omnicli.commands.engine.pool import Died, Event
from omnicli.commands.engine.worker import Opened, Trouble
from omnicli.commands.invocation import running
from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.counters import RecordAccountant
from omnicli.commands.run.jobs import JobResult
from omnicli.commands.run.one_output import StageSpec
from omnicli.console import Console
from omnicli.errors import JobsFailed, OmniError, UsageError
from omnicli.streams.write.output_folder import Job


class Scripted:
    """Two workers; ``fate(job, attempt)`` is what becomes of each job."""

    def __init__(self, fate, opened=None):
        self.fate = fate
        self.events = deque(Event(name, opened or Opened(where=name)) for name in "ab")
        self.free = set()
        self.given = []

    def idle(self, num_wanted):
        return sorted(self.free)[:num_wanted]

    def give(self, worker, job):
        self.free.remove(worker)
        self.given.append(job.key)
        self.events.append(Event(worker, self.fate(job, self.given.count(job.key))))

    def wait(self, timeout_sec):
        event = self.events.popleft()
        self.free.add(event.worker)
        found = [event]
        if isinstance(event.news, Died):
            found.append(Event(event.worker, Opened(where="new")))
        return found


def done(job, attempt=1):
    return JobResult(status="done", source=str(job.source), out=str(job.out), counters=Counter({"in": 2, "kept": 1}))


def run(tmp_path, fate, opened=None, **spec):
    jobs = []
    for index, size in enumerate((1, 30, 20)):
        path = tmp_path / f"{index}.jsonl"
        path.write_text("x" * size)
        jobs.append(Job(path, Path(f"{path}.out"), path.name, None, None, ""))
    pool = Scripted(fate, opened)
    accountant = RecordAccountant()
    stage = StageSpec(name="measure", make=lambda: None, options={}, **spec)
    driver = Driver(jobs, pool, stage, accountant, Console("measure"))
    driver.run()
    return pool, accountant, driver


def test_the_longest_files_are_handed_out_first_and_all_are_counted(tmp_path):
    pool, accountant, driver = run(tmp_path, done)
    assert pool.given == ["1.jsonl", "2.jsonl", "0.jsonl"]
    assert accountant.counters == {"in": 6, "kept": 3}
    line = driver.progress_line()
    assert line.startswith("3 of 3 jobs, 6 records, ")
    assert "50% kept, 2 workers, ETA 0:00:00" in line


def test_a_job_is_given_to_another_worker_twice(tmp_path, capsys):
    def fate(job, attempt):
        return Died("killed by SIGSEGV") if job.key == "2.jsonl" and attempt <= 2 else done(job)

    pool, accountant, _ = run(tmp_path, fate)
    assert accountant.counters["in"] == 6
    assert pool.given.count("2.jsonl") == 3
    assert capsys.readouterr().err.count("its worker died (killed by SIGSEGV); another one continues") == 2


def test_a_third_death_fails_the_job_and_no_other(tmp_path):
    _, accountant, _ = run(tmp_path, lambda job, attempt: Died("gone") if job.key == "2.jsonl" else done(job))
    assert accountant.counters["in"] == 4
    with pytest.raises(JobsFailed, match=r"2.jsonl: its worker died 3 times, the last one: gone") as caught:
        accountant.raise_if_jobs_failed()
    assert caught.value.exit_code == 1


def test_a_job_is_not_blamed_for_lost_nodes(tmp_path):
    _, accountant, _ = run(tmp_path, lambda job, attempt: Died("node", with_node=True) if attempt < 6 else done(job))
    assert accountant.counters["in"] == 6
    assert accountant.failed == []


def test_trouble_names_the_job_and_keeps_its_exit_code(tmp_path):
    with pytest.raises(JobsFailed, match=r"1.jsonl: disk full") as caught:
        run(tmp_path, lambda job, attempt: Trouble("disk full", 73))
    assert caught.value.exit_code == 73


def test_what_the_first_worker_loaded_reaches_the_closing_lines(tmp_path):
    classes, facts = [], {}
    opened = Opened(where="here", classes=["archery"], facts={"threshold": 0.5}, lines=["target: 3"])
    _, accountant, _ = run(tmp_path, done, opened, classes=classes, facts=facts)
    assert (classes, facts, accountant.notes) == (["archery"], {"threshold": 0.5}, ["target: 3"])


def test_another_version_on_a_node_is_refused(tmp_path):
    with pytest.raises(OmniError, match=r"there has omni 0\.0\.1, the driver"):
        run(tmp_path, done, Opened(where="there", version="0.0.1"))


def test_workers_that_die_while_they_load_end_the_run(tmp_path):
    pool = Scripted(done)
    pool.events = deque(Event("a", Died("exit 1")) for _ in range(3))
    pool.wait = lambda timeout_sec: [pool.events.popleft()]
    path = tmp_path / "a.jsonl"
    path.touch()
    job = Job(path, Path(f"{path}.out"), path.name, None, None, "")
    spec = StageSpec(name="measure", make=lambda: None, options={})
    with pytest.raises(OmniError, match="3 workers died while they loaded the stage, the last one: exit 1"):
        Driver([job], pool, spec, RecordAccountant(), Console("measure")).run()


def test_one_gpu_by_number_is_refused():
    spec = StageSpec(name="filter", make=lambda: None, options={"device": "cuda:3"})
    with pytest.raises(UsageError, match="cuda:3 is one GPU"):
        run_on_engine([], spec, StreamOptions(), RecordAccountant(), Console("filter"))


def test_a_pipe_that_workers_would_have_to_read_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "out").write_text("")  # no folder: a run that goes on ends there
    for words in (["--classes", str(tmp_path / "pipe")], [f"--classes={tmp_path / 'pipe'}"]):
        assert refused(tmp_path, words).startswith(f"--classes {tmp_path}/pipe: a pipe")
    for option in ("--files-from", "--summary"):
        assert "a pipe" not in refused(tmp_path, [option, str(tmp_path / "pipe")])


def refused(tmp_path, words):
    spec = StageSpec(name="filter", make=lambda: None, options={})
    streams = StreamOptions(output=f"{tmp_path}/out/", engine="local")
    with running(["filter", *words]), pytest.raises(OmniError) as error:
        run_on_engine([], spec, streams, RecordAccountant(), Console("filter"))
    return str(error.value)
