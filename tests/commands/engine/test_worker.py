"""A worker process: loads once, runs what it is sent, and reports what ends it."""

import json
import os
from multiprocessing import Pipe
from pathlib import Path
from threading import Thread

import pytest

from omnicli import cpus
from omnicli.commands.engine.worker import Opened, Trouble, Worker, WorkerSetup, serve
from omnicli.commands.run.jobs import plan
from omnicli.cpus import available_cores
from omnicli.errors import Interrupted, ModelError, OmniError


@pytest.fixture(autouse=True)
def _own_process(monkeypatch):
    """A worker changes its process, which is that of the tests here."""
    before = Path.cwd()
    monkeypatch.delenv("OMNI_SEED", raising=False)
    yield
    os.chdir(before)
    os.environ.pop("OMNI_SEED", None)
    cpus.limit_cores(None)


@pytest.fixture
def argv(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "a", "path": "a.jpg", "media": "image"}) + "\n")
    return ["inflate", "--mode", "still", "a.jsonl", "-o", "out/"]


def test_a_worker_is_set_up_as_its_driver(tmp_path, argv, monkeypatch):
    worker = Worker(WorkerSetup(argv=argv, folder=str(tmp_path), environment={"OMNI_SEED": "7"}, cores=1))
    assert Path.cwd() == tmp_path
    assert available_cores() == 1
    (job,) = plan(argv)
    assert worker.run(job).status == "done"
    assert json.loads((tmp_path / "out" / "a.jsonl.done.json").read_text())["options"]["seed"] == 7


def test_a_folder_that_a_node_lacks_is_named(tmp_path, argv):
    with pytest.raises(OmniError, match="missing: No such file or directory; the folder must exist on every node"):
        Worker(WorkerSetup(argv=argv, folder=f"{tmp_path}/missing"))


def test_a_stopped_worker_ends_its_job(tmp_path, argv):
    worker = Worker(WorkerSetup(argv=argv, folder=str(tmp_path)))
    worker.stop()
    with pytest.raises(Interrupted):
        worker.run(plan(argv)[0])


def test_jobs_are_answered_until_the_driver_hangs_up(tmp_path, argv, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("omnicli.commands.engine.worker.time.sleep", lambda seconds: None)
    monkeypatch.setattr("omnicli.commands.engine.worker.os._exit", lambda code: None)
    ours, theirs = Pipe()
    server = Thread(target=serve, args=(theirs,))
    server.start()
    ours.send(WorkerSetup(argv=argv, folder=str(tmp_path)))
    assert isinstance(ours.recv(), Opened)
    (job,) = plan(argv)
    for status in ("done", "already"):
        ours.send(job)
        assert ours.recv().status == status
    ours.close()
    server.join(timeout=60)
    assert not server.is_alive()


def test_a_stage_that_cannot_be_loaded_is_trouble(tmp_path, argv):
    ours, theirs = Pipe()
    ours.send(WorkerSetup(argv=[*argv, "--nonsense"], folder=str(tmp_path)))
    serve(theirs)
    assert ours.recv().exit_code == 2


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ModelError("t.pth: broken"), 66, "t.pth: broken"),
        (MemoryError(), 1, "out of memory; try a smaller --batch-size"),
        (ZeroDivisionError("a bug"), 70, "internal error: ZeroDivisionError: a bug; the traceback is in "),
    ],
)
def test_trouble_has_the_message_and_code_of_the_command(error, code, message):
    trouble = Trouble.of(error)
    assert trouble.exit_code == code
    assert trouble.message.startswith(message)
