"""``omni zero-shot``: each option arrives, and each error has its line."""

import json
import subprocess
import sys

import pytest
from made_clip import published
from typer.testing import CliRunner

from omnicli.app import app


def omni(*arguments):
    return CliRunner().invoke(app, ["zero-shot", *map(str, arguments)])


@pytest.fixture
def classes(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("riding a bike\narchery\n")
    return path


def test_a_checkpoint_is_a_file(classes):
    result = omni(classes, "--clip", "x", "-o", "-")
    assert result.exit_code == 2 and "zero-shot writes a checkpoint: give -o FILE" in result.stderr


def test_a_teacher_from_class_names_and_a_folder(tmp_path, classes):
    pytest.importorskip("open_clip")
    from omnicli.models.loading import load_model

    folder = published(tmp_path / "Tiny", "siglip", licence="mit-like")
    (tmp_path / "prompts.txt").write_text("{} outdoors\n")
    (tmp_path / "synonyms.tsv").write_text("archery\tbow shooting\n")
    out = tmp_path / "t.pth"
    result = omni(classes, "--clip", folder, "-o", out, "--prompts", tmp_path / "prompts.txt", "--synonyms",
                  tmp_path / "synonyms.tsv", "--num-segments", 5, "--scores", "softmax")  # fmt: skip
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"licence of {folder}: mit-like" in result.stderr
    assert "2 classes x 1 prompts, softmax scores: clip-Tiny" in result.stderr
    model = load_model(out)
    assert model.classes == ("riding a bike", "archery")
    assert (model.spec.num_segments, model.spec.multi_label) == (5, False)
    assert model.meta["provenance"]["prompts"] == ["{} outdoors"]
    assert model.meta["provenance"]["synonyms"] == {"archery": ["bow shooting"]}


def test_a_dry_run_prints_the_prompts(tmp_path, classes):
    pytest.importorskip("open_clip")
    result = omni(classes, "--clip", "ViT-B-16-SigLIP2:webli", "-o", tmp_path / "t.pth", "-n")
    assert result.exit_code == 0
    assert "a video of a person {}." in json.loads(result.stdout)["prompts"]
    assert not (tmp_path / "t.pth").exists()


def test_without_open_clip_it_names_the_pip_line_within_seconds(tmp_path, classes):
    hide = (
        "import importlib.util as util, sys; find = util.find_spec; sys.argv[0] = 'omni'\n"
        "util.find_spec = lambda name, *rest: None if name == 'open_clip' else find(name, *rest)\n"
        "from omnicli.app import main\n"
        "import atexit; atexit.register(lambda: print('torch' in sys.modules))\n"
        "main()\n"
    )
    command = [sys.executable, "-c", hide, "zero-shot", classes, "--clip", "x:y", "-o", tmp_path / "t.pth"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 2
    assert result.stderr == "omni zero-shot: zero-shot needs open_clip: pip install 'omnicli[clip]'\n"
    assert "True" not in result.stdout  # no torch, whose import takes seconds


def test_a_damaged_list_of_classes_is_named(tmp_path):
    pytest.importorskip("open_clip")
    (tmp_path / "classes.txt").write_text("a\n\nb\n")
    result = omni(tmp_path / "classes.txt", "--clip", "x:y", "-o", tmp_path / "t.pth")
    assert result.exit_code == 65 and "classes.txt:2: a blank line" in result.stderr
