"""The Slurm jobs under a real slurmctld and slurmd: every stage, a requeue, a killed task, and a partial retry."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from free_port import free_port

from omnicli.models.architectures import new_model
from omnicli.models.checkpoint import load_any, write_torch_file

SLURM = Path(__file__).resolve().parents[2] / "examples" / "slurm"
TINY = "--model tsn-resnet10t --init scratch --num-segments 2 --short-side 36 --crop-size 32 --epochs 1 --batch-size 8"
CONFIGURATION = """\
ClusterName=omni
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/none
CredType=cred/none
SlurmUser=root
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
SchedulerParameters=sched_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""
NEEDED = ("slurmctld", "slurmd", "sbatch")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason="needs Slurm (Debian: slurm-wlm)"),
    pytest.mark.skipif(os.getuid() != 0, reason="slurmd needs root"),
]


def wait_until(condition, *, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.2)


class Cluster:
    """One node with two cores. ``run`` runs a command that knows the cluster."""

    def __init__(self, folder, environment):
        (folder / "state").mkdir()
        (folder / "spool").mkdir()
        self.folder, self.environment = folder, environment | {"SLURM_CONF": str(folder / "slurm.conf")}
        text = CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0], folder=folder, controller_port=free_port(),
            node_port=free_port(),
        )  # fmt: skip
        (folder / "slurm.conf").write_text(text)
        self._daemons = []
        for name in ("slurmctld", "slurmd"):
            with (folder / f"{name}.log").open("w") as log:
                self._daemons.append(
                    subprocess.Popen([name, "-D"], env=self.environment, stdout=log, stderr=subprocess.STDOUT)
                )
        wait_until(lambda: "idle" in self.run("sinfo", "--noheader", check=False).stdout, seconds=30)

    def run(self, *command, check=True, **environment):
        done = subprocess.run(
            command, env=self.environment | environment, text=True, capture_output=True, cwd=self.folder, timeout=300
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def queued(self):
        return self.run("squeue", "--noheader", "--array", "--format", "%i %j %T").stdout.splitlines()

    def close(self):
        for daemon in reversed(self._daemons):
            daemon.terminate()
            daemon.wait(timeout=300)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, shell_environment):
    found = Cluster(tmp_path_factory.mktemp("slurm"), shell_environment)
    yield found
    found.close()


@pytest.fixture
def settings(world, teacher, tmp_path):
    """Settings of a small crawl of four files; weights for dedup."""
    out = tmp_path / "out"
    (out / "crawl").mkdir(parents=True)
    paths = sorted((world / "web" / "image").rglob("*.jpg"))
    for number in range(4):
        lines = [json.dumps({"path": str(path), "query": path.parent.name}) for path in paths[number::4]]
        (out / "crawl" / f"{number}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    write_torch_file(out / "r10.pth", new_model("tsn-resnet10t", num_classes=2).backbone.state_dict())
    return {
        "OUT": str(out), "PARTS": "2", "TEACHER": str(teacher), "TRAIN": str(world / "target" / "train"),
        "VAL": str(world / "target" / "val"), "DEDUP_MODEL": f"--backbone resnet10t --weights {out}/r10.pth",
        "DEDUP_OPTIONS": "--threshold 1", "FILTER_OPTIONS": "--rule paper --threshold 0.2", "TASK_GRES": "",
        "CPUS": "1", "TRAIN_CPUS": "1", "NODES": "1", "GPUS": "1", "RECIPE": "few-clips-scratch",
        "STUDENT_OPTIONS": TINY,
    }  # fmt: skip


def kept_by(settings):
    files = sorted((Path(settings["OUT"]) / "kept").glob("[0-9].jsonl"))
    return {path.name: path.read_text() for path in files}


def processes_of(stage):
    """Process IDs of ``omni STAGE`` under Slurm."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                is_job = b"SLURM_CONF=" in (entry / "environ").read_bytes()
            except OSError:
                continue
            if is_job and stage.encode() in words and any(word.endswith(b"/omni") for word in words):
                found.append(int(entry.name))
    return found


def test_all_stages_run_and_a_killed_task_is_retried_alone(cluster, settings, shell_environment):
    """A part is killed: what waits for it leaves the queue, and the next submission runs that part and the rest."""
    out = Path(settings["OUT"])
    cluster.run("bash", str(SLURM / "submit.sh"), **settings)
    again = cluster.run("bash", str(SLURM / "submit.sh"), check=False, **settings)
    assert again.returncode == 1
    assert "still queued" in again.stderr
    wait_until(lambda: processes_of("filter"))
    os.kill(processes_of("filter")[0], signal.SIGKILL)
    wait_until(lambda: not cluster.queued())
    assert not (out / "student.pth").exists()
    assert 0 < len(kept_by(settings)) < 4

    cluster.run("bash", str(SLURM / "submit.sh"), **settings)
    assert len([job for job in cluster.queued() if "omni-filter" in job]) == 1
    assert not [job for job in cluster.queued() if "omni-dedup" in job]
    wait_until(lambda: not cluster.queued())
    assert load_any(out / "student.pth").meta["model"]["name"] == "tsn-resnet10t"
    assert json.loads((out / "student.eval.jsonl").read_text().splitlines()[-1])["num_videos"] > 0
    plain = subprocess.run(
        ["omni", "filter", "--teacher", settings["TEACHER"], "--rule", "paper", "--threshold", "0.2",
         str(out / "unique"), "-o", str(out / "plain") + "/"],
        env=shell_environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert plain.returncode == 0, plain.stderr
    assert kept_by(settings) == {path.name: path.read_text() for path in sorted((out / "plain").glob("[0-9].jsonl"))}


def test_a_task_whose_time_runs_out_requeues_itself_and_goes_on(cluster, settings):
    out = Path(settings["OUT"])
    (out / "crawl").rename(out / "unique")
    whole = {**settings, "PARTS": "1", "SETTINGS": str(SLURM / "settings.sh")}
    job = cluster.run(
        "sbatch", "--parsable", "--array=0", "--export=ALL", str(SLURM / "filter.sbatch"), **whole
    ).stdout.strip()
    wait_until(lambda: processes_of("filter"))
    cluster.run("scancel", "--batch", "--signal=USR1", f"{job}_0")
    wait_until(lambda: (cluster.queued() and "RUNNING" not in cluster.queued()[0]) or not processes_of("filter"))
    assert "Requeue=1" in cluster.run("scontrol", "show", "job", job).stdout
    assert "Restarts=1" in cluster.run("scontrol", "show", "job", job).stdout
    wait_until(lambda: any("PENDING" in line for line in cluster.queued()))  # not while it still ends
    cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now")  # a requeued job waits two minutes
    wait_until(lambda: len(kept_by(settings)) == 4 and not cluster.queued())
