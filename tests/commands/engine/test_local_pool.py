"""--engine local: processes of this machine write what one process writes, whatever dies."""

import os
import signal
from pathlib import Path

import pytest
from engine_runs import children, markers, outputs, run, start, wait_until, write_jobs

from omnicli.commands.engine.local_pool import visible_gpus

LOCAL = ("--engine", "local", "--processes", "2")


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    """Input files in ``in/`` and what the plain command makes of them, in ``plain/``."""
    folder = tmp_path_factory.mktemp("crawl")
    write_jobs(folder / "in", 6, 40)
    plain = run("in/", "-o", "plain/", cwd=folder)
    assert plain.returncode == 0, plain.stderr
    return folder


def test_bytes_and_sums_are_those_of_the_plain_run(crawl):
    done = run("in/", "-o", "local/", *LOCAL, cwd=crawl)
    assert done.returncode == 0, done.stderr
    assert "255 in = 255 kept" in done.stderr
    assert outputs(crawl / "local") == outputs(crawl / "plain")
    assert markers(crawl / "local") == markers(crawl / "plain")
    again = run("in/", "-o", "local/", *LOCAL, cwd=crawl)
    assert "6 of 6 files were done before" in again.stderr


def test_a_worker_that_is_killed_costs_nothing_but_time(crawl):
    with start("in/", "-o", "killed/", *LOCAL, cwd=crawl, SLOW_SEC="0.02") as driver:
        wait_until(lambda: list((crawl / "killed").glob(".*.part")))
        os.kill(children(driver.pid)[0], signal.SIGKILL)
        said = driver.communicate()[1]
    assert driver.returncode == 0, said
    assert outputs(crawl / "killed") == outputs(crawl / "plain")
    assert markers(crawl / "killed") == markers(crawl / "plain")


def test_a_job_that_kills_its_worker_three_times_fails_alone(crawl):
    done = run("in/", "-o", "deadly/", *LOCAL, "--summary", "sums.json", cwd=crawl, DEADLY_JOB="03.jsonl")
    assert done.returncode == 1
    assert done.stderr.count("another one continues the job") == 2
    assert "failed: in/03.jsonl: its worker died 3 times, the last one: killed by SIGKILL" in done.stderr
    assert "212 in = 212 kept" in done.stderr
    assert sorted(outputs(crawl / "deadly")) == [f"0{number}.jsonl" for number in (0, 1, 2, 4, 5)]
    again = run("in/", "-o", "deadly/", *LOCAL, cwd=crawl)
    assert again.returncode == 0
    assert outputs(crawl / "deadly") == outputs(crawl / "plain")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_stopped_driver_takes_its_workers_along_and_the_next_run_continues(crawl, number, code):
    out = f"stopped-{code}"
    with start("in/", "-o", f"{out}/", *LOCAL, cwd=crawl, SLOW_SEC="0.5") as driver:
        workers = wait_until(lambda: len(found := children(driver.pid)) == 2 and found)
        wait_until(lambda: list((crawl / out).glob(".*.part")))
        driver.send_signal(number)
        said = driver.communicate()[1]
    assert driver.returncode == code, said
    assert "Traceback" not in said
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert len(outputs(crawl / out)) < 6
    done = run("in/", "-o", f"{out}/", *LOCAL, cwd=crawl)
    assert done.returncode == 0, done.stderr
    assert outputs(crawl / out) == outputs(crawl / "plain")


def test_workers_of_a_driver_that_is_killed_end_by_themselves(crawl):
    with start("in/", "-o", "orphans/", *LOCAL, cwd=crawl, SLOW_SEC="0.05") as driver:
        workers = wait_until(lambda: len(found := children(driver.pid)) == 2 and found)
        wait_until(lambda: list((crawl / "orphans").glob(".*.part")))
        driver.kill()
        driver.communicate()
    wait_until(lambda: not [pid for pid in workers if Path(f"/proc/{pid}").exists()])


def test_what_stops_every_job_stops_the_run_with_its_exit_code(crawl):
    missing = run("in/", "-o", "none/", *LOCAL, "--rejects", "/proc/none/", cwd=crawl)
    assert missing.returncode == 73
    assert "omni inflate: in/05.jsonl: " in missing.stderr
    assert "cannot write" in missing.stderr


@pytest.mark.parametrize(("visible", "gpus"), [("2,3", ["2", "3"]), ("", []), ("-1", []), ("MIG-1", ["MIG-1"])])
def test_gpus_are_those_that_the_process_may_use(monkeypatch, visible, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpus() == gpus


def test_gpus_are_counted_without_pytorch(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA H100 (UUID: GPU-2)'\n")
    program.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == ["0", "1"]
    program.unlink()
    assert visible_gpus() == []
