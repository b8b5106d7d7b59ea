"""The Makefile of OmniSource on Kinetics: valid commands, in an order that can run."""

import itertools
import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.training.recipes import TEACHER_RECIPES

KINETICS = Path(__file__).resolve().parents[2] / "examples" / "kinetics"
STAGES = {
    "queries", "index", "dedup", "pack", "teacher-train", "filter", "segment", "inflate", "balance", "train", "eval",
}  # fmt: skip
FOLDERS = {
    "k400": ["train", "val", "untrimmed", "google_images", "instagram_images", "instagram_videos"],
    "minikinetics": [
        "annotations/kinetics_200", "kinetics_200_train", "kinetics_200_val", "googleimage_200", "insimage_200",
        "insvideo_200", "kinetics_raw_200_train",
    ],
}  # fmt: skip
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(*arguments):
    command = ["make", "--no-print-directory", "-C", str(KINETICS), *arguments]
    return subprocess.run(command, text=True, capture_output=True, timeout=60)


def parse(line):
    """The words of a line up to ``>``."""
    words = shlex.split(line)
    return words[: words.index(">")] if ">" in words else words


def values_of(words, option):
    return [value for name, value in itertools.pairwise(words) if name == option]


def pretend_made(words):
    """Create the outputs of a command, so that later commands find their inputs."""
    for name in values_of(words, "-o") + values_of(words, "--rejects"):
        Path(name).write_text('{"id": "a", "path": "a.mp4"}\n')
    for name in values_of(words, "--shards"):
        Path(name).mkdir(parents=True)
        (Path(name) / "00000.h5").write_bytes(b"")


@pytest.fixture(params=["k400", "minikinetics"])
def setting(request, tmp_path):
    """Arguments of make for a small tree of that setting."""
    data = tmp_path / "data"
    for folder in FOLDERS[request.param]:
        (data / folder).mkdir(parents=True)
    for name in ("classes.txt", "annotations/k200_actions.txt"):
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_text("abseiling\nair drumming\n")
    for name in ("train", "val"):
        (data / "annotations" / "kinetics_200").mkdir(exist_ok=True)
        (data / "annotations" / "kinetics_200" / f"k200_{name}.txt").write_text("a.mp4 0\n")
    return [f"SETTING={request.param}", f"DATA={data}", f"WEB={data}", f"OUT={tmp_path / 'out'}"]


def lines_of(setting, goal="all"):
    result = make("-n", goal, *setting)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def check_with_dry_run(line):
    """Check that a line is valid and prints its options as JSON."""
    words = parse(line)
    assert words[0] == "omni", line
    result = CliRunner().invoke(app, [*words[1:], "--dry-run"])
    assert result.exit_code == 0, f"{line}\n{result.stderr}"
    assert isinstance(json.loads(result.stdout), dict), line


def test_every_line_is_valid_and_reads_only_outputs_of_earlier_lines(setting):
    first, *lines = lines_of(setting)
    assert first.startswith("mkdir -p ")
    out = Path(setting[-1].removeprefix("OUT="))
    out.mkdir()
    seen = []
    for line in lines:
        words = parse(line)
        written = {*values_of(words, "-o"), *values_of(words, "--rejects"), *values_of(words, "--shards")}
        read = [word for word in words if word.startswith(f"{out}/") and word not in written]
        assert all(Path(name).exists() for name in read), line
        check_with_dry_run(line)
        pretend_made(words)
        seen.append(words[1])
    assert set(seen) == STAGES


def test_settings_are_those_of_the_paper(setting):
    """Recipes exist, power and ratios are the released ones, and 2D and 3D do not mix."""
    lines = lines_of(setting)
    trained = {Path(values_of(parse(line), "-o")[0]).stem: parse(line) for line in lines if "train --recipe" in line}
    assert set(trained) == {"teacher-2d", "teacher-3d", "student-2d", "student-3d"}
    for name, words in trained.items():
        model = TEACHER_RECIPES[values_of(words, "--recipe")[0]].model
        assert model is not None
        assert model.startswith("tsn") == name.endswith("2d")
        if name.startswith("student"):
            assert values_of(words, "--ratio") == ["2:1:1:1"]
            kind = name.removeprefix("student-")
            long = "long.2d" if (kind, setting[0]) == ("2d", "SETTING=k400") else "long.3d"
            assert [Path(value).name for value in values_of(words, "--auxiliary")] == [
                f"images.{kind}.jsonl", "videos.jsonl", f"{long}.packed.jsonl",
            ]  # fmt: skip
    powers = {values_of(parse(line), "--power")[0] for line in lines if " balance " in line}
    assert powers == {"0.2" if setting[0] == "SETTING=k400" else "0.5"}


def test_make_runs_only_missing_outputs(setting):
    """Nothing runs if all files exist; without one file, it and its dependents are made."""
    _mkdir, *lines = lines_of(setting)
    Path(setting[-1].removeprefix("OUT=")).mkdir()
    for line in lines:
        pretend_made(parse(line))
    assert "Nothing to be done" in make("-n", "all", *setting).stdout
    Path(setting[-1].removeprefix("OUT="), "student-3d.eval.jsonl").unlink()
    assert [parse(line)[1] for line in lines_of(setting)] == ["eval", "eval"]  # and the fusing


def test_a_goal_for_each_stage(setting):
    for goal in ("index", "queries", "dedup", "teacher", "filter", "segment", "pack", "inflate", "balance",
                 "student-2d", "student-3d", "eval", "fuse"):  # fmt: skip
        assert any(parse(line)[0] == "omni" for line in lines_of(setting, goal)), goal


def test_an_unknown_setting_is_refused():
    result = make("-n", "all", "SETTING=k600")
    assert result.returncode == 2
    assert "expected k400 or minikinetics" in result.stderr
