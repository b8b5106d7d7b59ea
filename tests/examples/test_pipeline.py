"""The Makefile of the whole recipe: valid commands for every set of sources, and one run that is killed and goes on."""

import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.models.architectures import new_model
from omnicli.models.checkpoint import write_torch_file

MAKEFILE = Path(__file__).resolve().parents[2] / "examples" / "pipeline" / "Makefile"
SOURCES = {"IMAGES": "image", "VIDEOS": "video", "LONG": "untrimmed"}
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(*arguments, cwd, **options):
    command = ["make", "--no-print-directory", "-f", str(MAKEFILE), *arguments]
    return subprocess.run(command, text=True, capture_output=True, cwd=cwd, **options)


def given(world, *names):
    return [f"{name}={world}/web/{SOURCES[name]}" for name in names]


def lines_of(done):
    """The words of each omni command, up to ``>``."""
    assert done.returncode == 0, done.stderr
    words = [shlex.split(line) for line in done.stdout.splitlines() if line.startswith("omni ")]
    return [line[: line.index(">")] if ">" in line else line for line in words]


def values_of(words, option):
    return [value for name, value in itertools.pairwise(words) if name == option]


@pytest.mark.parametrize("left_out", [(), ("IMAGES",), ("VIDEOS",), ("LONG",), ("IMAGES", "VIDEOS"), ("VAL",)])
@pytest.mark.parametrize("store", ["features", "pack", "none"])
def test_every_line_is_valid_and_reads_only_outputs_of_earlier_lines(world, tmp_path, left_out, store):
    names = [name for name in SOURCES if name not in left_out]
    val = [] if "VAL" in left_out else [f"VAL={world}/target/val"]
    (tmp_path / "weights.pth").touch()
    done = make(
        "-n", f"TRAIN={world}/target/train", *val, *given(world, *names), "OUT=out", f"STORE={store}",
        "INIT=weights.pth", "JOBS=1", cwd=tmp_path,
    )  # fmt: skip
    lines = lines_of(done)
    written = {"out/classes.txt"}
    for words in lines:
        outputs = {
            value for option in ("-o", "--rejects", "--shards", "--summary") for value in values_of(words, option)
        }
        assert all(word in written for word in words if word.startswith("out/") and word not in outputs), words
        written |= outputs
        written |= {str(Path(value).with_suffix(".metrics.jsonl")) for value in outputs if value.endswith(".pth")}
    seen = [words[1] for words in lines]
    assert seen.count("train") == 2
    assert seen.count("filter") == 2 * len({"IMAGES", "VIDEOS"} & set(names))
    assert seen.count("segment") == 2 * ("LONG" in names)
    assert seen.count("dedup") == (0 if "VAL" in left_out else len(names))
    assert seen.count("eval") == (0 if "VAL" in left_out else 3)
    assert seen.count({"features": "features", "pack": "pack", "none": ""}[store]) == (
        0 if store == "none" else len(names) + 1 + bool(val)
    )
    for words in lines if not left_out else []:
        (tmp_path / "out").mkdir(exist_ok=True)
        for word in words:
            if word.startswith("out/"):
                (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
        result = CliRunner().invoke(app, [*words[1:], "--dry-run"])
        assert "No such option" not in result.stderr, words


def test_one_round_is_the_beginning_of_two(world, tmp_path):
    common = [f"TRAIN={world}/target/train", *given(world, "IMAGES"), "JOBS=1"]
    one = lines_of(make("-n", *common, "ROUNDS=1", cwd=tmp_path))
    two = lines_of(make("-n", *common, "ROUNDS=2", cwd=tmp_path))
    assert one[:-1] == two[: len(one) - 1]
    assert [words[1] for words in two[len(one) - 1 :]] == ["filter", "train", "report"]
    assert values_of(two[-3], "--teacher") == values_of(one[-2], "-o") == ["out/round1/student.pth"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["IMAGES=web"], "give TRAIN=DIR"),
        (["TRAIN=mine"], "give at least one of IMAGES=DIR, VIDEOS=DIR and LONG=DIR"),
        (["TRAIN=mine", "IMAGES=web", "STORE=all"], "STORE=all: expected features, pack or none"),
        (["TRAIN=mine", "IMAGES=web", "OUT=old"], "old was made with TRAIN=others; use another OUT"),
    ],
)
def test_what_is_missing_or_has_changed_is_said_before_anything_runs(tmp_path, arguments, says):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "settings.txt").write_text("TRAIN=others IMAGES=web\n")
    done = make(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_classes_are_the_folders_that_index_reads(world, tmp_path):
    for name in ("jump_rope", "run", "__MACOSX", "@eaDir", "#recycle", ".hidden"):
        (tmp_path / "train" / name).mkdir(parents=True)
    done = make("TRAIN=train", *given(world, "IMAGES"), "out/classes.txt", cwd=tmp_path)
    assert (done.returncode, (tmp_path / "out" / "classes.txt").read_text()) == (0, "jump rope\nrun\n"), done.stderr


def test_what_is_removed_is_made_again_and_nothing_else(world, tmp_path):
    """Before, rounds that were removed to try other options were not: make had nothing to do."""
    (tmp_path / "weights.pth").touch()
    (tmp_path / "omni.sh").write_text('while [ "$1" ]; do [ "$1" != -o ] || touch "$2"; shift; done\n')
    arguments = [
        f"TRAIN={world}/target/train", f"VAL={world}/target/val", *given(world, *SOURCES), "INIT=weights.pth", "JOBS=1"
    ]  # fmt: skip
    assert make(*arguments, "OMNI=sh omni.sh", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out" / "videos.unique.jsonl").exists()
    assert "Nothing to be done" in make("-n", *arguments, cwd=tmp_path).stdout
    shutil.rmtree(tmp_path / "out" / "round1")
    shutil.rmtree(tmp_path / "out" / "round2")
    again = lines_of(make("-n", *arguments, "FILTER_OPTIONS=--threshold 0.7", cwd=tmp_path))
    assert [words[1] for words in again] == [*["filter", "filter", "segment", "train"] * 2, "eval", "eval", "report"]


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_to_students_of_two_rounds_and_a_report(world, tmp_path, shell_environment):
    write_torch_file(tmp_path / "weights.pth", new_model("tsn-resnet10t", 4).backbone.state_dict())
    web = tmp_path / "web" / "videos" / "nothing"  # a source of which nothing can be kept
    web.mkdir(parents=True)
    arguments = [
        f"TRAIN={world}/target/train", f"VAL={world}/target/val", *given(world, "IMAGES", "LONG"),
        "VIDEOS=web/videos", "OUT=out", "MODEL=tsn-resnet10t", "INIT=weights.pth", "ROUNDS=2",
        "TEACHER_OPTIONS=--epochs 5", "STUDENT_OPTIONS=--epochs 5", "FILTER_OPTIONS=--threshold 0.2",
    ]  # fmt: skip
    command = ["make", "-f", str(MAKEFILE), *arguments]
    running = subprocess.Popen(
        command, cwd=tmp_path, env=shell_environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    while not (tmp_path / "out" / "teacher.pth").exists() and running.poll() is None:
        time.sleep(0.1)
    assert running.poll() is None
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "out" / "report.html").exists()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.jsonl")}
    done = make(*arguments, cwd=tmp_path, env=shell_environment, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "auxiliary videos has no records: left out" in done.stderr
    assert re.search(r"out/round2/student.pth +top-1 0\.", done.stdout)
    assert all(path.stat().st_mtime_ns == at for path, at in made.items() if "metrics" not in path.name)
    out = tmp_path / "out"
    for name in ("teacher", "round1/student", "round2/student"):
        *_, total = (out / f"{name}.eval.jsonl").read_text().splitlines()
        assert 0 <= json.loads(total)["top1_acc"] <= 1
    assert {json.loads(line)["source"] for line in (out / "round2" / "images.kept.jsonl").read_text().splitlines()} == {
        "images"
    }
    assert (out / "report.html").stat().st_size > 10_000
    assert "Nothing to be done" in make(*arguments, cwd=tmp_path, env=shell_environment).stdout
