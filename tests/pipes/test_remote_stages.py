"""Every map stage with input, root, checkpoint, output, rejects and shards on an S3 store, killed and resumed.

One process loads torch and forks for each run, so that ten runs cost what one costs.
"""

import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from remote_servers import Store

from omnicli.motion.homography import STILL, Gaussian
from omnicli.motion.motion_file import Fitted, Motion, write_motion

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
SMALL = ["--precision", "float32", "--batch-size", "4", "--device", "cpu"]
LIST = ["{top}/list.jsonl", "--root", "{top}"]
STAGES = {
    "index": ["index", "--probe", "{top}/web", "--root", "{top}"],
    "filter": ["filter", "--teacher", "{top}/tsn.pth", *SMALL, "--threshold", "0.2", *LIST],
    "segment": ["segment", "--teacher", "{top}/tsn.pth", *SMALL, "--threshold", "0.1", *LIST],
    "dedup": ["dedup", "--backbone", "resnet10t", "--weights", "{top}/r10t.pth", *SMALL[:2], "--fps", "1", "--target",
              "{top}/val", "{top}/list.jsonl", "--root", "{top}"],
    "features": ["features", "--checkpoint", "{top}/tsn.pth", *SMALL, "--shards", "{out}/shards-features",
                 "{top}/list.jsonl", "--root", "{top}"],
    "pack": ["pack", "--short-side", "32", "--shards", "{out}/shards-pack", "{top}/list.jsonl", "--root", "{top}"],
    "inflate": ["inflate", "--motion", "{top}/motion.json", "{top}/list.jsonl", "--root", "{top}"],
    "inflate-px": ["inflate", "--motion", "{top}/motion.json", "--num-frames", "2", "--short-side", "32",
                   "--shards", "{out}/shards-inflate", "{top}/list.jsonl", "--root", "{top}"],
    "eval": ["eval", "--checkpoint", "{top}/tsn.pth", *SMALL, "--shards", "{out}/shards-eval", "{top}/val.jsonl",
             "--root", "{top}"],
}  # fmt: skip


@pytest.fixture(scope="module")
def crawl(world, teacher, tmp_path_factory):
    """A small crawl with lists, a teacher and a motion file."""
    import timm
    import torch

    top = tmp_path_factory.mktemp("crawl")
    for number, path in enumerate(sorted((world / "web" / "image").rglob("*.jpg"))[:5]):
        (top / "web" / "q é").mkdir(exist_ok=True, parents=True)
        shutil.copy(path, top / "web" / "q é" / f"{number}.jpg")
    shutil.copy(next((world / "web" / "video").rglob("*.mp4")), top / "web" / "long.mp4")
    (top / "web" / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    (top / "val").mkdir()
    val = sorted((world / "target" / "val").rglob("*.mp4"))[::6][:3]
    for path in val:
        shutil.copy(path, top / "val")
    shutil.copy(teacher, top / "tsn.pth")
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet10t").state_dict(), top / "r10t.pth")
    write_motion(top / "motion.json", Motion(agnostic=Fitted(Gaussian(STILL, np.diag([1e-6] * 8)), 1, 99)))
    paths = sorted(path.relative_to(top).as_posix() for path in (top / "web").rglob("*.*"))
    records = [{"id": path, "path": path, "query": "q", "pseudo_label": 0} for path in [*paths, "web/no.jpg"]]
    (top / "list.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    labelled = [{"id": path.stem, "path": f"val/{path.name}", "label": 0} for path in val]
    (top / "val.jsonl").write_text("".join(json.dumps(record) + "\n" for record in labelled))
    return top


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
        outputs = [
            "-o",
            "{out}/" + f"{name}.jsonl",
            *(["--rejects", "{out}/" + f"{name}.bad"] if name != "eval" else []),
        ]
        for top, out in ((str(crawl), str(local)), (store.url, f"{store.url}/out")):
            argv = [word.format(top=top, out=out) for word in [*command, *outputs]]
            if top == store.url and name != "eval":
                jobs.append({"argv": argv, "kill": 4 if "{out}" in "".join(command) else 3})
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
        same = data.replace(f"{store.url}/out/".encode(), f"{local}/".encode()) if name.endswith("l") else data
        assert content_of(name, same, tmp_path) == content_of(name, (local / name).read_bytes(), tmp_path), name
    assert len([name for name in written if name.endswith(".h5")]) > 6
    assert all(len(data) for name, data in written.items() if name.endswith(".jsonl"))
    assert "no such file" in (local / "filter.bad").read_text()
    assert [path for path in temporary.rglob("*") if path.is_file()] == []
