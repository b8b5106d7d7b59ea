"""--engine ray on a cluster of several nodes: what one process writes, whatever dies."""

import json
import os
import signal
import subprocess
from functools import partial

import pytest
from engine_runs import environment, markers, outputs, run, start, wait_until, write_jobs
from ray_cluster import RunningCluster

from omnicli.commands.engine.ray_pool import _cpus_per_worker

pytest.importorskip("ray", reason="the extra [ray] is not installed")

pytestmark = pytest.mark.slow
NUM_JOBS = 12


class Crawl:
    """A folder of jobs, a cluster, and the plain run's outputs in ``plain/``."""

    def __init__(self, folder, cluster):
        self.folder, self.cluster = folder, cluster
        self.plain = outputs(folder / "plain")

    def words(self, out):
        return ("in/", "-o", f"{out}/", "--engine", "ray", "--ray-address", self.cluster.address)

    def run(self, out, *more, **hooks):
        self.hook(**hooks)
        return run(*self.words(out), *more, cwd=self.folder)

    def start(self, out, **hooks):
        self.hook(**hooks)
        return start(*self.words(out), cwd=self.folder)

    def hook(self, **variables):
        (self.folder / "hooks.json").write_text(json.dumps(variables))

    def is_whole(self, out):
        assert outputs(self.folder / out) == self.plain
        assert markers(self.folder / out) == markers(self.folder / "plain")
        assert not [path for path in (self.folder / out).iterdir() if path.name.startswith(".")]
        return True

    def has_done(self, out, num_jobs):
        return len(list((self.folder / out).glob("*.done.json"))) >= num_jobs

    def workers(self):
        """Ray names the process of an actor after its class."""
        found = subprocess.run(["pgrep", "-f", "^ray::RayWorker"], capture_output=True, text=True).stdout.split()
        return [int(pid) for pid in found]


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray")
    write_jobs(folder / "in", NUM_JOBS, 40)
    assert run("in/", "-o", "plain/", cwd=folder).returncode == 0
    (folder / "hooks.json").write_text("{}")
    with RunningCluster(3, environment=environment(HOOK_FILE=str(folder / "hooks.json"))) as cluster:
        yield Crawl(folder, cluster)


def test_one_machine_needs_no_set_up(tmp_path):
    """The first test: the cluster of the others, once it runs, would be found and used."""
    write_jobs(tmp_path / "in", 2, 5)
    done = run("in/", "-o", "out/", "--engine", "ray", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(outputs(tmp_path / "out")) == ["00.jsonl", "01.jsonl"]


def test_bytes_and_sums_are_those_of_the_plain_run(crawl):
    done = crawl.run("whole", "--summary", "sums.json")
    assert done.returncode == 0, done.stderr
    assert crawl.is_whole("whole")
    assert "546 in = 546 kept" in done.stderr
    assert json.loads((crawl.folder / "sums.json").read_text())["in"] == 546
    assert done.stderr.count("\n") == 2
    assert "12 of 12 files were done before" in crawl.run("whole").stderr


def test_an_actor_that_is_killed_costs_nothing_but_time(crawl):
    with crawl.start("killed", SLOW_SEC="0.02") as driver:
        wait_until(lambda: len(list((crawl.folder / "killed").glob(".*.part"))) == 3)
        os.kill(crawl.workers()[0], signal.SIGKILL)
        said = driver.communicate()[1]
    assert driver.returncode == 0, said
    assert "its worker died (its process was killed or crashed); another one continues the job" in said
    assert crawl.is_whole("killed")


def test_a_node_may_leave_in_the_middle_and_another_one_join(crawl):
    with crawl.start("nodes", SLOW_SEC="0.02") as driver:
        for num_done in (2, 6):
            wait_until(partial(crawl.has_done, "nodes", num_done))
            crawl.cluster.order("remove")
            crawl.cluster.order("add")
        said = driver.communicate()[1]
    assert driver.returncode == 0, said
    assert crawl.is_whole("nodes")


def test_a_job_that_kills_its_worker_three_times_fails_alone(crawl):
    done = crawl.run("deadly", DEADLY_JOB="03.jsonl")
    assert done.returncode == 1, done.stderr
    assert "failed: in/03.jsonl: its worker died 3 times" in done.stderr
    assert "503 in = 503 kept" in done.stderr
    assert crawl.run("deadly").returncode == 0
    assert crawl.is_whole("deadly")


def test_what_is_wrong_with_a_file_arrives_with_its_name(crawl):
    (crawl.folder / "bad.jsonl").write_text('{"id": "b0", "path": "b0.jpg"}\nnonsense\n')
    crawl.hook()
    done = run("bad.jsonl", *crawl.words("bad"), cwd=crawl.folder)
    assert done.returncode == 65
    assert "bad.jsonl:2: not JSON" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_stopped_driver_stops_its_actors_and_the_next_run_continues(crawl, number, code):
    out = f"stopped-{code}"
    with crawl.start(out, SLOW_SEC="0.05") as driver:
        wait_until(lambda: len(list((crawl.folder / out).glob(".*.part"))) >= 2)
        driver.send_signal(number)
        said = driver.communicate()[1]
    assert driver.returncode == code, said
    assert "Traceback" not in said
    wait_until(lambda: not crawl.workers())
    assert len(outputs(crawl.folder / out)) < NUM_JOBS
    assert crawl.run(out).returncode == 0
    assert crawl.is_whole(out)


def test_a_second_driver_on_the_same_folder_is_refused(crawl):
    with crawl.start("twice", SLOW_SEC="0.02") as driver:
        wait_until(lambda: list((crawl.folder / "twice").glob(".*.part")))
        second = run("in/", "-o", "twice/", "--engine", "local", cwd=crawl.folder)
        said = driver.communicate()[1]
    assert second.returncode == 1
    assert "twice/: another process is writing it" in second.stderr
    assert driver.returncode == 0, said
    assert crawl.is_whole("twice")


def test_a_cluster_that_is_not_there_is_an_error_of_one_line(crawl):
    done = run("in/", "-o", "nowhere/", "--engine", "ray", "--ray-address", "127.0.0.1:1", cwd=crawl.folder)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--ray-address 127.0.0.1:1: cannot connect: Connection refused" in done.stderr
    wrong = run("in/", "-o", "nowhere/", "--engine", "ray", "--ray-address", "ray://head:10001", cwd=crawl.folder)
    assert (wrong.returncode, "expected HOST:PORT" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(
    ("nodes", "gpus", "cpus"),
    [
        ([{"CPU": 64, "GPU": 8}], 1, 8),
        ([{"CPU": 64, "GPU": 8}], 0.5, 4),
        ([{"CPU": 64, "GPU": 8}, {"CPU": 16, "GPU": 1}, {"CPU": 4}], 1, 8),
        ([{"CPU": 64}, {"CPU": 0}], 0, 8),
        ([{"CPU": 2}, {"CPU": 64}], 0, 2),
        ([], 0, 1),
    ],
)
def test_workers_share_the_cores_of_the_smallest_node(nodes, gpus, cpus):
    assert _cpus_per_worker(nodes, gpus) == cpus
