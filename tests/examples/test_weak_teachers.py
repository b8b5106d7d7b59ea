"""The comparison of rules for weak teachers: its problems, its runs, its tables."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "examples" / "weak_teachers"
WEIGHTS = REPOSITORY.parent / "shared" / "weights" / "tf_efficientnet_lite0-imagenet.safetensors"
SETTINGS = ("target", "unfiltered", "paper", "default", "second")
COLOURS = {
    "warm/red": (220, 40, 30),
    "warm/yellow": (230, 210, 40),
    "cold/blue": (30, 60, 220),
    "other/grey": (99,) * 3,
}


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    """Three classes of noisy plain pictures, and grey ones as noise."""
    root = tmp_path_factory.mktemp("weak")
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / "pictures" / name).mkdir(parents=True)
        for number in range(14):
            pixels = np.clip(np.array(colour) + rng.integers(-25, 25, (48, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / "pictures" / name / f"{number}.png")
    subprocess.run(
        [sys.executable, FOLDER / "make_problem.py", root / "pictures", root / "problem", "--train", "3", "--val", "4",
         "--results", "10", "--fit", "0.5", "--noise", "other", "--classes", *list(COLOURS)[:3]],
        check=True, timeout=300,
    )  # fmt: skip
    return root


def test_a_problem_has_clean_labels_and_a_crawl_with_the_wanted_noise(problem):
    data = problem / "problem"
    for part, number in (("train", 3), ("val", 4)):
        for name in ("red", "yellow", "blue"):
            assert len(list((data / "target" / part / name).iterdir())) == number
    truth = [json.loads(line) for line in (data / "truth.jsonl").read_text().splitlines()]
    fits = [Path(line["path"]).parent.name == line["class"] for line in truth]
    assert np.mean(fits) == pytest.approx(0.5, abs=0.01)
    assert {line["class"] for line in truth} == {"red", "yellow", "blue", ""}
    shown = {path.read_bytes() for path in data.glob("target/*/*/*.png")}
    assert not shown & {Path(line["path"]).read_bytes() for line in truth}


def test_the_table_has_means_and_paired_differences(tmp_path):
    for setting, right in zip(SETTINGS, (2, 3, 1, 4, 4), strict=True):
        for seed in range(2):
            path = tmp_path / "eval" / "weak" / setting / f"k2-s{seed}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [
                {"id": str(i), "class_name": f"c{i}", "label": i, "pseudo_label": i if i < right else 9,
                 "top_scores": [[i if i < right else 9, 0.9]]}
                for i in range(4)
            ]  # fmt: skip
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = subprocess.run(
        [sys.executable, FOLDER / "table.py", f"pictures={tmp_path}"],
        check=True, timeout=300, capture_output=True, text=True,
    )  # fmt: skip
    means, differences = (table.splitlines()[2:] for table in result.stdout.split("\n\n"))
    assert means == [f"| pictures | {clips} | 50.0 | 75.0 | 25.0 | 100.0 | 100.0 |" for clips in ("2", "all")]
    assert differences[0].startswith("| pictures | 2 | +50.0 (")
    assert max(map(len, result.stdout.splitlines())) <= 100  # columns of a screen


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.exists(), reason="../shared/weights is missing")
def test_every_setting_is_trained_and_tested(problem, tmp_path):
    data, out = problem / "problem", tmp_path / "out"
    script = f"""
    mkdir -p {out}/data && ls {data}/target/train > {out}/data/classes.txt
    for part in train val; do
        omni index --labels --classes {out}/data/classes.txt {data}/target/$part -q -o {out}/data/$part.jsonl
    done
    omni index {data}/web/image -q -o {out}/data/image.jsonl
    for name in train val image; do
        omni features --backbone tf_efficientnet_lite0 --weights {WEIGHTS} --precision float32 -q \
            --shards {out}/features/$name {out}/data/$name.jsonl -o {out}/data/$name.features.jsonl
    done
    bash {FOLDER}/compare.sh 2
    """
    environment = os.environ | {
        "OUT": str(out), "WEIGHTS": str(WEIGHTS), "SEEDS": "0", "PYTHON": sys.executable,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    subprocess.run(["bash", "-euc", script], check=True, timeout=600, env=environment)
    for setting in SETTINGS:
        assert (out / "eval" / "weak" / setting / "k2-s0.jsonl").stat().st_size > 0
    shares = json.loads((out / "runs" / "weak" / "k2-s0" / "default" / "image.json").read_text())["shares"]
    assert 0 < shares["results"]["kept"] <= 1
