"""Every map stage with input, root, checkpoint, output, rejects and shards on an S3 store, killed and resumed.

One process loads torch and forks for each run, so that ten runs cost what one costs.
"""

import json
import subprocess
import sys

import h5py
import pytest
from every_stage import STAGES, make_crawl
from remote_servers import Store

pytest.importorskip("moto", reason="the extra [dev] is not installed")
pytest.importorskip("s3fs", reason="the extra [s3] is not installed")

# Runs the commands in JSON on stdin, each in a process of its own; "kill" is the save at which it gets SIGKILL.
RUN_ALL = """
import json, os, signal, sys
import torch, timm, av, cv2, h5py
torch.set_num_threads(1)
from omnicli.app import main
from omnicli.streams import stage_run
from omnicli.streams.shards import writer
from omnicli.streams.write.resume import Journal
stage_run.SAVE_SEC = 0.0
writer.ShardWriter.__init__.__kwdefaults__["rows_per_shard"] = 2
save = Journal.save
def run(argv, kill):
    left = [kill]
    def saving(self, **options):
        save(self, **options)
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    Journal.save = saving
    sys.argv = ["omni", *argv]
    main()
codes = []
for job in json.load(sys.stdin):
    pid = os.fork()
    if pid == 0:
        os.dup2(2, 1)
        run(job["argv"], job["kill"])
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(json.dumps(codes))
"""
KILLED_AT = {"features": 4, "pack": 4, "inflate-px": 4, "flow": 2, "eval": 1}  # the save of a state; default the third


@pytest.fixture(scope="module")
def crawl(world, teacher, tmp_path_factory):
    return make_crawl(tmp_path_factory.mktemp("crawl"), world, teacher)


def content_of(name, data, top):
    """What a file says: lines without the place of the run, datasets of a shard."""
    if name.endswith(".h5"):
        path = top / "one.h5"
        path.write_bytes(data)
        with h5py.File(path) as file:
            return {key: str(file[key][:].tolist()) for key in file}  # NaN is equal to itself
    return data


@pytest.mark.slow
def test_every_map_stage_reads_and_writes_a_store_and_goes_on_after_a_kill(crawl, shell_environment, tmp_path):
    store = Store()
    store.put(crawl)
    local, temporary = tmp_path / "local", tmp_path / "tmp"
    local.mkdir(), temporary.mkdir()
    jobs, expected = [], []
    for name, command in STAGES.items():
        output = "{out}/eval/" if name == "eval" else f"{{out}}/{name}.jsonl"
        outputs = ["-o", output, "--rejects", output if output.endswith("l") else "{out}/bad/"]
        outputs[-1] = outputs[-1].replace(".jsonl", ".bad")
        for top, out in ((str(crawl), str(local)), (store.url, f"{store.url}/out")):
            argv = [word.format(top=top, out=out) for word in [*command, *outputs]]
            if top == store.url:
                jobs.append({"argv": argv, "kill": KILLED_AT.get(name, 3)})
                expected.append(-9)
            jobs.append({"argv": argv, "kill": 0})
            expected.append(0)
    process = subprocess.run(
        [sys.executable, "-c", RUN_ALL], input=json.dumps(jobs), text=True, capture_output=True, timeout=600,
        env=shell_environment | store.environment | {"TMPDIR": str(temporary)}, cwd=tmp_path,
    )  # fmt: skip
    found = store.get()
    store.close()
    codes = json.loads(process.stdout)
    wrong = [(job, code, right) for job, code, right in zip(jobs, codes, expected, strict=True) if code != right]
    assert wrong == [], process.stderr
    written = {key.removeprefix("out/"): data for key, data in found.items() if key.startswith("out/")}
    assert sorted(written) == sorted(str(path.relative_to(local)) for path in local.rglob("*") if path.is_file())
    for name, data in written.items():
        if name.endswith(".done.json"):
            continue  # names its input
        same = data.replace(f"{store.url}/out/".encode(), f"{local}/".encode()) if name.endswith("l") else data
        assert content_of(name, same, tmp_path) == content_of(name, (local / name).read_bytes(), tmp_path), name
    assert len([name for name in written if name.endswith(".h5")]) > 6
    assert [name for name, data in written.items() if name.endswith(".jsonl") and not data] == ["bad/0.jsonl"]
    assert "no such file" in (local / "filter.bad").read_text()
    assert [path for path in temporary.rglob("*") if path.is_file()] == []
