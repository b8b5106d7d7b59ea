"""Every map stage of the design on an engine: the bytes, sums and summaries of the plain run."""

import json
import pickle
from collections import deque

import h5py
import pytest
from every_stage import STAGES, make_crawl
from typer.testing import CliRunner

from omnicli import cpus
from omnicli.app import app
from omnicli.commands.engine import driver
from omnicli.commands.engine.pool import Event
from omnicli.commands.engine.worker import Worker
from omnicli.commands.invocation import MAP_COMMANDS
from omnicli.streams.write.claims import work_for


class PoolHere:
    """Two workers in this process; whatever passes between driver and worker is pickled."""

    def __init__(self, setup):
        self.workers = {name: Worker(pickle.loads(pickle.dumps(setup))) for name in "ab"}
        self.events = deque(Event(name, worker.opened()) for name, worker in self.workers.items())
        self.free = set()

    def idle(self, num_wanted):
        return sorted(self.free)[:num_wanted]

    def give(self, name, job):
        self.free.discard(name)
        self.events.append(Event(name, self.workers[name].run(pickle.loads(pickle.dumps(job)))))

    def wait(self, timeout_sec):
        event = self.events.popleft()
        self.free.add(event.worker)
        return [pickle.loads(pickle.dumps(event))]

    def close(self):
        work_for("")
        cpus.limit_cores(None)


@pytest.fixture(scope="module")
def crawl(world, teacher, tmp_path_factory):
    return make_crawl(tmp_path_factory.mktemp("crawl"), world, teacher)


def run(argv, top, out, *more):
    words = [word.format(top=top, out=out) for word in argv]
    result = CliRunner().invoke(app, [*words, "-o", f"{out}/out/", "--summary", f"{out}/sums.json", *more])
    assert result.exit_code == 0, result.stderr
    return result


def contents(out):
    """What the files of a run say, by name: lines, datasets of shards, counts of markers."""
    found = {}
    for path in sorted(out.rglob("*.*")):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                found[name] = {key: str(file[key][:].tolist()) for key in file}, sorted(file.attrs)
        elif path.name.endswith(".done.json"):
            marker = json.loads(path.read_text())
            found[name] = marker["counts"], marker["options"] | {"shards": None}
        elif path.name == "sums.json":
            found[name] = json.loads(path.read_text()) | {"seconds": None}
        else:
            found[name] = path.read_text()
    return json.loads(json.dumps(found).replace(str(out), "OUT"))


def test_the_engine_covers_the_stages_of_the_design():
    assert {argv[0] for argv in STAGES.values()} == set(MAP_COMMANDS)


@pytest.mark.parametrize("name", STAGES)
def test_bytes_and_sums_of_an_engine_are_those_of_the_plain_run(crawl, tmp_path, monkeypatch, name):
    monkeypatch.setattr(driver, "_pool", lambda setup, streams, uses_gpu: PoolHere(setup))
    runs = {}
    for kind, more in {"plain": [], "engine": ["--engine", "local"]}.items():
        (tmp_path / kind).mkdir()
        result = run(STAGES[name], crawl, tmp_path / kind, *more)
        runs[kind] = contents(tmp_path / kind)
        closing = [line.partition(" unreadable, ")[0] for line in result.stderr.splitlines() if " in = " in line]
        runs[kind]["said"] = [*closing, result.stdout]
    assert runs["engine"] == runs["plain"]
    assert any(runs["plain"][file] for file in runs["plain"] if file.endswith(".jsonl"))
