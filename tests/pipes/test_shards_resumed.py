"""A command with --shards, killed while it writes and started again: every file comes out as if nothing had been."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from omnicli.motion.homography import STILL, Gaussian
from omnicli.motion.motion_file import Fitted, Motion, write_motion

# `omni`, but a shard is full after 10 records, and the state is saved whenever one is.
SMALL_SHARDS = """
import sys
from omnicli.app import main
from omnicli.streams import stage_run as flow
from omnicli.streams.shards import writer as shards
flow.SAVE_SEC = 0.0
shards.ShardWriter.__init__.__kwdefaults__["rows_per_shard"] = 10
sys.argv[0] = "omni"
main()
"""


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    """300 lines that name images, two of them broken, and a motion file."""
    folder = tmp_path_factory.mktemp("crawl")
    for number in range(10):
        cv2.imwrite(f"{folder}/{number}.png", np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8))
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:300])
    names = [f"{number % 10}.png" for number in range(300)]
    names[7] = names[211] = "broken.png"
    fields = {"media": "image", "pseudo_label": 0, "confidence": 0.9}
    records = [{"id": f"é {i}", "path": str(folder / name)} | fields for i, name in enumerate(names)]
    (folder / "web.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    write_motion(folder / "motion.json", Motion(agnostic=Fitted(Gaussian(STILL, np.diag([1e-6] * 8)), 1, 99)))
    return folder


def files_of(folder):
    """Everything the command left, hidden files included, except its times."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_killed(command, folder, environment, shards_at_kill):
    """Run until it ends, killed whenever so many shards are closed; the number of kills."""
    num_killed, rng = 0, random.Random(len(shards_at_kill))
    for num_shards in [*shards_at_kill, None]:
        process = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command], cwd=folder, env=environment, start_new_session=True
        )
        while process.poll() is None and num_shards is not None:
            if len(list(folder.glob("px/*[0-9].h5"))) >= num_shards:
                time.sleep(rng.random() * 0.02)
                num_killed += process.poll() is None
                os.killpg(process.pid, signal.SIGKILL)
                break
            time.sleep(0.001)
        code = process.wait()
    assert code == 0
    return num_killed


def segmented(crawl, world):
    """120 lines of videos as segment wrote them."""
    videos = sorted((world / "target" / "val").rglob("*.mp4"))
    judged = {"media": "video", "positive_sec": [0.0], "negative_sec": [0.5], "frame_scores": [0.9, 0.1],
              "pseudo_label": 0}  # fmt: skip
    records = [{"id": f"v{i}", "path": str(videos[i % len(videos)])} | judged for i in range(120)]
    (crawl / "web.segmented").write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.mark.parametrize(
    ("command", "shards_at_kill"),
    [
        ("omni pack --short-side 32 {crawl}/web.jsonl", (1, 14, 22)),
        ("cat {crawl}/web.jsonl | omni inflate --motion {crawl}/motion.json --num-frames 2 --short-side 32 -", (3, 20)),
        pytest.param(
            "cat {crawl}/web.segmented | omni segment --threshold 0.5 -", (2, 7), marks=pytest.mark.slow
        ),
        pytest.param("omni flow --short-side 32 {crawl}/web.segmented", (2, 7), marks=pytest.mark.slow),
    ],
    ids=["pack", "inflate", "segment", "flow"],
)  # fmt: skip
def test_killed_with_open_shards_and_resumed_gives_the_same_files(
    crawl, world, shell_environment, tmp_path, command, shards_at_kill
):
    """SIGKILL with shards closed and one open: lines, rejects and every shard are those of a run left alone."""
    if "segmented" in command:  # the videos, whose fields flow leaves alone
        segmented(crawl, world)
    script = f"{sys.executable} {tmp_path}/omni.py"
    (tmp_path / "omni.py").write_text(SMALL_SHARDS)
    command = command.format(crawl=crawl).replace("omni ", f"exec {script} " if "|" not in command else f"{script} ")
    command += " -q -o out.jsonl --rejects left.jsonl --shards px"
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    run_killed(command, whole, shell_environment, ())
    assert run_killed(command, broken, shell_environment, shards_at_kill) > 0
    made = files_of(broken)
    expected = files_of(whole)
    assert sorted(made) == sorted(expected)
    assert [name for name in made if made[name] != expected[name]] == []
    assert len([name for name in made if name.startswith("px/")]) >= 12
